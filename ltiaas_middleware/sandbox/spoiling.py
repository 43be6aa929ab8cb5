"""Applies faults to the response that a request would have had.

Faults that respond with an error, a redirect or a reset do so instead of executing the request, so
the gradebook does not contain the score of a rate-limited request. The others execute it, and
change the response.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator

from werkzeug import Response

from .errors import (
    expired_ltik,
    json_response,
    phrase,
    rate_limited,
    wrong_api_key,
    wrong_service_key,
)
from .faults import Fault
from .holding import Gone, Holding
from .lms_errors import REFUSALS, refused

BOMB_SIZE = 200_000_000
"""Bytes that the gzip bomb decompresses to."""


def spoiled(fault: Fault, answer: Callable[[], Response], holding: Holding) -> Response:
    """The response to a request with `fault`; `answer` executes the request. A reset ends the
    connection and raises `Gone`."""
    if fault.name in REFUSALS:
        lms, shape = fault.options["lms"], fault.options["shape"]
        return refused(fault.name, lms, url=_LMS_URL, shape=shape).response()
    if fault.name in _INSTEAD:
        return _INSTEAD[fault.name](fault)
    if fault.name == "lost_answer":
        answer()
    if fault.name in ("lost_answer", "reset"):
        holding.reset()
        raise Gone("reset by the sandbox")
    return _AFTER[fault.name](answer(), fault, holding)


_LMS_URL = "https://lms.example/services"


def _header(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _proxy_page(fault: Fault) -> Response:
    status: int = fault.options["status"]
    name = phrase(status)
    if status in (204, 304):
        return Response(status=status)
    page = f"<html><head><title>{status} {name}</title></head><body><center><h1>{status} {name}"
    return Response(f"{page}</h1></center><hr><center>nginx</center></body></html>", status,
                    mimetype="text/html")  # fmt: skip


_INSTEAD: dict[str, Callable[[Fault], Response]] = {
    "rate_limit": lambda fault: rate_limited(_header(fault.options["retry_after"])),
    "per_second": lambda fault: rate_limited("1"),
    "status": _proxy_page,
    "refuse": lambda fault: expired_ltik().response(),
    "bad_api_key": lambda fault: wrong_api_key().response(),
    "service_key_refused": lambda fault: wrong_service_key().response(),
    "redirect": lambda fault: Response("", 302, {"Location": fault.options["location"]}),
}


def _not_json(response: Response, fault: Fault, holding: Holding) -> Response:
    return Response("<!doctype html><title>Welcome</title><p>Welcome.", mimetype="text/html")


def _wrong_type(response: Response, fault: Fault, holding: Holding) -> Response:
    return json_response(["not", "an", "object"])


def _without_user(response: Response, fault: Fault, holding: Holding) -> Response:
    document = response.get_json(silent=True)
    if response.status_code != 200 or not isinstance(document, dict):
        return response
    if isinstance(document.get("user"), dict):
        document["user"].pop("id", None)
    for name in ("sub", "user_id"):
        document.pop(name, None)
    return json_response(document)


def _truncated(response: Response, fault: Fault, holding: Holding) -> Response:
    body = response.get_data()
    cut = Response(body[: len(body) // 2], response.status, response.headers)
    cut.headers["Content-Length"] = str(max(len(body), 100))
    return cut


def _drip(response: Response, fault: Fault, holding: Holding) -> Response:
    body = response.get_data()

    def drops() -> Iterator[bytes]:
        for position in range(len(body)):
            yield body[position : position + 1]
            holding.wait(fault.options["seconds"], fault.ended)

    return Response(drops(), response.status, response.headers)


def _endless(response: Response, fault: Fault, holding: Holding) -> Response:
    def blocks() -> Iterator[bytes]:
        yield b'{"padding": "'
        block = b"x" * 65536
        while not fault.ended.is_set():
            yield block
            # Slow enough to leave the machine usable, fast enough to hurt whoever reads on.
            holding.wait(0.01, fault.ended)

    return Response(blocks(), mimetype="application/json")


def _gzip_bomb(response: Response, fault: Fault, holding: Holding) -> Response:
    packed = {"Content-Encoding": "gzip"}
    return Response(gzip_bomb(), mimetype="application/json", headers=packed)


_AFTER: dict[str, Callable[[Response, Fault, Holding], Response]] = {
    "not_json": _not_json,
    "wrong_type": _wrong_type,
    "no_user": _without_user,
    "truncated": _truncated,
    "drip": _drip,
    "endless": _endless,
    "gzip_bomb": _gzip_bomb,
}


@functools.lru_cache(maxsize=1)
def gzip_bomb() -> bytes:
    """A gzip stream of about 200 kB that decompresses to a JSON object of `BOMB_SIZE` bytes."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    start, end, block = b'{"padding": "', b'"}', b"x" * 1_000_000
    parts = [packer.compress(start)]
    whole, rest = divmod(BOMB_SIZE - len(start) - len(end), len(block))
    parts += [packer.compress(block) for _ in range(whole)]
    parts += [packer.compress(block[:rest] + end), packer.flush()]
    return b"".join(parts)
