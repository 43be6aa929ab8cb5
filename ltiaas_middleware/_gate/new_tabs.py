"""New tabs: the script that opens a launch's links in them, and the handoffs that it asks for."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files

from ..refusals import Answer
from .request import Request, without_parameter

__all__ = ["HANDOFF_PATH", "RESERVED", "SCRIPT_PATH", "handoff_answer", "script_answer"]

#: What every path below a launch's that is the middleware's own begins with.
RESERVED = "/ltiaas-"
SCRIPT_PATH = "/ltiaas-new-tabs.js"
HANDOFF_PATH = "/ltiaas-handoff"

_SCRIPT = files(__package__).joinpath("new_tabs.js").read_bytes()
_ETAG = f'"{sha256(_SCRIPT).hexdigest()[:16]}"'


def script_answer(request: Request) -> Answer:
    """The script. It is the same for everybody and holds no secret, so that it needs no proof."""
    headers = (
        ("Cache-Control", "private, max-age=3600"),
        ("ETag", _ETAG),
        ("X-Content-Type-Options", "nosniff"),
    )
    if request.get("REQUEST_METHOD") not in ("GET", "HEAD"):
        return Answer(405, (("Allow", "GET, HEAD"),))
    if request.get("HTTP_IF_NONE_MATCH") == _ETAG:
        return Answer(304, headers)
    return Answer(200, (("Content-Type", "text/javascript; charset=utf-8"), *headers), _SCRIPT)


def handoff_answer(request: Request, handoff_url: Callable[[str], str]) -> Answer:
    """A handoff to the path below the launch that the parameter ``to`` names.

    Args:
        request: one that has proved its launch.
        handoff_url: ``Launch.handoff_url``.
    """
    if request.get("REQUEST_METHOD") != "POST":
        return Answer(405, (("Allow", "POST"),))
    found, _ = without_parameter(request.query, "to")
    if len(found) != 1 or not found[0].startswith("/") or not found[0].isprintable():
        return Answer(400)
    headers = (("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff"))
    return Answer(200, headers, json.dumps({"url": handoff_url(found[0])}).encode())
