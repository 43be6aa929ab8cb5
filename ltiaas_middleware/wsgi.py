"""The WSGI adapter (PEP 3333): translates, asks the gate, hands on. It holds no rule of its own.

Wrap the app that the server calls, inside of whatever mends ``wsgi.url_scheme`` and ``SCRIPT_NAME``
(Werkzeug's ``ProxyFix``), so that cookies and redirects are made for the address the browser sees::

    app.wsgi_app = ProxyFix(LTIAASMiddleware(app.wsgi_app), x_proto=1, x_prefix=1)

What it changes in ``environ`` is changed in place, so that a server that logs from ``environ``
after the request logs no ltik.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from .errors import LaunchRequired
from .gate import HeaderName, Serve, Verify, mount_path, raw_path
from .launch import Launch, current
from .middleware import Middleware
from .refusals import Answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["LTIAASMiddleware"]

_POLICY_LENGTH = len("referrer-policy")


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

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if not self._concerns(environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")):
            return self._run(environ, start_response, None)
        request = _Request(environ)
        decision = self._gate.decide(request)
        while not isinstance(decision, (Serve, Answer)):
            if isinstance(decision, Verify):
                outcome = self._authenticator.verify(decision.ltik, decision.launch_id)
                decision = decision.resume(outcome)
            else:
                decision = decision.resume(decision.call())
        if isinstance(decision, Answer):
            return _send(decision, request.method, start_response)
        if decision.launch is None:
            return self._run(environ, start_response, None)
        _apply(decision, environ)

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            has_policy = False
            for name, _ in headers:
                if len(name) == _POLICY_LENGTH and name.lower() == "referrer-policy":
                    has_policy = True
            added = decision.response_headers(has_policy=has_policy)
            return start_response(status, headers + added, *exc_info)

        return self._run(environ, start, decision.launch)

    def _run(
        self, environ: WSGIEnvironment, start_response: StartResponse, launch: Launch | None
    ) -> Iterable[bytes]:
        """Call the app with its launch in place, and leave nothing behind on this thread."""
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
        if launch is None and type(body) is not GeneratorType:
            return body
        if type(body) is list or type(body) is tuple or _is_file_wrapper(body, environ):
            # No code of the app's runs in these, and servers send them in one go or by sendfile.
            return body
        return _Body(body, launch, lambda: self._launch_required(environ, start_response))

    def _launch_required(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        request = _Request(environ)
        answer = self._gate.launch_required(request)
        try:
            return _send(answer, request.method, start_response)
        except Exception:  # noqa: BLE001 - each server has an exception of its own for it
            # The app had called start_response already; with exc_info it may be called again.
            return _send(answer, request.method, start_response, sys.exc_info())


class _Request:
    """``gate.Request`` for an ``environ``."""

    __slots__ = ("_environ", "path", "query")
    websocket = False

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ
        self.path: str = environ.get("PATH_INFO", "")
        self.query: str = environ.get("QUERY_STRING", "")

    @property
    def method(self) -> str:
        return str(self._environ["REQUEST_METHOD"])

    @property
    def scheme(self) -> str:
        return str(self._environ["wsgi.url_scheme"])

    @property
    def mount(self) -> str:
        script_name = self._environ.get("SCRIPT_NAME", "")
        return mount_path(script_name, "latin-1") if script_name else ""

    def raw_path(self) -> str:
        # Not part of PEP 3333; most servers give one of them.
        arrived = self._environ.get("RAW_URI") or self._environ.get("REQUEST_URI") or ""
        return raw_path(arrived.partition("?")[0], self.mount, self.path, "latin-1")

    def header(self, name: HeaderName) -> str:
        value: str = self._environ.get(name.wsgi, "")
        return value


class _Body:
    """The app's body, iterated and closed with the launch in place."""

    __slots__ = ("_begun", "_body", "_instead", "_iterator", "_launch")

    def __init__(self, body: Iterable[bytes], launch: Launch | None, instead: Any) -> None:
        self._body = body
        self._launch = launch
        self._instead = instead
        self._iterator: Iterator[bytes] | None = None
        self._begun = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        before = current.get()
        current.set(self._launch)
        try:
            if self._iterator is None:
                self._iterator = iter(self._body)
            chunk = next(self._iterator)
            self._begun = True
            return chunk
        except LaunchRequired:
            # A generator app runs its first lines only now. Later, the status is out already.
            if self._begun:
                raise
            self._iterator = iter(self._instead())
            return next(self._iterator)
        finally:
            current.set(before)

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


def _apply(decision: Serve, environ: WSGIEnvironment) -> None:
    environ["ltiaas.launch"] = decision.launch
    environ["PATH_INFO"] = decision.path
    if decision.prefix:
        environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "").rstrip("/") + decision.prefix
    for name, value in decision.headers:
        if value:
            environ[name.wsgi] = value
        else:
            del environ[name.wsgi]
    if decision.query is not None:
        environ["QUERY_STRING"] = decision.query
        for key in ("RAW_URI", "REQUEST_URI"):
            if key in environ:
                path = environ[key].partition("?")[0]
                environ[key] = f"{path}?{decision.query}" if decision.query else path


def _is_file_wrapper(body: object, environ: WSGIEnvironment) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


def _send(
    answer: Answer, method: str, start_response: StartResponse, *exc_info: Any
) -> Iterable[bytes]:
    start_response(answer.status_line, answer.all_headers, *exc_info)
    return [b"" if method == "HEAD" else answer.body]
