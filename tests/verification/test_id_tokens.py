"""HTTP to LTIAAS, against the sandbox over real sockets: whatever comes back is an answer of
LTIAAS's or an ``ApiError``, in bounded time and memory."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import ssl
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
import trustme

from ltiaas_middleware import IdToken, Settings
from ltiaas_middleware._verification.id_tokens import Api
from ltiaas_middleware._verification.launches import CachedLaunch
from ltiaas_middleware.api import exchange
from ltiaas_middleware.api.error_answers import error_for
from ltiaas_middleware.errors import (
    AnonymousLaunch,
    ApiError,
    ApiKeyRejected,
    Forbidden,
    InvalidResponse,
    LaunchExpired,
    PlatformInactive,
    RateLimited,
    ServiceNotAvailable,
    UpstreamError,
)
from ltiaas_middleware.sandbox import Sandbox, SandboxServer
from ltiaas_middleware.wsgi import LTIAASMiddleware


@pytest.fixture(scope="module")
def server():
    with SandboxServer(Sandbox()) as server:
        yield server


@pytest.fixture
def sandbox(server):
    yield server.sandbox
    server.sandbox.clear_faults()
    server.sandbox.api_log.clear()


@pytest.fixture
def api(server, sandbox):
    return make(server)


def make(server, **options):
    options = {"url": server.url, "api_key": server.sandbox.api_key} | options
    return Api(Settings(**options), sleep=lambda seconds: None)


def test_an_id_token(api, sandbox):
    claims = json.loads(api.id_token(sandbox.issue()).claims)
    assert claims["user"]["id"]
    (entry,) = sandbox.api_log
    assert (entry.method, entry.path, entry.scheme) == ("GET", "/api/idtoken", "LTIK-AUTH-V2")
    assert entry.well_formed
    assert entry.user_agent.startswith("ltiaas-middleware/")


@pytest.mark.parametrize(("large", "at_once"), [(100, 1), (100_000, 2)])
def test_large_id_tokens_are_read_one_after_the_other(large, at_once, server, sandbox, monkeypatch):
    # An event loop would wait behind all threads that decode a large one.
    api, inside, most = make(server), [], []
    read, all_inside = IdToken.parse.__func__, threading.Event()

    def noting(cls, *args):
        inside.append(1)
        most.append(len(inside))
        if len(inside) == 2:
            all_inside.set()
        all_inside.wait(0.5 if at_once == 1 else 30)
        inside.pop()
        return read(cls, *args)

    monkeypatch.setattr(IdToken, "parse", classmethod(noting))
    monkeypatch.setattr(exchange, "_LARGE", large)
    with ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(api.id_token, [sandbox.issue(), sandbox.issue()]))) == 2
    assert max(most) == at_once


def test_connections_are_kept(api, server, sandbox, monkeypatch):
    connected = []
    real = socket.socket.connect
    monkeypatch.setattr(
        socket.socket, "connect", lambda self, to: (connected.append(to), real(self, to))[1]
    )
    for _ in range(5):
        api.id_token(sandbox.issue())
    assert len(connected) <= 1


def test_a_refused_ltik(api, sandbox):
    token = sandbox.issue()
    sandbox.expire(token)
    with pytest.raises(LaunchExpired) as caught:
        api.id_token(token)
    assert caught.value.status == 401
    assert caught.value.code == "INVALID_LTIK_AUTH_AUTHORIZATION_HEADER"
    assert len(sandbox.api_log) == 1


def test_a_wrong_api_key(server, sandbox):
    with pytest.raises(ApiKeyRejected):
        make(server, api_key="wrong").id_token(sandbox.issue())


@pytest.mark.parametrize(
    ("fault", "options", "kind", "calls"),
    [
        ("refuse", {}, LaunchExpired, 1),
        ("bad_api_key", {}, ApiKeyRejected, 1),
        ("rate_limit", {"retry_after": 7}, RateLimited, 1),
        ("status", {"status": 500}, UpstreamError, 2),
        ("status", {"status": 502}, UpstreamError, 2),
        ("status", {"status": 503}, UpstreamError, 2),
        ("status", {"status": 404}, UpstreamError, 1),
        ("reset", {}, UpstreamError, 2),
        ("truncated", {}, UpstreamError, 2),
        ("not_json", {}, InvalidResponse, 1),
        ("wrong_type", {}, InvalidResponse, 1),
        ("no_user", {}, AnonymousLaunch, 1),
        ("endless", {}, UpstreamError, None),
        ("gzip_bomb", {}, UpstreamError, None),
        ("redirect", {"location": "http://127.0.0.1:9/stolen"}, UpstreamError, 1),
    ],
)
def test_every_fault_is_an_error_of_ours(api, sandbox, fault, options, kind, calls):
    sandbox.fault(fault, **options)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    token = sandbox.issue()
    with pytest.raises(kind) as caught:
        api.id_token(token)
    assert type(caught.value) is kind
    assert calls is None or len(sandbox.api_log) == calls
    # kilobytes; the bomb alone would be 200 megabytes
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    shown = f"{caught.value!r} {caught.value} {caught.value.__cause__} {caught.value.__dict__}"
    assert token not in shown
    assert sandbox.api_key not in shown


def test_a_failure_that_passes_is_not_seen(api, sandbox):
    sandbox.fault("status", status=503, times=1)
    assert api.id_token(sandbox.issue())
    sandbox.fault("reset", times=1)
    assert api.id_token(sandbox.issue())


def test_rate_limiting_tells_when_to_come_back(api, sandbox):
    sandbox.fault("rate_limit", retry_after=7)
    with pytest.raises(RateLimited) as caught:
        api.id_token(sandbox.issue())
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    ("fault", "options"), [("delay", {"seconds": 30}), ("drip", {"seconds": 0.05})]
)
def test_slowness_is_bounded_by_the_deadline(server, sandbox, fault, options):
    sandbox.fault(fault, **options)
    with pytest.raises(UpstreamError):
        make(server, timeout=0.5).id_token(sandbox.issue())


def test_a_deadline_that_is_over_before_it_begins(server, sandbox):
    times = iter([0.0, 100.0, 100.0])
    api = Api(Settings(url=server.url, api_key=sandbox.api_key), monotonic=lambda: next(times))
    with pytest.raises(UpstreamError, match="no time left"):
        api.id_token(sandbox.issue())
    assert len(sandbox.api_log) == 0


def test_nobody_listening():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    api = Api(Settings(url=f"http://127.0.0.1:{port}", api_key="k"), sleep=lambda s: None)
    with pytest.raises(UpstreamError, match="no connection"):
        api.id_token("a.b.c")


def test_what_is_no_http_at_all():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            # Until the listener is closed.
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n\x00")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        settings = Settings(url=f"http://127.0.0.1:{port}", api_key="k")
        with pytest.raises(UpstreamError):
            Api(settings, sleep=lambda s: None).id_token("a.b.c")


@contextlib.contextmanager
def tunnel(scheme):
    """A proxy; gives its port, and the hosts that it was asked to lead to."""
    asked = []

    def lead(client):
        with client:
            head = client.recv(65536)
            if scheme == "http":
                host, _, port = head.split()[1].decode().partition(":")
                done = b"HTTP/1.1 200 OK\r\n\r\n"
            else:
                client.sendall(b"\x05\x00")
                head = client.recv(65536)
                host, port = head[5:-2].decode(), int.from_bytes(head[-2:], "big")
                done = b"\x05\x00\x00\x01" + bytes(6)
            asked.append(host)
            with socket.create_connection((host, int(port))) as server:
                client.sendall(done)
                back = threading.Thread(target=pump, args=(server, client), daemon=True)
                back.start()
                pump(client, server)
                back.join(10)

    def pump(near, far):
        with contextlib.suppress(OSError):
            while part := near.recv(65536):
                far.sendall(part)
            far.shutdown(socket.SHUT_WR)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=lead, args=listener.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1], asked


class TestTls:
    @pytest.fixture
    def authority(self):
        return trustme.CA()

    @pytest.fixture
    def tls(self, authority):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        with SandboxServer(Sandbox(), ssl_context=context) as server:
            yield f"https://localhost:{server.port}", server.sandbox

    def test_is_verified_always(self, tls):
        url, sandbox = tls
        api = Api(Settings(url=url, api_key=sandbox.api_key), sleep=lambda s: None)
        with pytest.raises(UpstreamError, match="certificate"):
            api.id_token(sandbox.issue())
        assert len(sandbox.api_log) == 0

    @pytest.mark.parametrize("scheme", ["http", "socks5h"])
    def test_goes_through_the_proxy_of_the_environment(
        self, tls, authority, tmp_path, monkeypatch, scheme
    ):
        if scheme == "socks5h":
            pytest.importorskip("socks")
        url, sandbox = tls
        bundle = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(bundle))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with tunnel(scheme) as (port, asked):
            monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{port}")
            api = Api(Settings(url=url, api_key=sandbox.api_key, ca_bundle=str(bundle)))
            for _ in range(2):
                assert api.id_token(sandbox.issue())
            api.close()
        assert asked == ["localhost"]

    def test_takes_an_authority_of_ones_own(self, tls, authority, tmp_path):
        url, sandbox = tls
        bundle = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(bundle))
        api = Api(Settings(url=url, api_key=sandbox.api_key, ca_bundle=str(bundle)))
        assert api.id_token(sandbox.issue())


def test_a_netrc_does_not_replace_the_header(server, sandbox, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert make(server).id_token(sandbox.issue())


def test_a_proxy_does_not_see_what_stays_on_this_machine(server, sandbox, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert make(server).id_token(sandbox.issue())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
# Python 3.12 warns of forks with threads; here that is the point.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_children_of_a_fork_do_not_read_each_others_answers(server, sandbox):
    """A parent that has called LTIAAS keeps the connection; children that share it would get the
    answer to whatever another one asked."""
    options = {"url": server.url, "api_key": sandbox.api_key}
    middleware = LTIAASMiddleware(None, **options)
    api = make(server)
    api.id_token(sandbox.issue())
    assert isinstance(middleware._authenticator.verify(sandbox.issue()), CachedLaunch)
    children = []
    for user in ("ada", "ben", "chen"):
        tokens = [sandbox.issue(course="biology", user=user) for _ in range(20)]
        child = os.fork()
        if child == 0:
            try:
                for token in tokens[:10]:
                    assert json.loads(api.id_token(token).claims)["user"]["id"] == user
                for token in tokens[10:]:
                    found = middleware._authenticator.verify(token)
                    assert json.loads(found.claims)["user"]["id"] == user
            except BaseException:  # noqa: BLE001 - the child must end here, whatever it was
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert api.id_token(sandbox.issue())
    middleware.close()


def test_what_ltiaas_quotes_is_not_told():
    token = "eyJhbGciOiJIUzI1NiJ9.eyJpYXQiOjF9.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
    said = f"You sent LTIK-AUTH-V2 the-key:{token} or {token}\nERROR:root:forged {'x' * 5000}"
    error = error_for(400, body(f"CODE {token}", said), None, "GET", "/api/idtoken")
    for text in (str(error), repr(error), error.description, error.code):
        assert token not in text
        assert "the-key" not in text
        assert "\n" not in text
        assert len(text) < 500


BAD_LTIK = "INVALID_LTIK_AUTH_AUTHORIZATION_HEADER"


def body(message=None, description=None, **more):
    details = {"message": message, "description": description} | more
    return json.dumps({"status": 400, "error": "x", "details": details}).encode()


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (
            401,
            body("INVALID_LTIK_AUTH_AUTHORIZATION_HEADER", "Invalid or expired ltik."),
            LaunchExpired,
        ),
        (401, body("INVALID_LTIK_AUTH_AUTHORIZATION_HEADER", "Invalid API key"), ApiKeyRejected),
        (401, body("INVALID_LTIK_AUTH_AUTHORIZATION_HEADER"), LaunchExpired),
        (401, body("SOMETHING_ELSE", "who knows"), ApiError),
        # Our mistake, and not the end of anybody's launch.
        (
            401,
            body("INVALID_LTIK_AUTH_AUTHORIZATION_HEADER", "Malformed authorization header."),
            ApiError,
        ),
        (401, b"<html>a proxy wants a password</html>", UpstreamError),
        (403, body("INACTIVE_SERVICE"), ServiceNotAvailable),
        (400, body("SERVICE_NOT_AVAILABLE_FOR_CONTEXT"), ServiceNotAvailable),
        (400, body("VALIDATION_ERROR", "no userId"), ApiError),
        (429, b"", RateLimited),
        (500, body("INACTIVE"), UpstreamError),
        (302, b"", UpstreamError),
        (404, b"[]", UpstreamError),
        (404, b'{"details": []}', ApiError),
        (408, body("TIMEOUT", "too slow"), UpstreamError),
        (403, b'{"message": "Forbidden"}', Forbidden),
        (403, body(None, "not yours"), Forbidden),
        (403, b"<html>a firewall</html>", UpstreamError),
        (400, body("UNREGISTERED_OR_INACTIVE_PLATFORM"), PlatformInactive),
        (400, body(None, "who?", code="UNREGISTERED_OR_INACTIVE_PLATFORM"), PlatformInactive),
        (400, body("It is inactive.", code="UNREGISTERED_OR_INACTIVE_PLATFORM"), PlatformInactive),
        (400, b'{"message": "UNREGISTERED_OR_INACTIVE_PLATFORM"}', PlatformInactive),
        (400, b'{"code": "UNREGISTERED_OR_INACTIVE_PLATFORM"}', PlatformInactive),
        (503, body("UNREGISTERED_OR_INACTIVE_PLATFORM"), UpstreamError),
        (401, body("Invalid or expired ltik.", code=BAD_LTIK), LaunchExpired),
        (401, body("Invalid API key", code=BAD_LTIK), ApiKeyRejected),
        (401, body("Malformed header.", code=BAD_LTIK), ApiError),
        (400, body("Not here.", code="INACTIVE_SERVICE"), ServiceNotAvailable),
        (400, b'{"details": "a sentence"}', ApiError),
        (400, body(7, 8), ApiError),
        (400, b"[" * 100_000, UpstreamError),
    ],
)
def test_ltiaass_errors_by_name(status, content, kind):
    error = error_for(status, content, "3", "POST", "/api/x")
    assert type(error) is kind
    assert (error.status, error.method, error.path) == (status, "POST", "/api/x")
    assert error.retry_after == 3
    assert "/api/x" in str(error)


def test_a_new_launchs_id_token_is_parsed_once(server, sandbox, monkeypatch):
    """By whoever fetches it: neither its launch nor the store of service keys does it again."""
    parsed = []
    parse = IdToken.parse.__func__

    def note(cls, raw, claims=None):
        parsed.append(raw)
        return parse(cls, raw, claims)

    class Recorder:
        def record(self, id_token, launched_at):
            self.recorded = id_token.user.id

    monkeypatch.setattr(IdToken, "parse", classmethod(note))
    seen, recorder = [], Recorder()

    def app(environ, start_response):
        seen.append(environ["ltiaas.launch"].id_token.user.id)
        start_response("200 OK", [])
        return [b""]

    account = {"url": server.url, "api_key": sandbox.api_key}
    middleware = LTIAASMiddleware(app, service_keys=recorder, **account)
    environ = {"PATH_INFO": "/", "QUERY_STRING": f"ltik={sandbox.issue()}", "REQUEST_METHOD": "GET"}
    middleware(environ | {"wsgi.url_scheme": "https"}, lambda *_: None)
    assert seen == [recorder.recorded]
    assert len(parsed) == 1
    middleware.close()
