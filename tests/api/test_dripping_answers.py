"""An answer that comes byte by byte is given up at the deadline: its body from threads, all of it
from tasks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ltiaas_middleware import LtikCredential, UpstreamError
from ltiaas_middleware.api.exchange import RetryPolicy
from tests.account import Account, Caller

BODY = b'{"user": {"id": "u1"}}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
#: What comes at once, what comes over and over, and what ends it.
DRIPS: dict[str, tuple[bytes, bytes, bytes]] = {
    "status line": (b"HTTP/1.1 200 ", b"O", b"\r\nContent-Length: 22\r\n\r\n" + BODY),
    "headers": (HEAD + b"X-Slow: ", b"x", b"\r\nContent-Length: 22\r\n\r\n" + BODY),
    "many headers": (HEAD, b"X-Slow: 1\r\n", b"Content-Length: 22\r\n\r\n" + BODY),
    "100 Continue": (
        b"", b"HTTP/1.1 100 Continue\r\n\r\n", HEAD + b"Content-Length: 22\r\n\r\n" + BODY,
    ),
    "chunk lines": (CHUNKED + b"16;x=", b"x", b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "trailers": (CHUNKED + b"16\r\n" + BODY + b"\r\n0\r\nX-Slow: ", b"x", b"\r\n\r\n"),
    "body": (HEAD + b"Content-Length: 82\r\n\r\n", b" ", BODY),
}  # fmt: skip
#: Long beyond the deadline, with an end, so that a call that does not give up comes to it.
TIMES, EVERY = 100, 0.1


@pytest.fixture
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    first, again, last = DRIPS[request.param]
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65_536)
                connection.sendall(first)
                for _ in range(TIMES):
                    if over.wait(EVERY):
                        return
                    connection.sendall(again)
                finished.append(True)
                connection.sendall(last)
            except OSError:
                pass  # given up

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            answering.append(threading.Thread(target=answer, args=(connection,)))
            answering[-1].start()

    finished: list[bool] = []
    answering: list[threading.Thread] = []
    serving = threading.Thread(target=serve)
    serving.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    gave_up = not finished
    over.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in (serving, *answering):
        thread.join()
    assert gave_up


def ends_at_its_deadline(api: Caller, address: str) -> None:
    credential: Any = LtikCredential(address, "the-key", "a.b.c")
    with pytest.raises(UpstreamError, match=r"in time|deadline|no time"):
        api(
            "id_token",
            with_=credential,
            retry_policy=RetryPolicy(timeout=0.5, read_timeout=5, attempts=1),
        )


@pytest.mark.parametrize("address", ["body"], indirect=True)
def test_a_body_ends_at_the_deadline(api: Caller, address: str) -> None:
    ends_at_its_deadline(api, address)


@pytest.mark.parametrize("address", sorted(DRIPS.keys() - {"body"}), indirect=True)
def test_a_task_ends_at_the_deadline_wherever_it_waits(account: Account, address: str) -> None:
    ends_at_its_deadline(Caller(account, asynchronous=True), address)
