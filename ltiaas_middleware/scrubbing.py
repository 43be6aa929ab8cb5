"""Keeps ltiks out of what servers write into their logs.

A launch arrives as ``GET /launch?ltik=…``, and every server writes the request's line into its
access log, and some into the error log when an app crashes. The filter stands on the loggers of the
known servers and takes the token out of a record before any handler sees it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["LOGGERS", "LtikFilter", "install"]

#: The loggers that gunicorn, uvicorn, Werkzeug, hypercorn, Django, waitress and cheroot write to.
LOGGERS = (
    "gunicorn.access",
    "gunicorn.error",
    "uvicorn.access",
    "uvicorn.error",
    "uvicorn.asgi",
    "werkzeug",
    "hypercorn.access",
    "hypercorn.error",
    "daphne.access",
    "django.request",
    "django.server",
    "waitress",
    "waitress.queue",
    "cheroot",
)

# The parameters as they stand, and inside another parameter's value (…%3Fltik%3D…); the
# three authorization schemes, should a server be set to log headers; and a launch's cookie.
_SECRET = re.compile(
    r"((?:ltik|ltiaas_handoff)(?:=|%3D|%253D))[^&\s\"'#;<>]+"
    r"|(LTIK-AUTH-V[12]|SERVICE-AUTH-V1)\s+[^\s\"']+(?:\s*(?:,\s*)?Additional=Bearer\s+[^\s\"']+)?"
    r"|(ltiaas-launch(?:-tab)?=)[^;\s\"']+",
    re.IGNORECASE,
)


def scrub(text: str) -> str:
    """``text`` with every ltik and every LTIAAS credential taken out."""
    return _SECRET.sub(lambda found: f"{found[1] or found[2] or found[3]}[hidden]", text)


class LtikFilter(logging.Filter):
    """Takes ltiks out of a record's message and arguments; every record passes.

    It stands on the known servers' loggers by default; put it on another one with
    ``logging.getLogger("my.access.log").addFilter(LtikFilter())``.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.msg, str):
            record.msg = scrub(record.msg)
        arguments = record.args
        if isinstance(arguments, Mapping):
            record.args = _scrubbed(arguments)
        elif isinstance(arguments, tuple):
            record.args = tuple(map(_scrub_value, arguments))
        return True


def _scrub_value(value: object) -> object:
    return scrub(value) if isinstance(value, str) else value


def _scrubbed(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """A mapping that scrubs what is read from it: gunicorn's makes up keys such as
    ``{referer}i`` when they are asked for, so that a copy would not do."""

    class Scrubbed(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            return _scrub_value(arguments[key])

    # Keys alone, to tell that it is not empty. What is not read is not scrubbed: gunicorn's holds
    # every header of the request.
    return Scrubbed(dict.fromkeys(arguments))


def install() -> None:
    """Put the filter on the known loggers, once each."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, LtikFilter) for known in logger.filters):
            logger.addFilter(LtikFilter())
