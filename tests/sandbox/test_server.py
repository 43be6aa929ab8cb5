"""The server: its addresses, its end, TLS."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from pathlib import Path

import pytest
import requests
import trustme
from werkzeug.test import Client

from ltiaas_middleware.sandbox import Sandbox, SandboxServer

from .conftest import Caller


def test_it_has_an_address_once_it_is_started() -> None:
    server = SandboxServer(Sandbox())
    with pytest.raises(RuntimeError, match="no URL before"):
        _ = server.url
    with server:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", server.url)
        assert server.url.endswith(f":{server.port}")


def test_it_can_be_stopped_twice_and_started_again(sandbox: Sandbox) -> None:
    server = SandboxServer(sandbox)
    server.stop()
    server.start()
    with pytest.raises(RuntimeError, match="already"):
        server.start()
    first = server.url
    ltik = sandbox.issue()
    server.stop()
    server.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(first, timeout=2)
    headers = {"Authorization": f"LTIK-AUTH-V2 {sandbox.api_key}:{ltik}"}
    with server:
        assert server.url == first
        answer = requests.get(f"{server.url}/api/idtoken", headers=headers, timeout=5)
        assert answer.status_code == 200


def test_an_address_that_is_taken_is_an_os_error(server: SandboxServer) -> None:
    with pytest.raises(OSError, match="ddress already in use"):
        SandboxServer(Sandbox(), port=server.port).start()


def test_a_public_url_stands_in_links_and_is_a_name_of_its_own(sandbox: Sandbox) -> None:
    with SandboxServer(sandbox, public_url="https://lms.test/") as server:
        assert server.url == "https://lms.test"
        local = f"http://127.0.0.1:{server.port}"
        headers = {"Host": "lms.test"}
        assert requests.get(local, headers=headers, timeout=5).status_code == 200
        headers["Authorization"] = f"LTIK-AUTH-V2 {sandbox.api_key}:{sandbox.issue()}"
        token = requests.get(f"{local}/api/idtoken", headers=headers, timeout=5).json()
    assert token["launch"]["presentation"]["returnUrl"] == "https://lms.test/lms/return"


@pytest.mark.parametrize(
    ("host", "shown"),
    [("0.0.0.0", "127.0.0.1"), ("", "127.0.0.1"), ("localhost", "localhost")],
)
def test_the_address_shown_is_one_to_open(host: str, shown: str) -> None:
    with SandboxServer(Sandbox(), host=host) as server:
        assert server.url == f"http://{shown}:{server.port}"
        assert requests.get(server.url, timeout=5).status_code == 200


def test_an_ipv6_address_is_shown_in_brackets() -> None:
    server = SandboxServer(Sandbox(), host="::1", port=8080)
    assert server.url == "http://[::1]:8080"
    assert SandboxServer(Sandbox(), host="::", port=8080).url == "http://[::1]:8080"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_it_listens_on_ipv6() -> None:
    server = SandboxServer(Sandbox(), host="::1")
    try:
        server.start()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with server._server.socket if server._server else socket.socket():
        assert requests.get(server.url, timeout=5).status_code == 200
        server.stop()


def test_usual_ports_may_be_left_out_of_the_host() -> None:
    assert "localhost" in SandboxServer(Sandbox(), port=80)._own_hosts()
    assert "localhost" not in SandboxServer(Sandbox(), port=8080)._own_hosts()


def test_tls_takes_a_context_or_files(sandbox: Sandbox, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    chain, key, trusted = tmp_path / "chain.pem", tmp_path / "key.pem", tmp_path / "ca.pem"
    certificate.private_key_pem.write_to_path(str(key))
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(str(chain), append=True)
    authority.cert_pem.write_to_path(str(trusted))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    for given in (context, (str(chain), str(key))):
        with SandboxServer(sandbox, host="localhost", ssl_context=given) as server:
            assert server.url == f"https://localhost:{server.port}"
            headers = {"Authorization": f"LTIK-AUTH-V2 {sandbox.api_key}:{sandbox.issue()}"}
            token = requests.get(
                f"{server.url}/api/idtoken", headers=headers, verify=str(trusted), timeout=5
            ).json()
            assert token["launch"]["presentation"]["returnUrl"].startswith(server.url)


def test_a_client_that_says_nothing_holds_nobody_else_up(
    sandbox: Sandbox,
    capfd: pytest.CaptureFixture[str],
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    context, trusting = tls
    with SandboxServer(sandbox, ssl_context=context) as server:
        address = ("127.0.0.1", server.port)
        with socket.create_connection(address), socket.create_connection(address) as nonsense:
            nonsense.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                while nonsense.recv(1000):
                    pass
            plain = socket.create_connection(address, timeout=5)
            with trusting.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
                connection.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
                assert connection.recv(12) == b"HTTP/1.1 403"
    assert capfd.readouterr().err == ""


def test_a_client_that_never_finishes_its_handshake_is_let_go(
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    monkeypatch.setattr("ltiaas_middleware.sandbox.server._TLS_HANDSHAKE", 0.1)
    with SandboxServer(sandbox, ssl_context=tls[0]) as server:
        address = ("127.0.0.1", server.port)
        with socket.create_connection(address, timeout=5) as silent:
            assert silent.recv(1) == b""


def test_nothing_is_logged_because_ltiks_stand_in_urls(
    call: Caller, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    call.get("/lti/launch?ltik=eyJhbGciOiJIUzI1NiJ9.x.y")
    with socket.create_connection(("127.0.0.1", call.server.port)) as connection:
        connection.sendall(b"NONSENSE eyJ\r\n\r\n")
        connection.recv(1000)
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.name == "werkzeug"] == []


def test_a_mistake_of_the_sandboxs_own_is_a_500_that_is_logged(
    teacher: Caller,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr("ltiaas_middleware.sandbox.api.answer", broken)
    assert teacher.get("/api/idtoken").status_code == 500
    assert sandbox.api_log[-1].status == 500
    teacher.server.stop()  # It is logged after it is answered.
    assert "a mistake" in caplog.text


def test_a_mistake_outside_a_request_is_reported_while_serving_and_not_while_stopping(
    server: SandboxServer, capfd: pytest.CaptureFixture[str]
) -> None:
    running = server._server
    assert running is not None
    try:
        raise ZeroDivisionError("a mistake")
    except ZeroDivisionError:
        running.handle_error(None, ("127.0.0.1", 1))
        assert "a mistake" in capfd.readouterr().err
        running.stopping.set()
        running.handle_error(None, ("127.0.0.1", 1))
        assert capfd.readouterr().err == ""


def test_a_sandbox_is_a_wsgi_app_that_needs_no_server(sandbox: Sandbox) -> None:
    client = Client(sandbox)
    assert client.get("/").status_code == 200
    assert client.get("/", base_url="http://evil.example").status_code == 403
    item = "https%3A%2F%2Fx"
    headers = {"Authorization": f"LTIK-AUTH-V2 {sandbox.api_key}:{sandbox.issue()}"}
    assert client.get(f"/api/lineitems/{item}", headers=headers).status_code == 404
    sandbox.fault("delay", seconds=0.06, times=1)
    assert client.get("/api/idtoken", headers=headers).status_code == 200
    sandbox.fault("reset", times=1)
    with pytest.raises(ConnectionAbortedError):
        client.get("/api/idtoken", headers=headers)


def test_an_absolute_request_target_is_understood(server: SandboxServer, sandbox: Sandbox) -> None:
    header = f"LTIK-AUTH-V2 {sandbox.api_key}:{sandbox.issue()}"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = f"GET {server.url}/api/idtoken?raw=true HTTP/1.1\r\nHost: x\r\n"
        connection.sendall(f"{head}Authorization: {header}\r\n\r\n".encode())
        assert connection.recv(12) == b"HTTP/1.1 200"
    assert sandbox.api_log[-1].path == "/api/idtoken"


@pytest.mark.parametrize(("host", "status"), [("0.0.0.0", 200), ("127.0.0.1", 403)])
def test_other_containers_reach_it_by_its_hostname(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, host: str, status: int
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "ltiaas")
    with SandboxServer(sandbox, host) as server:
        headers = {
            "Host": f"ltiaas:{server.port}",
            "Authorization": f"LTIK-AUTH-V2 {sandbox.api_key}:{sandbox.issue()}",
        }
        answer = requests.get(f"{server.url}/api/idtoken", headers=headers, timeout=5)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"port": 8400}, "http://lms.localhost:8400"),
        ({"host": "localhost", "port": 8401}, "http://lms.localhost:8401"),
        ({"host": "192.0.2.7", "port": 8400}, "http://192.0.2.7:8400"),
        (
            {"port": 8400, "ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)},
            "https://127.0.0.1:8400",
        ),
        ({"public_url": "https://sandbox.example"}, "https://sandbox.example"),
    ],
)
def test_the_lms_has_a_name_of_its_own_on_this_machine(options: dict, url: str) -> None:  # type: ignore[type-arg]
    assert SandboxServer(Sandbox(), **options).lms_url == url
