"""Each fault as a client sees it, and how each ends."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from ltiaas_middleware.sandbox import Sandbox, SandboxServer
from ltiaas_middleware.sandbox.faults import read_faults
from ltiaas_middleware.sandbox.spoiling import BOMB_SIZE

from .conftest import SCORE, Caller, refused

HEADER = "INVALID_LTIK_AUTH_AUTHORIZATION_HEADER"
TOKEN = "/api/idtoken"


def raw_request(server: SandboxServer, path: str, authorization: str) -> socket.socket:
    """A connection on which a request was sent, and nothing read."""
    parts = urlsplit(server.url)
    assert parts.hostname
    connection = socket.create_connection((parts.hostname, parts.port or 0), timeout=10)
    head = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: {authorization}\r\n\r\n"
    connection.sendall(head.encode())
    return connection


def idle(server: SandboxServer) -> bool:
    """Whether the server has let go of every connection, within a few seconds."""
    running = server._server
    assert running is not None
    with running._changed:
        return running._changed.wait_for(lambda: not running._open, 5)


def test_a_bad_name_is_an_error_that_lists_the_good_ones(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="unknown fault 'sulk'; valid faults: delay, rate_limit"):
        sandbox.fault("sulk")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("delay", {"minutes": 1}, "valid options: seconds"),
        ("refuse", {"seconds": 1}, "valid options: none"),
        ("delay", {"seconds": -1}, "seconds is a number"),
        ("delay", {"seconds": "1"}, "seconds is a number"),
        ("delay", {"seconds": float("nan")}, "seconds is a number"),
        ("rate_limit", {"retry_after": "1\r\nX: y"}, "retry_after is"),
        ("rate_limit", {"retry_after": None}, "retry_after is"),
        ("status", {"status": 700}, "status is"),
        ("status", {"status": True}, "status is"),
        ("redirect", {}, "location is the URL"),
        ("redirect", {"location": "http://x/\r\n"}, "location is the URL"),
        ("delay", {"times": 0}, "times must be"),
        ("delay", {"times": True}, "times must be"),
        ("delay", {"endpoint": 5}, "endpoint must be"),
        ("per_second", {"limit": 0}, "limit is a whole number of at least 1"),
        ("throttled", {"shape": "round"}, "shape is one of bodyReceived"),
        ("throttled", {"lms": 5}, "lms is a product family code"),
    ],
)
def test_an_option_that_cannot_be_is_an_error(
    sandbox: Sandbox, name: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        sandbox.fault(name, **options)
    assert list(sandbox.faults) == []


def test_times_and_endpoint_bound_a_fault(teacher: Caller, sandbox: Sandbox) -> None:
    sandbox.fault("status", status=500, endpoint="/api/idtoken", times=2)
    assert teacher.get("/api/memberships").status_code == 200
    assert [teacher.get(TOKEN).status_code for _ in range(3)] == [500, 500, 200]


def test_without_times_it_lasts_until_told_otherwise(teacher: Caller, sandbox: Sandbox) -> None:
    sandbox.fault("refuse")
    assert {teacher.get(TOKEN).status_code for _ in range(4)} == {401}
    sandbox.clear_faults()
    assert teacher.get(TOKEN).status_code == 200


def test_of_two_answers_the_first_switched_on_comes_first(
    teacher: Caller, sandbox: Sandbox
) -> None:
    sandbox.fault("status", status=500, times=1)
    sandbox.fault("status", status=503, times=1)
    assert [teacher.get(TOKEN).status_code for _ in range(3)] == [500, 503, 200]


@pytest.mark.parametrize(
    ("name", "carried_out"),
    [
        ("rate_limit", False),
        ("status", False),
        ("refuse", False),
        ("bad_api_key", False),
        ("reset", False),
        ("redirect", False),
        ("service_key_refused", True),
        ("lost_answer", True),
        ("truncated", True),
        ("not_json", True),
        ("wrong_type", True),
        ("drip", True),
        ("delay", True),
    ],
)
def test_what_refuses_a_score_keeps_it_out_and_what_spoils_the_answer_does_not(
    teacher: Caller, sandbox: Sandbox, name: str, carried_out: bool
) -> None:
    item = teacher.line_item()
    options: dict[str, Any] = {"location": "/"} if name == "redirect" else {}
    if name in ("delay", "drip"):
        options = {"seconds": 0.0}
    sandbox.fault(name, times=1, **options)
    with contextlib.suppress(requests.ConnectionError):
        teacher.post(f"{item}/scores", json=SCORE)
    assert bool(sandbox.scores()) is carried_out


def test_a_delay_goes_together_with_another(teacher: Caller, sandbox: Sandbox) -> None:
    sandbox.fault("refuse")
    sandbox.fault("delay", seconds=600)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(teacher.get, TOKEN)
        (entry,) = sandbox.api_log.wait_for(1)
        assert (entry.fault, entry.answered) == ("delay+refuse", False)
        sandbox.faults.end("delay")
        assert answer.result().status_code == 401


def test_rate_limit(teacher: Caller, sandbox: Sandbox) -> None:
    for value, header in ((7, "7"), (2.0, "2"), ("Fri, 31 Dec 2027 23:59:59 GMT",) * 2):
        sandbox.fault("rate_limit", retry_after=value, times=1)
        answer = teacher.get(TOKEN)
        refused(answer, 429, "RATE_LIMITED")
        assert answer.headers["Retry-After"] == header


@pytest.mark.parametrize("status", [502, 599, 418, 200])
def test_status_has_a_proxys_html_page(teacher: Caller, sandbox: Sandbox, status: int) -> None:
    sandbox.fault("status", status=status)
    answer = teacher.get(TOKEN)
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "nginx" in answer.text


def test_a_status_without_a_body_has_none(teacher: Caller, sandbox: Sandbox) -> None:
    sandbox.fault("status", status=204)
    assert teacher.get(TOKEN).content == b""


def test_refuse_and_bad_api_key(teacher: Caller, sandbox: Sandbox) -> None:
    sandbox.fault("refuse", times=1)
    refused(teacher.get(TOKEN), 401, HEADER, "Invalid or expired ltik.")
    sandbox.fault("bad_api_key", times=1)
    refused(teacher.get(TOKEN), 401, HEADER, "Invalid API key")


def test_reset_is_a_reset_and_not_an_end(teacher: Caller, sandbox: Sandbox) -> None:
    sandbox.fault("reset", times=2)
    with pytest.raises(requests.ConnectionError, match="reset"):
        teacher.get(TOKEN)
    connection = raw_request(teacher.server, TOKEN, teacher.authorization or "")
    with connection, pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert idle(teacher.server)
    assert sandbox.api_log[-1].status is None
    assert sandbox.api_log[-1].answered
    assert teacher.get(TOKEN).status_code == 200


def test_truncated_promises_more_than_it_sends(teacher: Caller, sandbox: Sandbox) -> None:
    sandbox.fault("truncated", times=1)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        teacher.get(TOKEN)


def test_not_json_and_wrong_type(teacher: Caller, sandbox: Sandbox) -> None:
    sandbox.fault("not_json", times=1)
    answer = teacher.get(TOKEN)
    assert answer.status_code == 200
    with pytest.raises(requests.exceptions.JSONDecodeError):
        answer.json()
    sandbox.fault("wrong_type", times=1)
    answer = teacher.get(TOKEN)
    assert answer.status_code == 200
    assert isinstance(answer.json(), list)


def test_no_user_takes_the_users_id_and_leaves_the_rest(call: Caller, sandbox: Sandbox) -> None:
    teacher, legacy = call.launched(), call.launched(course="chemistry")
    sandbox.fault("no_user")
    token = teacher.get(TOKEN).json()
    assert "id" not in token["user"]
    assert token["user"]["name"] == "Ada Moreau"
    assert "sub" not in teacher.get(f"{TOKEN}?raw=true").json()
    assert "user_id" not in legacy.get(f"{TOKEN}?raw=true").json()
    assert teacher.get("/api/memberships").json()["members"][0]["userId"] == "ada"
    refused(call.with_ltik("gone").get(TOKEN), 401, HEADER)


def test_redirect_goes_wherever_it_is_told(teacher: Caller, sandbox: Sandbox) -> None:
    sandbox.fault("redirect", location="https://elsewhere.example/api/idtoken")
    answer = teacher.get(TOKEN)
    assert answer.status_code == 302
    assert answer.headers["Location"] == "https://elsewhere.example/api/idtoken"


def test_a_gzip_bomb_is_small_on_the_wire_and_json_of_200_mb_inside(
    teacher: Caller, sandbox: Sandbox
) -> None:
    sandbox.fault("gzip_bomb", times=1)
    answer = teacher.get(TOKEN, stream=True)
    assert answer.headers["Content-Encoding"] == "gzip"
    packed = answer.raw.read(decode_content=False)
    assert len(packed) < 2_000_000
    unpacker = zlib.decompressobj(31)
    size = len(begun := unpacker.decompress(packed, 1000))
    while part := unpacker.decompress(unpacker.unconsumed_tail, 10_000_000):
        size, end = size + len(part), part[-2:]
    assert unpacker.eof
    assert size == BOMB_SIZE
    assert begun.startswith(b'{"padding": "')
    assert end == b'"}'


def test_drip_sends_one_byte_at_a_time_and_all_of_them(teacher: Caller, sandbox: Sandbox) -> None:
    expected = teacher.get(TOKEN).json()
    sandbox.fault("drip", seconds=0.0, times=1)
    with raw_request(teacher.server, TOKEN, teacher.authorization or "") as connection:
        received = b""
        while part := connection.recv(65536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body) == expected
    sandbox.fault("drip", seconds=0.2)
    answer = teacher.get(TOKEN, stream=True)
    assert len(answer.raw.read1(100)) == 1
    answer.close()
    assert idle(teacher.server)


def test_endless_goes_on_until_the_client_leaves(teacher: Caller, sandbox: Sandbox) -> None:
    sandbox.fault("endless")
    answer = teacher.get(TOKEN, stream=True)
    received = sum(len(answer.raw.read(65536)) for _ in range(20))
    assert received > 1_000_000
    answer.close()
    assert idle(teacher.server)


def test_endless_ends_when_told_to_behave(teacher: Caller, sandbox: Sandbox) -> None:
    sandbox.fault("endless")
    answer = teacher.get(TOKEN, stream=True)
    answer.raw.read(1000)
    sandbox.clear_faults()
    while answer.raw.read(65536):
        pass
    assert idle(teacher.server)


def test_a_delayed_request_is_in_the_log_before_it_is_answered(
    teacher: Caller, sandbox: Sandbox
) -> None:
    sandbox.fault("delay", seconds=60)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(teacher.get, TOKEN)
        (entry,) = sandbox.api_log.wait_for(1, TOKEN)
        assert (entry.answered, entry.status, entry.fault) == (False, None, "delay")
        sandbox.clear_faults()
        assert answer.result().status_code == 200
    (entry,) = sandbox.api_log.wait_for(1, TOKEN, answered=True)
    assert entry.status == 200


def test_ending_one_fault_leaves_the_others(teacher: Caller, sandbox: Sandbox) -> None:
    sandbox.fault("refuse")
    sandbox.fault("status", status=500)
    sandbox.faults.end("refuse")
    assert teacher.get(TOKEN).status_code == 500


def test_a_stalled_request_ends_with_its_client(teacher: Caller, sandbox: Sandbox) -> None:
    sandbox.fault("delay", seconds=600)
    with raw_request(teacher.server, TOKEN, teacher.authorization or ""):
        sandbox.api_log.wait_for(1)
    assert idle(teacher.server)


def test_a_stalled_request_whose_client_still_talks_goes_on(
    teacher: Caller, sandbox: Sandbox
) -> None:
    sandbox.fault("delay", seconds=0.3)
    with raw_request(teacher.server, TOKEN, teacher.authorization or "") as connection:
        sandbox.api_log.wait_for(1)
        connection.sendall(b"x")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(12) == b"HTTP/1.1 200"


def test_a_stalled_tls_request_ends_with_its_client(
    sandbox: Sandbox, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    context, trusting = tls
    sandbox.fault("delay", seconds=600)
    header = f"LTIK-AUTH-V2 {sandbox.api_key}:{sandbox.issue()}"
    with SandboxServer(sandbox, ssl_context=context) as server:
        plain = socket.create_connection(("127.0.0.1", server.port))
        with trusting.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            connection.sendall(
                f"GET {TOKEN} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
                f"Authorization: {header}\r\n\r\n".encode()
            )
            sandbox.api_log.wait_for(1)
        assert idle(server)


@pytest.mark.parametrize("fault", ["delay", "drip", "endless"])
def test_stopping_ends_whatever_is_being_held_up(sandbox: Sandbox, fault: str) -> None:
    options = {} if fault == "endless" else {"seconds": 600}
    sandbox.fault(fault, **options)
    # Other tests' servers keep connections open.
    others = set(threading.enumerate())
    server = SandboxServer(sandbox).start()
    header = f"LTIK-AUTH-V2 {sandbox.api_key}:{sandbox.issue()}"
    connections = [raw_request(server, TOKEN, header) for _ in range(10)]
    sandbox.api_log.wait_for(10)
    server.stop()
    for connection in connections:
        connection.close()
    for thread in set(threading.enumerate()) - others:
        if "process_request_thread" in thread.name:
            thread.join(1)  # on its last lines
            assert not thread.is_alive()


def test_faults_are_read_from_a_command_line() -> None:
    assert read_faults(
        [
            "reset",
            "delay:seconds=0.5,endpoint=/api/idtoken,times=2",
            "redirect: location=https://x.example/ ",
            {"name": "refuse"},
        ]
    ) == [
        {"name": "reset"},
        {"name": "delay", "seconds": 0.5, "endpoint": "/api/idtoken", "times": 2},
        {"name": "redirect", "location": "https://x.example/"},
        {"name": "refuse"},
    ]
    with pytest.raises(ValueError, match="'seconds' in 'delay:seconds' is not option=value"):
        read_faults(["delay:seconds"])
