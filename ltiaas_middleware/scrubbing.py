"""Keeps secrets out of what servers log and error trackers and traces collect.

A launch arrives as ``GET /launch?ltik=…``, and every server writes the request's line into its
access log. ``LtikFilter`` stands on the loggers of the known servers and takes the token out of a
record before any handler sees it; the middleware puts it there.

Error trackers collect the local variables of every frame, also those of HTTP libraries, which hold
the bytes of a request, and tracing collects addresses before any middleware runs. They have hooks::

    sentry_sdk.init(before_send=scrub_event, before_send_transaction=scrub_event)
    provider.add_span_processor(scrubbed_spans(BatchSpanProcessor(exporter)))  # OpenTelemetry

docs/deployment.md, "Secrets in logs, error trackers and traces", says what each of them sees.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

from .errors import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

    from .settings import Settings

__all__ = [
    "LOGGERS",
    "LtikFilter",
    "install",
    "know",
    "scrub",
    "scrub_event",
    "scrubbed_spans",
    "without_arguments",
]

#: The loggers that servers write requests to: gunicorn, uvicorn, Werkzeug, hypercorn, daphne,
#: Django, Channels, waitress, cheroot, Tornado and granian.
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
    "daphne.http_protocol",
    "daphne.server",
    "daphne.ws_protocol",
    "django.request",
    "django.server",
    "django.channels.server",
    "waitress",
    "waitress.queue",
    "cheroot",
    "tornado.access",
    "tornado.application",
    "tornado.general",
    "granian.access",
    "_granian",
)

_HIDDEN = "[hidden]"
# Shorter ones would be found in the middle of words. LTIAAS's API keys have 36 characters.
_SHORTEST_SECRET = 12

# What holds a secret, in lower case and with underscores: variables, headers, cookies, claims.
_NAMES = {
    "ltik",
    "ltiaas_handoff",
    "ltiaas_launch",
    "ltiaas_launch_tab",
    "api_key",
    "ltiaas_api_key",
    "ltiaas_secret",
    "servicekey",
    "service_key",
    "legacyservicekey",
}
_names = set(_NAMES)
_secrets: set[str] = set()


_P = ParamSpec("_P")
_R = TypeVar("_R")


def without_arguments(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """``function``, refusing bad settings from a frame that holds none of its arguments: an error
    tracker shows the local variables of every frame that an exception went through."""

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except (SettingsError, TypeError) as error:
            kind, message = type(error), str(error)
        args = ()  # type: ignore[assignment]
        kwargs.clear()
        raise kind(message)

    return call


def _compiled() -> re.Pattern[str]:
    # The longest first, so that no name hides behind a shorter one.
    names = "|".join(
        re.escape(name).replace("_", "[-_]") for name in sorted(_names, key=len, reverse=True)
    )
    alternatives = [
        # A parameter, also inside another parameter's value (…%3Fltik%3D…), or a cookie.
        rf"(?P<parameter>(?:{names})(?:=|%3D|%253D))[^&\s\"'#;,<>]+",
        # A header or a variable, as JSON or a repr shows it.
        rf"(?P<variable>(?:{names})['\"]?[ ]?[:=,][ ]?b?)(?:'[^'\s]*'?|\"[^\"\s]*\"?)",
        rf"(?P<header>(?:{names}):[ ]?)[^\s\"'#;,<>]+",
        # The authorization schemes (wire.md).
        r"(?P<scheme>LTIK-AUTH-V[12]|SERVICE-AUTH-V1)\s+[^\s\"']+"
        r"(?:\s*(?:,\s*)?Additional=Bearer\s+[^\s\"']+)?",
        r"(?P<bearer>Bearer\s)\s*[\w.~+/=-]{8,}",
        # A compact JWS (RFC 7515 section 7.1), whole or cut off: it begins with JSON in base64.
        r"(?<![\w-])eyJ[\w-]{16,}(?:\.[\w-]*){0,2}",
        *map(re.escape, sorted(_secrets, key=len, reverse=True)),
    ]
    return re.compile("|".join(alternatives), re.IGNORECASE)


_pattern = _compiled()


def know(settings: Settings) -> None:
    """Hide what these settings name, too: their cookie, their header, and the secrets' values."""
    global _pattern
    cookie = _normal(settings.cookie_name)
    _names.update((cookie, f"{cookie}_tab"))
    if settings.header is not None:
        _names.add(_normal(settings.header))
    secrets = {settings.api_key, *settings.secrets}
    for address in (settings.cache, settings.service_keys):
        if isinstance(address, str):
            secrets.add(urlsplit(address).password or "")
    _secrets.update(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)
    _pattern = _compiled()


def scrub(text: str) -> str:
    """``text`` with every ltik, every LTIAAS credential and every known secret taken out."""
    return _pattern.sub(_hide, text)


def _hide(found: re.Match[str]) -> str:
    if found.lastgroup == "variable":
        return f"{found['variable']}'{_HIDDEN}'"
    kept = found[found.lastgroup] if found.lastgroup else ""
    return f"{kept}{_HIDDEN}"


def _normal(name: str) -> str:
    return name.lower().replace("-", "_")


def _is_secret(name: object) -> bool:
    """Whether what has this name is a secret: a variable's, a header's or a cookie's, whatever is
    put before it (``HTTP_X_LTIK``, ``__Secure-…``, ``http.request.header.x-ltik``)."""
    if not isinstance(name, str):
        return False
    normal = _normal(name)
    return any(
        normal == known or normal.endswith((f"_{known}", f".{known}", f"{{{known}}}i"))
        for known in _names
    )


# -- logging --------------------------------------------------------------------------------------


class LtikFilter(logging.Filter):
    """Takes ltiks out of a record's message and arguments; every record passes.

    It stands on the known servers' loggers by default; put it on another one with
    ``logging.getLogger("my.access.log").addFilter(LtikFilter())``.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.msg, str):
            record.msg = scrub(record.msg)
        else:
            record.msg = _scrub_argument(record.msg)
        arguments = record.args
        if isinstance(arguments, Mapping):
            record.args = _scrubbed(arguments)
        elif isinstance(arguments, tuple):
            record.args = tuple(map(_scrub_argument, arguments))
        return True


class _Shown:
    """Stands for an argument in which a secret was found; it is shown without."""

    def __init__(self, value: object) -> None:
        self._str = scrub(str(value))
        self._repr = scrub(repr(value))

    def __str__(self) -> str:
        return self._str

    def __repr__(self) -> str:
        return self._repr


def _scrub_argument(value: object) -> object:
    if isinstance(value, str):
        return scrub(value)
    if value is None or isinstance(value, (int, float)):
        return value
    # uvicorn's trace level logs the scope, a dictionary.
    shown = _Shown(value)
    return value if (str(shown), repr(shown)) == (str(value), repr(value)) else shown


def _scrubbed(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """A mapping that scrubs what is read from it: gunicorn makes up keys such as ``{referer}i``
    when they are asked for, so that a copy would not do."""

    class Scrubbed(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            value = arguments[key]
            if _is_secret(key) and isinstance(value, str) and value not in ("", "-"):
                return _HIDDEN
            return _scrub_argument(value)

    # Keys alone, to tell that it is not empty. What is not read is not scrubbed: gunicorn's holds
    # every header of the request.
    return Scrubbed(dict.fromkeys(arguments))


def install() -> None:
    """Put the filter on the known loggers, once each."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, LtikFilter) for known in logger.filters):
            logger.addFilter(LtikFilter())


# -- error trackers -------------------------------------------------------------------------------

_Event = TypeVar("_Event")


def scrub_event(event: _Event, hint: object = None) -> _Event:
    """Sentry's ``before_send``, ``before_send_transaction``, ``before_send_log`` or
    ``before_breadcrumb``: the event without what ``scrub`` hides.

    Args:
        event: what is about to be sent; it is not changed.
        hint: not looked at.
    """
    scrubbed: _Event = _scrub_tree(event)
    return scrubbed


def _scrub_tree(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _HIDDEN if _is_secret(key) and each else _scrub_tree(each)
            for key, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        # Headers and query parameters come as pairs, too.
        if len(value) == 2 and _is_secret(value[0]) and value[1]:
            return [value[0], _HIDDEN]
        return [_scrub_tree(each) for each in value]
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, (bytes, bytearray)):
        return scrub(bytes(value).decode("latin-1")).encode("latin-1")
    return value


# -- traces ---------------------------------------------------------------------------------------


def scrubbed_spans(processor: SpanProcessor) -> SpanProcessor:
    """An OpenTelemetry span processor that hands every span on without what ``scrub`` hides: in
    attributes, events, links, names and statuses.

    Args:
        processor: the one that exports, such as a ``BatchSpanProcessor``.

    Raises:
        ImportError: the package ``opentelemetry-sdk`` is not installed.
    """
    from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
    from opentelemetry.trace import Link, Status

    class ScrubbedSpans(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            processor.on_start(span, parent_context)

        def on_end(self, span: ReadableSpan) -> None:
            description = span.status.description
            scrubbed = ReadableSpan(
                name=scrub(span.name),
                context=span.context,
                parent=span.parent,
                resource=span.resource,
                attributes=_scrub_attributes(span.attributes),
                events=[
                    Event(scrub(each.name), _scrub_attributes(each.attributes), each.timestamp)
                    for each in span.events
                ],
                links=[
                    Link(each.context, _scrub_attributes(each.attributes)) for each in span.links
                ],
                kind=span.kind,
                status=Status(span.status.status_code, description and scrub(description)),
                start_time=span.start_time,
                end_time=span.end_time,
                instrumentation_scope=span.instrumentation_scope,
            )
            processor.on_end(scrubbed)

        def shutdown(self) -> None:
            processor.shutdown()

        def force_flush(self, timeout_millis: int = 30000) -> bool:
            return processor.force_flush(timeout_millis)

    return ScrubbedSpans()


def _scrub_attributes(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: _scrub_tree_of(key, value) for key, value in (attributes or {}).items()}


def _scrub_tree_of(key: str, value: Any) -> Any:
    if _is_secret(key):
        return _HIDDEN if isinstance(value, str) else [_HIDDEN]
    return _scrub_tree(value)
