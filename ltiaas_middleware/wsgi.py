"""The WSGI adapter (PEP 3333): translates, asks the gate, hands on. It holds no rule of its own.

Wrap the app that the server calls, inside of whatever mends ``wsgi.url_scheme`` and ``SCRIPT_NAME``
(Werkzeug's ``ProxyFix``), so that cookies and redirects are made for the address the browser sees::

    app.wsgi_app = ProxyFix(LTIAASMiddleware(app.wsgi_app), x_proto=1, x_prefix=1)

What it changes in ``environ`` is changed in place, so that a server that logs from ``environ``
after the request logs no ltik.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from ._gate.assembly import Middleware
from ._gate.decisions import Blocking, Decision, Serve, Verify
from ._gate.frame import AppAnswers, Place
from .errors import LaunchRequired
from .launch import Launch, current
from .refusals import Answer
from .scrubbing import without_arguments
from .settings import Options, Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from typing_extensions import Unpack

__all__ = ["LTIAASMiddleware"]


class LTIAASMiddleware(Middleware):
    """WSGI middleware: every request of a launch reaches ``app`` with its ``Launch``.

    The launch stands in ``environ["ltiaas.launch"]`` and behind ``current_launch()``, in views,
    streamed bodies and ``close()`` alike.

    Args:
        app: the WSGI app to wrap.
        settings: a ``Settings``; by default made from the environment (``LTIAAS_URL``,
            ``LTIAAS_API_KEY``).
        options: single settings, where no ``Settings`` is given.

    Raises:
        SettingsError: a setting is missing or unusable.
    """

    app: WSGIApplication

    @without_arguments
    def __init__(
        self,
        app: WSGIApplication,
        settings: Settings | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(app, settings, **options)
        self._answers = AppAnswers(str, self.settings)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        launch: Launch | None = None
        decision = self._decide(
            environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", ""), environ
        )
        if decision is not None:
            if type(decision) is not Serve:
                decision = self._settle(decision)
                if isinstance(decision, Answer):
                    return _send(decision, environ, start_response)
            launch = decision.launch
            environ["PATH_INFO"] = decision.path
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
                place = Place(launch.path, prefix, bool(prefix or decision.without))
                start_response = self._starting(
                    start_response, place, decision.set_cookies, environ
                )
            # An error tracker shows the variables of this frame if the app raises.
            del cookies, decision
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
        except LaunchRequired:
            return self._launch_required(environ, start_response)
        finally:
            if launch is not before:
                current.set(before)
        kind = type(body)
        if kind is list or kind is tuple or (launch is None and kind is not GeneratorType):
            # No code of the app's runs in a list, and servers send it in one go.
            return body
        if _is_file_wrapper(body, environ):
            # Nor in this, and servers send it by sendfile.
            return body
        return _Body(body, launch, lambda: self._launch_required(environ, start_response))

    def _starting(
        self,
        start_response: StartResponse,
        place: Place,
        set_cookies: Sequence[str],
        environ: WSGIEnvironment,
    ) -> StartResponse:
        """``start_response`` with the headers that an app's answer needs in a launch."""
        fit = self._answers.headers

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            # Kept in no variable: the server may raise, and a cookie may be the launch's.
            if exc_info is None:
                return start_response(status, fit(headers, place, set_cookies, environ))
            return start_response(status, fit(headers, place, set_cookies, environ), exc_info)

        return start

    def _settle(self, decision: Decision) -> Serve | Answer:
        """Wait for what the gate waits for."""
        while True:
            if isinstance(decision, Verify):
                outcome = self._authenticator.verify(
                    decision.ltik,
                    decision.launch_id,
                    confirms=decision.confirms,
                    page=decision.page,
                    address=decision.address,
                )
                decision = decision.resume(outcome)
            elif isinstance(decision, Blocking):
                decision = decision.resume(decision.call())
            else:
                return decision

    def _launch_required(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        answer = self._gate.launch_required(environ)
        try:
            return _send(answer, environ, start_response)
        except Exception:  # noqa: BLE001 - each server has an exception of its own for it
            # The app had called start_response already; with exc_info it may be called again.
            return _send(answer, environ, start_response, sys.exc_info())


class _Body:
    """The app's body, iterated and closed with the launch in place."""

    __slots__ = ("_body", "_instead", "_launch")

    def __init__(
        self,
        body: Iterable[bytes],
        launch: Launch | None,
        instead: Callable[[], Iterable[bytes]],
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
            except LaunchRequired:
                # A generator app runs its first lines only now. Later, the status is out already.
                if begun:
                    raise
                iterator = iter(self._instead())
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
    answer: Answer, environ: WSGIEnvironment, start_response: StartResponse, *exc_info: Any
) -> Iterable[bytes]:
    start_response(answer.status_line, answer.all_headers, *exc_info)
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else answer.body]
