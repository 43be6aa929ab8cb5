"""The ASGI adapter (ASGI 3): translates requests, asks the gate, and calls the app. It contains no
rules.

Put it outside the framework's own middleware. Configure the server to set the scheme and the mount
point (uvicorn's ``--proxy-headers`` and ``--root-path``), so that cookies and redirects match the
URL that the browser sees.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ._asgi_moving import move
from ._asgi_sending import Sending, may_send, saving, send_response, without_shortcuts
from ._gate.decisions import Flow, Serve
from ._launch_header import HEADER, header_for
from ._middleware import Middleware
from ._mount_points import below, is_ambiguous, root_of
from ._path_styles import PathStyle, style_of
from .errors import RequestRefused, SettingsError, too_late
from .launch import Launch, current
from .launch import require_launch as _require_launch
from .responses import Response
from .scrubbing import without_arguments
from .settings import Options, Settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._gate.frame import AppAnswers
    from ._gate.insertion import Insertions

__all__ = ["LTIAASMiddleware", "require_launch"]

_HEADER = HEADER.lower().encode("ascii")
_SERVED = ("http", "websocket")


async def require_launch() -> Launch:
    """``ltiaas_middleware.require_launch`` as a coroutine. FastAPI runs this one in the event loop
    with ``Depends(require_launch)``. It runs the other one in a thread, for which the request may
    have to wait.

    Raises:
        LaunchRequired: the request has no launch.
    """
    return _require_launch()


class _Variables:
    """``request.Variables`` for a ``scope``.

    Attributes:
        headers: by name. Those that came in several pieces are joined.
    """

    __slots__ = ("_scope", "headers")

    def __init__(self, scope: Any) -> None:
        self._scope = scope
        headers = scope.get("headers")
        if type(headers) is not list or (headers and type(headers[0]) is not tuple):
            # ASGI allows any iterable of iterables, also one that can be read only once.
            headers = scope["headers"] = [(name, value) for name, value in headers or ()]
        found = dict(headers)
        self.headers = found if len(found) == len(headers) else _joined(headers)

    def replace_headers(self, hidden: Sequence[bytes], added: dict[bytes, bytes]) -> None:
        """Give the app other headers.

        Args:
            hidden: the names of those to remove.
            added: replaces those of the same name.
        """
        scope, found = self._scope, self.headers
        several = len(found) != len(scope["headers"])
        for name in hidden:
            found.pop(name, None)
        found.update(added)
        if several:
            replaced = {*hidden, *added}
            kept = [pair for pair in scope["headers"] if pair[0] not in replaced]
            scope["headers"] = [*kept, *added.items()]
        else:
            scope["headers"] = [*found.items()]

    def __iter__(self) -> Iterator[str]:
        # A name that is not ASCII is none (RFC 9110 section 5.1).
        for name in filter(bytes.isascii, self.headers):
            yield f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}"

    def get(self, key: str, default: Any = None, /) -> Any:
        wanted = _HEADERS[key]
        if wanted:
            value = self.headers.get(wanted)
            return default if value is None else value.decode("latin-1")
        scope = self._scope
        if key == "wsgi.url_scheme":
            return scope.get("scheme") or ("ws" if scope["type"] == "websocket" else "http")
        if key == "SCRIPT_NAME":
            root = scope.get("root_path")
            return root.encode("utf-8", "surrogatepass").decode("latin-1") if root else ""
        if key == "REQUEST_METHOD":
            return "WEBSOCKET" if scope["type"] == "websocket" else scope["method"]
        if key == "PATH_INFO":
            return _path_info(scope)
        if key == "QUERY_STRING":
            return (scope.get("query_string") or b"").decode("latin-1")
        if key == "REMOTE_ADDR":
            client = scope.get("client")
            if client and type(client) not in (tuple, list):
                # ASGI allows any iterable, also one that can be read only once.
                client = scope["client"] = tuple(client)
            return client[0] if client else default
        if key == "REQUEST_URI":
            return (scope.get("raw_path") or b"").decode("latin-1")
        return default


class _Headers(dict[str, bytes]):
    """The ASGI name of each header that was asked for, by its CGI variable; b"" for other
    variables. The gate asks for a fixed few; an error response for ``on_error`` for all that came,
    which strangers choose."""

    def __missing__(self, key: str) -> bytes:
        is_header = key.startswith("HTTP_")
        name = key[5:].replace("_", "-").lower().encode("ascii") if is_header else b""
        if len(self) >= _REMEMBERED:
            # The next requests add the names that the gate asks for again.
            self.clear()
        self[key] = name
        return name


# How many names are remembered.
_REMEMBERED = 200


_HEADERS = _Headers()


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers that came in several pieces, as one: HTTP/2 sends cookies so (RFC 9113 section
    8.2.3); all else is joined by commas."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in found:
            found[name] += (b"; " if name == b"cookie" else b",") + value
        else:
            found[name] = value
    return found


def _path_info(scope: Any) -> str:
    """``PATH_INFO``: the path below the mount point, its bytes as characters."""
    path = below(scope["path"], scope.get("root_path") or "")
    return path.encode("utf-8", "surrogateescape").decode("latin-1")


class LTIAASMiddleware(Middleware):
    """ASGI middleware that passes each request and websocket of a launch to ``app`` with its
    ``Launch``.

    Get the launch from ``current_launch()`` or ``scope["ltiaas.launch"]``, in views, streamed
    bodies, threads that the framework starts and background tasks.

    Args:
        app: the ASGI app to wrap.
        settings: a ``Settings`` object. By default, the middleware reads the environment
            (``LTIAAS_URL``, ``LTIAAS_API_KEY``) when the server starts, or at the first request.
        path_style: which path the app sees in a launch: ``"bare"``, ``"below"`` or ``"full"``
            (docs/howto/other-frameworks.md). By default, this depends on the app's type.
        options: individual settings, if you pass no ``Settings``.

    Raises:
        SettingsError: a setting passed here is invalid.
    """

    _answers: AppAnswers[bytes]
    _insertions: Insertions[bytes]
    _text = bytes

    @without_arguments
    def __init__(
        self,
        app: Callable[[Any, Any, Any], Awaitable[Any]],
        settings: Settings | None = None,
        *,
        path_style: PathStyle | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(app, settings, **options)
        if path_style not in (None, "bare", "below", "full"):
            raise SettingsError("path_style must be 'bare', 'below' or 'full'")
        self._path_style = path_style
        self._root: str | None = None

    def _may_serve(self) -> bool:
        # When the server starts, if it says so, else in the first request, and not in the first
        # call of launch.async_api: an import holds up the event loop.
        importlib.import_module("._parts", __package__)
        with contextlib.suppress(ImportError):
            importlib.import_module(".api.async_session", __package__)
        return super()._may_serve()

    @property
    def _is_guarding(self) -> bool:
        settings = self._settings
        return settings is None or bool(settings.require or settings.exclude)

    @property
    def routes(self) -> Any:
        """The app's own routes. Starlette's ``Mount`` needs them to build URLs into the mounted
        app."""
        return self.app.routes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:  # noqa: C901, PLR0915
        """Answer one request, websocket, or whatever else the server has; that passes untouched.

        Returns:
            What the app returns: nothing by the specification, but some servers look at it.
        """
        if scope["type"] not in _SERVED:
            if scope["type"] == "lifespan":
                # So that the log says at start-up what is missing.
                self._may_serve()
            return await self.app(scope, receive, send)
        path, root = scope["path"], scope.get("root_path")
        if self._root is None:
            self._root = root_of(self.app)
        if self._root:
            root = scope["root_path"] = self._root
        if root:
            # A guarded path may be hidden in an ambiguous one, which is no path then.
            is_refused = self._is_guarding and is_ambiguous(path, root)
            path = "\ufffd" if is_refused else below(path, root)
        launch: Launch | None = None
        app_send = send
        request = _Variables(scope)
        if _HEADER in request.headers and "ltiaas.launch" not in scope:
            request.replace_headers((_HEADER,), {})
        decided = self._decide(path, (scope.get("query_string") or b"").decode("latin-1"), request)
        if decided is None or isinstance(decided, Serve):
            decision = decided
        else:
            settled = await self._settle(decided)
            if isinstance(settled, Response):
                return await send_response(settled, scope, send)
            decision = settled
        if decision is not None:
            launch = decision.launch
            self._hand_over(scope, decision, request)
            if launch is not None:
                if decision.jar is not None:
                    send = saving(send, decision.jar, self._authenticator.run_async)
                parts = self._answers, self._insertions
                app_send = Sending(send, decision, request, *parts).message
            # An error tracker shows the variables of this frame if the app raises.
            del decided, decision
        before = current.get()
        if launch is not before:
            if launch is None:
                # An outer middleware's launch stays; anything else belongs to another request.
                launch = scope.get("ltiaas.launch")
            current.set(launch)
        try:
            return await self.app(scope, receive, app_send)
        except (RequestRefused, BaseExceptionGroup) as error:
            refused = RequestRefused.within(error)
            if refused is None:
                raise
            answer = self._gate.answer_for_app(refused.code, launch, request)
            if not await may_send(answer, scope, send):
                raise too_late(error) from error
        finally:
            if launch is not before:
                current.set(before)

    def _hand_over(self, scope: Any, serve: Serve, request: _Variables) -> None:
        """Change the scope into what the app is to see.

        In place, as a WSGI ``environ`` is: a server that logs from it and the frames of an outer
        middleware hold no ltik then, and what the app writes into it (Starlette's ``route``,
        ``path_params``) is seen outside.
        """
        hidden = list(map(_HEADERS.__getitem__, serve.without))
        added: dict[bytes, bytes] = {}
        if serve.cookies:
            added[b"cookie"] = serve.cookies.encode("latin-1")
        elif serve.cookies is not None:
            hidden.append(b"cookie")
        launch = serve.launch
        if launch is not None:
            scope["ltiaas.launch"] = launch
            added[_HEADER] = header_for(launch._entry.id, launch.path).encode("ascii")
        if hidden or added:
            request.replace_headers(hidden, added)
        if serve.prefix:
            style = self._path_style
            if style is None:
                style = style_of(self.app, scope)
                if style == "full" and self._root:
                    style = "below"  # Django removes its own mount point and no launch prefix.
                self._path_style = style
            move(scope, serve, style)
            if serve.may_have_script:
                without_shortcuts(scope)
        if serve.query is not None:
            scope["query_string"] = serve.query.encode("latin-1")

    async def _settle(self, flow: Flow) -> Serve | Response | None:
        """Wait for what the gate waits for."""
        result: Any = None
        try:
            while True:
                step = flow.send(result)
                if callable(step):
                    result = await self._authenticator.run_async(step)
                else:
                    result = await self._authenticator.verify_async(**step._asdict())
        except StopIteration as done:
            settled: Serve | Response | None = done.value
            return settled
