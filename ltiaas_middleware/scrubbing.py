"""Keeps secrets out of server logs, error trackers and traces.

A launch arrives as ``GET /launch?ltik=…``, and servers write the request line to their access logs.
The middleware adds ``LtikFilter`` to the loggers of known servers. The filter removes the token
from a record before any handler sees it.

Error trackers collect the local variables of every frame, including those of HTTP libraries, which
contain the bytes of a request. Tracing collects URLs before any middleware runs. Both have hooks::

    sentry_sdk.init(before_send=scrub_event, before_send_transaction=scrub_event)
    provider.add_span_processor(scrubbed_spans(BatchSpanProcessor(exporter)))  # OpenTelemetry

docs/howto/secrets-in-logs.md says what each of them sees.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from ._frames import without_arguments
from ._secret_patterns import HIDDEN, is_secret, know, scrub, scrub_tree

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor


__all__ = [
    "LOGGERS",
    "LtikFilter",
    "install",
    "know",
    "scrub",
    "scrub_event",
    "scrub_request",
    "scrubbed_spans",
    "without_arguments",
]

#: The loggers to which servers write requests: gunicorn, uvicorn, Werkzeug, Hypercorn, Daphne,
#: Django, Channels, waitress, cheroot, Tornado and Granian. And this package's own, because its
#: messages quote paths.
LOGGERS = (
    "ltiaas_middleware",
    "gunicorn.access", "gunicorn.error", "uvicorn.access", "uvicorn.error", "uvicorn.asgi",
    "werkzeug", "hypercorn.access", "hypercorn.error", "daphne.access", "daphne.http_protocol",
    "daphne.server", "daphne.ws_protocol", "django.request", "django.server",
    "django.channels.server", "waitress", "waitress.queue", "cheroot", "tornado.access",
    "tornado.application", "tornado.general", "granian.access", "_granian",
)  # fmt: skip

# -- logging --------------------------------------------------------------------------------------


class LtikFilter(logging.Filter):
    """Removes ltiks from a record's message and arguments. It never drops a record.

    The middleware adds it to the loggers of known servers. Add it to another logger with
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
    """Replaces an argument that contains a secret, and prints it without the secret."""

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
    # At trace level, uvicorn logs the scope, which is a dictionary.
    shown = _Shown(value)
    return value if (str(shown), repr(shown)) == (str(value), repr(value)) else shown


def _scrubbed(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """A mapping that scrubs values when they are read. A copy would not work, because gunicorn
    creates keys such as ``{referer}i`` on demand."""

    class Scrubbed(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            value = arguments[key]
            if is_secret(key) and isinstance(value, str) and value not in ("", "-"):
                return HIDDEN
            return _scrub_argument(value)

    # Only the keys, to show that it is not empty. Values that nobody reads are not scrubbed,
    # because gunicorn's mapping contains every header of the request.
    return Scrubbed(dict.fromkeys(arguments))


def install() -> None:
    """Add the filter to the known loggers, once each."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, LtikFilter) for known in logger.filters):
            logger.addFilter(LtikFilter())
    _scrub_daphne()


def _scrub_daphne() -> None:
    """Daphne's command line writes requests to its own stream, not to ``logging``. It imports this
    class before it imports the app."""
    access = sys.modules.get("daphne.access")
    kind: Any = getattr(access, "AccessLogGenerator", None)
    write = getattr(kind, "write_entry", None)
    if write is None or hasattr(write, "__wrapped__"):
        return

    @wraps(write)
    def write_scrubbed(self: Any, host: Any, date: Any, request: str, *rest: Any, **to: Any) -> Any:
        return write(self, host, date, scrub(request), *rest, **to)

    kind.write_entry = write_scrubbed


# -- requests that do not reach the app ----------------------------------------------------------


def scrub_request(request: dict[str, Any]) -> None:
    """Scrub a WSGI ``environ`` or an ASGI ``scope`` in place, because the server may raise while it
    sends the middleware's own response, and then log the request."""
    for key, value in request.items():
        if isinstance(value, str):
            request[key] = HIDDEN if value and is_secret(key) else scrub(value)
        elif key == "headers":
            request[key] = [_scrub_header(*pair) for pair in value]
        elif isinstance(value, bytes):
            request[key] = scrub_tree(value)


def _scrub_header(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    if value and is_secret(name.decode("latin-1")):
        return name, HIDDEN.encode()
    return name, scrub(value.decode("latin-1")).encode("latin-1")


# -- error trackers -------------------------------------------------------------------------------

_Event = TypeVar("_Event")


def scrub_event(event: _Event, hint: object = None) -> _Event:
    """For Sentry's ``before_send``, ``before_send_transaction``, ``before_send_log`` or
    ``before_breadcrumb``: returns the event without secrets.

    Args:
        event: the event to send; the function does not change it.
        hint: ignored.
    """
    scrubbed: _Event = scrub_tree(event)
    return scrubbed


# -- traces ---------------------------------------------------------------------------------------


def scrubbed_spans(processor: SpanProcessor) -> SpanProcessor:
    """An OpenTelemetry span processor that removes secrets from attributes, events, links, names
    and statuses, and then passes each span to ``processor``.

    Args:
        processor: the processor that exports spans, such as a ``BatchSpanProcessor``.

    Raises:
        ImportError: the package ``opentelemetry-sdk`` is not installed.
    """
    from opentelemetry.sdk.trace import SpanProcessor

    class ScrubbedSpans(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            processor.on_start(span, parent_context)

        def on_end(self, span: ReadableSpan) -> None:
            processor.on_end(_scrub_span(span))

        def shutdown(self) -> None:
            processor.shutdown()

        def force_flush(self, timeout_millis: int = 30000) -> bool:
            return processor.force_flush(timeout_millis)

    return ScrubbedSpans()


def _scrub_span(span: ReadableSpan) -> ReadableSpan:
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.trace import Link, Status

    description = span.status.description
    return ReadableSpan(
        name=scrub(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=scrub_tree(span.attributes or {}),
        events=[
            Event(scrub(each.name), scrub_tree(each.attributes or {}), each.timestamp)
            for each in span.events
        ],
        links=[Link(each.context, scrub_tree(each.attributes or {})) for each in span.links],
        kind=span.kind,
        status=Status(span.status.status_code, description and scrub(description)),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
