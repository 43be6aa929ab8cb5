"""The ways in which the sandbox can be told to misbehave.

A fault that holds a request up ends with the request's client, with `behave`, and with the server:
it looks for all three several times a second.
"""

from __future__ import annotations

import functools
import selectors
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from werkzeug import Response

from .errors import ApiError, expired_ltik, json_response, wrong_api_key

_TICK = 0.05
"""Seconds between two looks at whether a stalled request is still wanted."""

_LONGEST = 86400

BOMB_SIZE = 200_000_000
"""Bytes that the gzip bomb decompresses to."""

OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "delay": {"seconds": 5.0},
    "rate_limit": {"retry_after": 1},
    "status": {"status": 502},
    "refuse": {},
    "bad_api_key": {},
    "reset": {},
    "truncated": {},
    "not_json": {},
    "wrong_type": {},
    "no_user": {},
    "drip": {"seconds": 0.2},
    "endless": {},
    "gzip_bomb": {},
    "redirect": {"location": None},
}
"""Every misbehaviour, with its options and their defaults."""

DESCRIPTIONS: Mapping[str, str] = {
    "delay": "Answer only after some seconds",
    "rate_limit": "Answer 429 with Retry-After",
    "status": "Answer with a status and a proxy's HTML error page",
    "refuse": "Answer 401: this launch is over",
    "bad_api_key": "Answer 401: the API key is wrong",
    "reset": "Reset the connection",
    "truncated": "Close the connection in the middle of the body",
    "not_json": "Answer 200 with an HTML page",
    "wrong_type": "Answer 200 with a JSON list",
    "no_user": "Leave the user's id out of ID tokens",
    "drip": "Send the answer one byte at a time",
    "endless": "Send a body that never ends",
    "gzip_bomb": "Send a small body that unpacks to 200 MB",
    "redirect": "Answer 302 to another address",
}
"""Every misbehaviour, as the control page calls it."""


@dataclass(eq=False)
class Fault:
    """A misbehaviour that is switched on. `left` counts the requests that it still has to meet,
    None for all.
    """

    name: str
    options: Mapping[str, Any]
    endpoint: str | None
    left: int | None
    ended: threading.Event = field(default_factory=threading.Event)

    def document(self) -> dict[str, Any]:
        """The fault as JSON."""
        return {
            "name": self.name,
            **self.options,
            "endpoint": self.endpoint,
            "times": self.left,
        }


class Faults:
    """The misbehaviours that are switched on, in order. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[Fault] = []

    def __iter__(self) -> Iterator[Fault]:
        with self._lock:
            return iter(list(self._active))

    def switch_on(self, settings: Mapping[str, Any]) -> None:
        """Switch a misbehaviour on: its `name`, optionally `endpoint` and `times`, and its options.

        Raises `ValueError` for a name, an option or a value that does not exist.
        """
        options = dict(settings)
        name, endpoint = options.pop("name", None), options.pop("endpoint", None)
        times = options.pop("times", None)
        if not isinstance(name, str) or name not in OPTIONS:
            raise ValueError(f"no misbehaviour {name!r}; there are {', '.join(OPTIONS)}")
        known = OPTIONS[name]
        for option in options:
            if option not in known:
                takes = ", ".join(known) or "none"
                raise ValueError(f"{name} takes no option {option!r} (it takes: {takes})")
        if not isinstance(endpoint, (str, type(None))):
            raise ValueError("endpoint is the beginning of a path, or None for every call")
        if times is not None and (type(times) is not int or times < 1):
            raise ValueError("times is a whole number from 1, or None for every request")
        fault = Fault(name, _checked({**known, **options}), endpoint, times)
        with self._lock:
            self._active.append(fault)

    def end(self, name: str | None = None) -> None:
        """Switch off one misbehaviour, or all; requests that are being held up are let go."""
        with self._lock:
            ending = [fault for fault in self._active if name in (None, fault.name)]
            self._active = [fault for fault in self._active if fault not in ending]
        for fault in ending:
            fault.ended.set()

    def draw(self, path: str) -> list[Fault]:
        """The misbehaviours that a request for `path` meets: any delays, then at most one other."""
        drawn: list[Fault] = []
        with self._lock:
            for fault in list(self._active):
                if fault.endpoint is not None and not path.startswith(fault.endpoint):
                    continue
                if fault.name != "delay" and any(other.name != "delay" for other in drawn):
                    continue
                drawn.append(fault)
                if fault.left is not None:
                    fault.left -= 1
                    if not fault.left:
                        self._active.remove(fault)
                        # It stays un-ended: the request that drew it last must still meet it.
        return sorted(drawn, key=lambda fault: fault.name != "delay")


def read_faults(descriptions: Iterable[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Faults as given on a command line (`name` or `name:option=value,option=value`) or as
    mappings.

    Each becomes what `Faults.switch_on` takes. Raises `ValueError` for text of another
    shape.
    """
    read: list[dict[str, Any]] = []
    for description in descriptions:
        if not isinstance(description, str):
            read.append(dict(description))
            continue
        name, _, rest = description.partition(":")
        settings: dict[str, Any] = {"name": name.strip()}
        for setting in filter(None, rest.split(",")):
            option, equals, value = setting.partition("=")
            if not equals:
                raise ValueError(f"{setting!r} in {description!r} is not option=value")
            settings[option.strip()] = _value(value.strip())
        read.append(settings)
    return read


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    seconds = options.get("seconds", 0)
    if type(seconds) not in (int, float) or not 0 <= seconds <= _LONGEST:
        raise ValueError(f"seconds is a number from 0 to {_LONGEST}, not {seconds!r}")
    after = options.get("retry_after", 0)
    # Text is let through: a date is allowed, and what is not allowed is worth testing with.
    if type(after) not in (int, float, str) or not _fits_header(after):
        raise ValueError(f"retry_after is a number of seconds, or a header's text, not {after!r}")
    status = options.get("status", 200)
    if type(status) is not int or not 200 <= status <= 599:
        raise ValueError(f"status is a number from 200 to 599, not {status!r}")
    location = options.get("location", "/")
    if not isinstance(location, str) or not location or not _fits_header(location):
        raise ValueError("redirect needs location=, the address to send the client to")
    return options


def _fits_header(value: object) -> bool:
    return str(value).isascii() and str(value).isprintable()


class Gone(ConnectionAbortedError):
    """The connection ended while a request was being held up, at either of its ends."""


@dataclass(frozen=True)
class Patience:
    """Waits on behalf of one request, for as long as its connection stands.

    A stopping server cuts its connections: it needs no word of its own here.
    """

    connection: socket.socket | None

    @classmethod
    def of(cls, environ: Mapping[str, Any]) -> Patience:
        """For a request that this sandbox's server, or a plain WSGI caller, hands over."""
        return cls(environ.get("werkzeug.socket"))

    def wait(self, seconds: float, fault: Fault) -> None:
        """Hold up until the time is over or the fault is ended. Raises `Gone`."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._hung_up():
                raise Gone("nobody is waiting for this answer any more")
            if fault.ended.wait(min(left, _TICK)):
                return

    def _hung_up(self) -> bool:
        connection = self.connection
        if connection is None:
            return False
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(connection, selectors.EVENT_READ)
                if not selector.select(0):
                    return False
            if isinstance(connection, ssl.SSLSocket):
                return _said_goodbye(connection)
            return not connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True


def _said_goodbye(connection: ssl.SSLSocket) -> bool:
    # TLS cannot be peeked into. What is read here is lost, which harms nobody: the request has been
    # read to its end, and its connection will not be used for another.
    connection.settimeout(0)
    try:
        return not connection.recv(1)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return False
    finally:
        connection.settimeout(None)


def spoiled(fault: Fault, answer: Callable[[], Response], patience: Patience) -> Response:
    """What `fault` makes of the answer that a request would have had.

    What answers with an error, a redirect or a reset does so instead of carrying the request out:
    no score of a rate-limited request is in the gradebook. The others carry it out, and spoil the
    answer. A reset ends the connection and raises `Gone`.
    """
    name, options = fault.name, fault.options
    if name == "rate_limit":
        limited = ApiError(429, "RATE_LIMITED", "Too many requests.").response()
        limited.headers["Retry-After"] = _header(options["retry_after"])
        return limited
    if name == "status":
        return _proxy_page(options["status"])
    if name == "refuse":
        return expired_ltik().response()
    if name == "bad_api_key":
        return wrong_api_key().response()
    if name == "reset":
        reset(patience.connection)
        raise Gone("reset by the sandbox")
    if name == "redirect":
        return Response("", 302, {"Location": options["location"]})
    response = answer()
    if name == "not_json":
        return Response("<!doctype html><title>Welcome</title><p>Welcome.", mimetype="text/html")
    if name == "wrong_type":
        return json_response(["not", "an", "object"])
    if name == "no_user":
        return _without_user(response)
    if name == "gzip_bomb":
        return Response(
            gzip_bomb(), mimetype="application/json", headers={"Content-Encoding": "gzip"}
        )
    if name == "endless":
        return Response(_endless(fault, patience), mimetype="application/json")
    body = response.get_data()
    if name == "drip":
        return Response(_drip(body, fault, patience), response.status, response.headers)
    cut = Response(body[: len(body) // 2], response.status, response.headers)
    cut.headers["Content-Length"] = str(max(len(body), 100))  # truncated
    return cut


def _header(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def reset(connection: socket.socket | None) -> None:
    """End a connection with RST, as a machine that crashed would."""
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _proxy_page(status: int) -> Response:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    if status in (204, 304):
        return Response(status=status)
    page = f"<html><head><title>{status} {phrase}</title></head><body><center><h1>{status} {phrase}"
    return Response(f"{page}</h1></center><hr><center>nginx</center></body></html>", status,
                    mimetype="text/html")  # fmt: skip


def _without_user(response: Response) -> Response:
    document = response.get_json(silent=True)
    if response.status_code != 200 or not isinstance(document, dict):
        return response
    if isinstance(document.get("user"), dict):
        document["user"].pop("id", None)
    for name in ("sub", "user_id"):
        document.pop(name, None)
    return json_response(document)


def _drip(body: bytes, fault: Fault, patience: Patience) -> Iterator[bytes]:
    for position in range(len(body)):
        yield body[position : position + 1]
        patience.wait(fault.options["seconds"], fault)


def _endless(fault: Fault, patience: Patience) -> Iterator[bytes]:
    yield b'{"padding": "'
    block = b"x" * 65536
    while not fault.ended.is_set():
        yield block
        # Slow enough to leave the machine usable, fast enough to hurt whoever reads on and on.
        patience.wait(0.01, fault)


@functools.lru_cache(maxsize=1)
def gzip_bomb() -> bytes:
    """A gzip stream of some 200 kB that decompresses to a JSON object of `BOMB_SIZE` bytes."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    start, end, block = b'{"padding": "', b'"}', b"x" * 1_000_000
    parts = [packer.compress(start)]
    whole, rest = divmod(BOMB_SIZE - len(start) - len(end), len(block))
    parts += [packer.compress(block) for _ in range(whole)]
    parts += [packer.compress(block[:rest] + end), packer.flush()]
    return b"".join(parts)
