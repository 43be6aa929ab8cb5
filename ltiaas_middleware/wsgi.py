"""The WSGI adapter (PEP 3333): translates requests, asks the gate, and calls the app. It contains
no rules.

Wrap the app that the server calls. Put Werkzeug's ``ProxyFix``, which sets the scheme and host,
around the middleware, so that cookies and redirects match the URL that the browser sees::

    app.wsgi_app = ProxyFix(LTIAASMiddleware(app.wsgi_app), x_for=1, x_proto=1, x_host=1)

The middleware changes ``environ`` in place, so a server that logs from ``environ`` after the
request does not log an ltik.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from ._gate.decisions import Flow, Serve
from ._launch_header import HEADER, header_for
from ._middleware import Middleware
from .errors import RequestRefused, SettingsError, too_late
from .launch import Launch, current
from .responses import Response
from .scrubbing import scrub_request, without_arguments
from .settings import Options, Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from typing_extensions import Unpack

    from ._gate.frame import AppAnswers
    from ._gate.insertion import Insertion, Insertions

__all__ = ["LTIAASMiddleware"]

_HEADER = f"HTTP_{HEADER.upper().replace('-', '_')}"


class LTIAASMiddleware(Middleware):
    """WSGI middleware that passes each request of a launch to ``app`` with its ``Launch``.

    Get the launch from ``current_launch()`` or ``environ["ltiaas.launch"]``, in views, streamed
    bodies and ``close()``.

    Args:
        app: the WSGI app to wrap.
        settings: a ``Settings`` object. By default, the middleware reads the environment
            (``LTIAAS_URL``, ``LTIAAS_API_KEY``) at the first request.
        options: individual settings, if you pass no ``Settings``.

    Raises:
        SettingsError: a setting passed here is invalid, or the app is an ASGI app in a2wsgi.
    """

    app: WSGIApplication
    _answers: AppAnswers[str]
    _insertions: Insertions[str]
    _text = str

    @without_arguments
    def __init__(
        self,
        app: WSGIApplication,
        settings: Settings | None = None,
        **options: Unpack[Options],
    ) -> None:
        if type(app).__module__.startswith("a2wsgi.") and hasattr(app, "app"):
            # The ASGI app would not see where its launch begins, so its own path checks would fail.
            raise SettingsError(
                "wrap the ASGI app itself: ASGIMiddleware(LTIAASMiddleware(app)), with "
                "LTIAASMiddleware from ltiaas_middleware.asgi"
            )
        super().__init__(app, settings, **options)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:  # noqa: C901, PLR0915
        """Handle one request."""
        launch: Launch | None = None
        starting: _Starting | None = None
        path = environ.get("PATH_INFO", "")
        if not path.isascii():
            path = _as_text(path)
        if _HEADER in environ and "ltiaas.launch" not in environ:
            del environ[_HEADER]
        decided = self._decide(path, environ.get("QUERY_STRING", ""), environ)
        if decided is None or isinstance(decided, Serve):
            decision = decided
        else:
            settled = self._settle(decided)
            if isinstance(settled, Response):
                return _send(settled, environ, start_response)
            decision = settled
        if decision is not None:
            launch = decision.launch
            path = decision.path
            environ["PATH_INFO"] = path if path.isascii() else path.encode().decode("latin-1")
            prefix, cookies = decision.prefix, decision.cookies
            if prefix:
                mount = environ.get("SCRIPT_NAME")
                environ["SCRIPT_NAME"] = mount.rstrip("/") + prefix if mount else prefix
            if decision.query is not None:
                _set_query(environ, decision.query)
            if cookies:
                environ["HTTP_COOKIE"] = cookies
            elif cookies is not None:
                environ.pop("HTTP_COOKIE", None)
            for name in decision.without:
                environ.pop(name, None)
            if launch is not None:
                environ["ltiaas.launch"] = launch
                environ[_HEADER] = header_for(launch._entry.id, launch.path)
                start_response = starting = _Starting(self, start_response, decision, environ)
            # An error tracker shows the variables of this frame if the app raises.
            del cookies, decided, decision
        # The app is called with its launch in place, and nothing is left behind on this thread.
        before = current.get()
        if launch is not before:
            if launch is None:
                # An outer middleware's launch stays; what else is there was left by a server that
                # did not close a body, or belongs to the request that this one is made inside of.
                launch = environ.get("ltiaas.launch")
            current.set(launch)
        try:
            body = self.app(environ, start_response)
        except (RequestRefused, BaseExceptionGroup) as error:
            return self._answer_for_app(launch, environ, start_response, error)
        finally:
            if launch is not before:
                current.set(before)
        kind = type(body)
        if kind is list or kind is tuple or (launch is None and kind is not GeneratorType):
            # No code of the app's runs in a list, and servers send it in one go.
            if starting is None or starting.insertion is None:
                return body
            return [starting.feed(b"".join(body), last=True)]
        if (starting is None or not starting.waiting) and _is_file_wrapper(body, environ):
            # Nor in this, and servers send it by sendfile.
            return body
        instead = partial(self._answer_for_app, launch, environ, start_response)
        whole = _Body(body, launch, instead)
        return whole if starting is None else _Document(whole, starting)

    def _settle(self, flow: Flow) -> Serve | Response | None:
        """Wait for what the gate waits for."""
        result: Any = None
        try:
            while True:
                step = flow.send(result)
                if callable(step):
                    result = step()
                else:
                    result = self._authenticator.verify(**step._asdict())
        except StopIteration as done:
            settled: Serve | Response | None = done.value
            return settled

    def _answer_for_app(
        self,
        launch: Launch | None,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        error: BaseException,
    ) -> Iterable[bytes]:
        refused = RequestRefused.within(error)
        if refused is None:
            raise error
        answer = self._gate.answer_for_app(refused.code, launch, environ)
        try:
            return _send(answer, environ, start_response)
        except Exception:  # noqa: BLE001 - each server has an exception of its own for it
            # The app had called start_response already; with exc_info it may be called again.
            return _send(answer, environ, start_response, sys.exc_info())


class _Starting:
    """``start_response`` in a launch: with the headers that the app's response needs, and for a
    document held back until the script's tag has its place.

    Args:
        middleware: knows what those headers are, and which response is a document.
        start_response: the server's.
        serve: what the gate decided, with a launch.
        environ: of the request.
    """

    __slots__ = (
        "_environ", "_headers", "_middleware", "_serve", "_start", "_status",
        "_write", "insertion",
    )  # fmt: skip

    def __init__(
        self,
        middleware: LTIAASMiddleware,
        start_response: StartResponse,
        serve: Serve,
        environ: Any,
    ) -> None:
        self._middleware = middleware
        self._start = start_response
        self._serve = serve
        self._environ = environ
        self.insertion: Insertion[str] | None = None
        self._write: Callable[[bytes], object] | None = None

    @property
    def waiting(self) -> bool:
        """Whether the status has not been sent yet although the app has said it."""
        return self.insertion is not None and self.insertion.waiting

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        self.insertion = None
        middleware, serve, environ = self._middleware, self._serve, self._environ
        # Kept in no variable: the server may raise, and a cookie may be the launch's.
        self._headers = middleware._answers.headers(headers, serve, environ)
        if serve.jar is not None:
            serve.jar.save()
        if exc_info is not None:
            return self._start(status, self._headers, exc_info)
        if serve.may_have_script:
            code = int(status[:3]) if status[:3].isdecimal() else 0
            self.insertion = middleware._insertions.of(code, self._headers, serve, environ)
            if self.insertion is not None:
                self._status = status
                return self._written
        return self._start(status, self._headers)

    def feed(self, chunk: bytes, *, last: bool = False) -> bytes:
        """What to send for a part of the body; see ``Insertion.feed``."""
        insertion = self.insertion
        if insertion is None or not insertion.waiting:
            return chunk
        chunk = insertion.feed(chunk, last=last)
        if not insertion.waiting:
            self._write = self._start(self._status, insertion.headers)
        return chunk

    def _written(self, chunk: bytes) -> None:
        chunk = self.feed(chunk)
        if self._write is not None:
            self._write(chunk)


class _Document:
    """The app's body with the script's tag in its place."""

    __slots__ = ("_body", "_starting", "close")

    def __init__(self, body: _Body, starting: _Starting) -> None:
        self._body = body
        self._starting = starting
        self.close = body.close

    def __iter__(self) -> Iterator[bytes]:
        starting = self._starting
        for chunk in self._body:
            sent = starting.feed(chunk)
            if not starting.waiting:
                yield sent
        if starting.waiting:
            yield starting.feed(b"", last=True)


class _Body:
    """The app's body, iterated and closed with the launch in place."""

    __slots__ = ("_body", "_instead", "_launch")

    def __init__(
        self,
        body: Iterable[bytes],
        launch: Launch | None,
        instead: Callable[[BaseException], Iterable[bytes]],
    ) -> None:
        self._body = body
        self._launch = launch
        self._instead = instead

    def __iter__(self) -> Iterator[bytes]:
        launch, get, set_ = self._launch, current.get, current.set
        iterator: Iterator[bytes] | None = None
        begun = False
        while True:
            # For each chunk anew, because a thread may serve several bodies in turn.
            before = get()
            set_(launch)
            try:
                if iterator is None:
                    iterator = iter(self._body)
                chunk = next(iterator, None)
            except (RequestRefused, BaseExceptionGroup) as error:
                # A generator app runs its first lines only now.
                if begun:
                    raise too_late(error) from error
                iterator = iter(self._instead(error))
                continue
            finally:
                set_(before)
            if chunk is None:
                return
            begun = True
            yield chunk

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is None:
            return
        before = current.get()
        current.set(self._launch)
        try:
            close()
        finally:
            current.set(before)


def _as_text(path: str) -> str:
    """``PATH_INFO``, whose characters stand for bytes (PEP 3333), as text."""
    try:
        return path.encode("latin-1").decode()
    except UnicodeError:
        return "\ufffd"


def _set_query(environ: WSGIEnvironment, query: str) -> None:
    environ["QUERY_STRING"] = query
    for key in ("RAW_URI", "REQUEST_URI"):
        if key in environ:
            path = environ[key].partition("?")[0]
            environ[key] = f"{path}?{query}" if query else path


def _is_file_wrapper(body: object, environ: WSGIEnvironment) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


def _send(
    answer: Response, environ: WSGIEnvironment, start_response: StartResponse, *exc_info: Any
) -> Iterable[bytes]:
    scrub_request(environ)
    start_response(answer.status_line, answer.all_headers, *exc_info)
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else answer.body]
