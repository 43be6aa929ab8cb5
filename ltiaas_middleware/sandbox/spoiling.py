"""Applies faults to the response that a request would have had.

Faults that respond with an error, a redirect or a reset do so instead of executing the request, so
the gradebook does not contain the score of a rate-limited request. The others execute it, and
change the response.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from werkzeug import Response

from . import errors
from .errors import json_response
from .faults import Fault
from .holding import Holding
from .lms_errors import REFUSALS, refused

BOMB_SIZE = 200_000_000
"""Bytes that the gzip bomb decompresses to."""


def spoiled(fault: Fault, answer: Callable[[], Response], holding: Holding) -> Response:
    """The response to a request with `fault`; `answer` executes the request. A reset ends the
    connection and raises `Gone`."""
    options = fault.options
    if fault.name in REFUSALS:
        lms, shape = options["lms"], options["shape"]
        url = "https://lms.example/services"
        return refused(fault.name, lms, url=url, shape=shape).response()
    if fault.name in _INSTEAD:
        return _INSTEAD[fault.name](options)
    if fault.name == "reset":
        holding.reset()
    response = answer()
    if fault.name == "lost_answer":
        holding.reset()
    if fault.name == "drip":
        drops = _drops(response.get_data(), fault, holding)
        return Response(drops, response.status, response.headers)
    if fault.name == "endless":
        return Response(_blocks(fault, holding), mimetype="application/json")
    return _AFTER[fault.name](response)


def _proxy_page(status: int) -> Response:
    name = errors.phrase(status)
    if status in (204, 304):
        return Response(status=status)
    page = f"<html><head><title>{status} {name}</title></head><body><center><h1>{status} {name}"
    return Response(f"{page}</h1></center><hr><center>nginx</center></body></html>", status,
                    mimetype="text/html")  # fmt: skip


_INSTEAD: Mapping[str, Callable[[Mapping[str, Any]], Response]] = {
    "rate_limit": lambda options: errors.rate_limited(options["retry_after"]),
    "per_second": lambda options: errors.rate_limited(1),
    "status": lambda options: _proxy_page(options["status"]),
    "refuse": lambda options: errors.expired_ltik().response(),
    "bad_api_key": lambda options: errors.wrong_api_key().response(),
    "service_key_refused": lambda options: errors.wrong_service_key().response(),
    "redirect": lambda options: Response("", 302, {"Location": options["location"]}),
}


def _without_user(response: Response) -> Response:
    document = response.get_json(silent=True)
    if response.status_code != 200 or not isinstance(document, dict):
        return response
    if isinstance(document.get("user"), dict):
        document["user"].pop("id", None)
    for name in ("sub", "user_id"):
        document.pop(name, None)
    return json_response(document)


def _truncated(response: Response) -> Response:
    body = response.get_data()
    cut = Response(body[: len(body) // 2], response.status, response.headers)
    cut.headers["Content-Length"] = str(max(len(body), 100))
    return cut


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


_AFTER: Mapping[str, Callable[[Response], Response]] = {
    "not_json": lambda _: Response(
        "<!doctype html><title>Welcome</title><p>Welcome.", mimetype="text/html"
    ),
    "wrong_type": lambda _: json_response(["not", "an", "object"]),
    "no_user": _without_user,
    "truncated": _truncated,
    "gzip_bomb": lambda _: Response(
        gzip_bomb(), 200, {"Content-Encoding": "gzip"}, mimetype="application/json"
    ),
}


def _drops(body: bytes, fault: Fault, holding: Holding) -> Iterator[bytes]:
    for position in range(len(body)):
        yield body[position : position + 1]
        holding.wait(fault.options["seconds"], fault.ended)


def _blocks(fault: Fault, holding: Holding) -> Iterator[bytes]:
    yield b'{"padding": "'
    block = b"x" * 65536
    while not fault.ended.is_set():
        yield block
        # Slow enough to leave the machine usable, fast enough to hurt whoever reads on.
        holding.wait(0.01, fault.ended)
