"""The ASGI adapter (ASGI 3): translates, asks the gate, hands on. It holds no rule of its own.

Mount it outside of the framework's own middleware, and let the server mend the scheme and the
mount point (uvicorn's ``--proxy-headers`` and ``--root-path``), so that cookies and redirects are
made for the address the browser sees.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

from ._gate.assembly import Middleware
from ._gate.decisions import Blocking, Decision, Serve, Verify
from ._gate.frame import AppAnswers, Place
from .errors import LaunchRequired
from .launch import Launch, current
from .refusals import Answer
from .scrubbing import without_arguments
from .settings import Options, Settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["LTIAASMiddleware"]

_SERVED = ("http", "websocket")
_STARTS = ("http.response.start", "websocket.http.response.start")
# What may stand in a path unencoded (RFC 3986 section 3.3).
_PATH_SAFE = "/:@!$&'()*+,;=~-._"


class _Variables:
    """``request.Variables`` for a ``scope``."""

    __slots__ = ("_headers", "_scope")

    def __init__(self, scope: Any) -> None:
        self._scope = scope
        headers = _header_pairs(scope)
        # By name, once, because the gate looks for several.
        found = dict(headers)
        self._headers = found if len(found) == len(headers) else _joined(headers)

    @staticmethod
    def referer(scope: Any) -> str:
        """The ``Referer`` header, without making a dictionary of all. Browsers send it late."""
        for name, value in reversed(_header_pairs(scope)):
            if name == b"referer":
                return value.decode("latin-1")
        return ""

    def get(self, key: str, default: Any = None, /) -> Any:
        wanted = _HEADERS.get(key)
        if wanted is None:
            wanted = _HEADERS[key] = _header(key)
        if wanted:
            value = self._headers.get(wanted)
            return default if value is None else value.decode("latin-1")
        scope = self._scope
        if key == "REQUEST_METHOD":
            return "WEBSOCKET" if scope["type"] == "websocket" else scope["method"]
        if key == "wsgi.url_scheme":
            return scope.get("scheme") or ("ws" if scope["type"] == "websocket" else "http")
        if key == "SCRIPT_NAME":
            root = scope.get("root_path")
            return root.encode().decode("latin-1") if root else ""
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


# The ASGI name of each header that was asked for, by its CGI variable; b"" for other
# variables. The gate asks for a fixed few, so that this does not grow.
_HEADERS: dict[str, bytes] = {}


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


def _header_pairs(scope: Any) -> list[tuple[bytes, bytes]]:
    """The request's headers. ASGI allows any iterable of iterables, also one that can be read only
    once: then the app finds a list in its place."""
    headers = scope.get("headers")
    if type(headers) is list and (not headers or type(headers[0]) is tuple):
        return headers
    headers = scope["headers"] = [(name, value) for name, value in headers or ()]
    return headers


def _path_info(scope: Any) -> str:
    """``PATH_INFO``: what stands below the mount point, its bytes as characters.

    ``path`` is decoded as UTF-8, with ``U+FFFD`` for bytes that are none; ``raw_path`` has them.
    """
    path, root = scope["path"], scope.get("root_path") or ""
    below = _below(path, root)
    raw = scope.get("raw_path")
    if raw and "\ufffd" in below:
        arrived = unquote_to_bytes(raw)
        if arrived.decode("utf-8", "replace") in (path, below):
            return _below(arrived.decode("latin-1"), root.encode().decode("latin-1"))
    return below.encode("utf-8", "surrogateescape").decode("latin-1")


def _header(key: str) -> bytes:
    if not key.startswith("HTTP_"):
        return b""
    return key[5:].replace("_", "-").lower().encode("ascii")


class LTIAASMiddleware(Middleware):
    """ASGI middleware: every request and websocket of a launch reaches ``app`` with its ``Launch``.

    The launch stands in ``scope["ltiaas.launch"]`` and behind ``current_launch()``, in views,
    streamed bodies, threads that the framework starts and background tasks alike.

    Args:
        app: the ASGI app to wrap.
        settings: a ``Settings``; by default made from the environment (``LTIAAS_URL``,
            ``LTIAAS_API_KEY``).
        path_includes_root: whether the app wants ``scope["path"]`` with ``root_path`` before it, as
            the ASGI specification has it. By default True, but for Falcon, which routes on what
            follows; say False where a Falcon app is wrapped in something else.
        options: single settings, where no ``Settings`` is given.

    Raises:
        SettingsError: a setting is missing or unusable.
    """

    _variables = _Variables

    @without_arguments
    def __init__(
        self,
        app: Callable[[Any, Any, Any], Awaitable[Any]],
        settings: Settings | None = None,
        *,
        path_includes_root: bool | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(app, settings, **options)
        # Here and not in the first call of launch.async_api, which would hold up the event loop.
        with contextlib.suppress(ImportError):
            importlib.import_module(".api.async_session", __package__)
        if path_includes_root is None:
            path_includes_root = not _is_falcon(app)
        self._path_includes_root = path_includes_root
        self._answers = AppAnswers(bytes, self.settings, variables=self._variables)

    @property
    def routes(self) -> Any:
        """The app's own: Starlette's ``Mount`` looks here to build URLs into what it mounts."""
        return self.app.routes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        """Answer one request, websocket, or whatever else the server has; that passes untouched.

        Returns:
            What the app returns: nothing by the specification, but some servers look at it.
        """
        if scope["type"] not in _SERVED:
            if scope["type"] == "lifespan":
                # The server has forked, and no request has come yet.
                self.warm_up()
            return await self.app(scope, receive, send)
        path, root = scope["path"], scope.get("root_path")
        if root:
            path = _below(path, root)
        launch: Launch | None = None
        app_send = send
        decision = self._decide(path, (scope.get("query_string") or b"").decode("latin-1"), scope)
        if decision is not None:
            if type(decision) is not Serve:
                decision = await self._settle(decision)
                if isinstance(decision, Answer):
                    return await _send_answer(decision, scope, send)
            launch = decision.launch
            self._hand_over(scope, decision)
            if launch is not None:
                is_private = bool(decision.prefix or decision.without)
                place = Place(launch.path, decision.prefix, is_private)
                app_send = self._sending(send, place, decision.set_cookies, scope)
            # An error tracker shows the variables of this frame if the app raises.
            del decision
        before = current.get()
        if launch is not before:
            if launch is None:
                # An outer middleware's launch stays; anything else belongs to another request.
                launch = scope.get("ltiaas.launch")
            current.set(launch)
        try:
            return await self.app(scope, receive, app_send)
        except LaunchRequired:
            answer = self._gate.launch_required(_Variables(scope))
            if not await _answered(answer, scope, send):
                raise
        finally:
            if launch is not before:
                current.set(before)

    def _hand_over(self, scope: Any, serve: Serve) -> None:
        """Change the scope into what the app is to see.

        In place, as a WSGI ``environ`` is: a server that logs from it and the frames of an outer
        middleware hold no ltik then, and what the app writes into it (Starlette's ``route``,
        ``path_params``) is seen outside.
        """
        if serve.launch is not None:
            scope["ltiaas.launch"] = serve.launch
        _move(scope, serve, includes_root=self._path_includes_root)
        if serve.query is not None:
            scope["query_string"] = serve.query.encode("latin-1")
        if serve.cookies is not None or serve.without:
            # A tuple: there are one or two, and bytes are compared faster than hashed.
            hidden: tuple[bytes, ...] = (b"cookie",) if serve.cookies is not None else ()
            if serve.without:
                hidden += tuple(_HEADERS[name] for name in serve.without)
            headers = [pair for pair in scope["headers"] if pair[0] not in hidden]
            if serve.cookies:
                headers.append((b"cookie", serve.cookies.encode("latin-1")))
            scope["headers"] = headers

    def _sending(self, send: Any, place: Place, set_cookies: Sequence[str], scope: Any) -> Any:
        """``send`` with the headers that an app's answer needs in a launch."""
        answers = self._answers

        # A coroutine function, because asgiref warns of one that is not. What is sent is kept in no
        # variable: the server may raise, and a cookie may be the launch's.
        async def send_with_headers(message: Any) -> None:
            kind = message["type"]
            if kind in _STARTS:
                given = message.get("headers") or ()
                headers = answers.headers
                await send(dict(message, headers=headers(given, place, set_cookies, scope)))
            elif kind == "websocket.accept" and message.get("headers"):
                given, handshake = message["headers"], answers.handshake_headers
                await send(dict(message, headers=handshake(given, place, scope)))
            else:
                await send(message)

        return send_with_headers

    async def _settle(self, decision: Decision) -> Serve | Answer:
        """Wait for what the gate waits for."""
        while True:
            if isinstance(decision, Verify):
                outcome = await self._authenticator.verify_async(
                    decision.ltik,
                    decision.launch_id,
                    confirms=decision.confirms,
                    page=decision.page,
                    address=decision.address,
                )
                decision = decision.resume(outcome)
            elif isinstance(decision, Blocking):
                decision = decision.resume(await self._authenticator.run_async(decision.call))
            else:
                return decision


def _below(path: str, root: str) -> str:
    """The path below the mount point. By the specification it begins with ``root_path``; some
    servers leave that away, and some are given one with a slash at its end."""
    for start in (root, root.rstrip("/")):
        if start and path.startswith(start) and path[len(start) : len(start) + 1] in ("", "/"):
            return path[len(start) :]
    return path


def _move(scope: Any, serve: Serve, *, includes_root: bool) -> None:
    """Move the launch path from the path to the mount point."""
    root = scope.get("root_path") or ""
    prefix = serve.prefix
    if prefix:
        if "router" in scope:
            scope["router"] = _router(scope, prefix)
        root = scope["root_path"] = root.rstrip("/") + prefix
    elif includes_root and serve.path != scope["path"]:
        return  # Served in place, with the mount point in its path as the app has it anyway.
    path = root + serve.path if includes_root else serve.path
    if path == scope["path"]:
        return
    scope["path"] = path
    raw = scope.get("raw_path")
    if raw is not None:
        # Some apps route on it (Datasette), so that it has to say the same.
        below = _raw_below(raw, root, serve)
        scope["raw_path"] = _quoted(root) + below if includes_root else below


def _raw_below(arrived: bytes, root: str, serve: Serve) -> bytes:
    """The path below the mount point, with the bytes that arrived where they are found."""
    if serve.prefix:
        _, _, below = arrived.partition(serve.prefix.encode("ascii"))
    else:
        below = arrived.removeprefix(_quoted(root))
    return below if below.startswith(b"/") else _quoted(serve.path)


def _quoted(path: str) -> bytes:
    return quote(path, safe=_PATH_SAFE).encode("ascii")


def _router(scope: Any, prefix: str) -> Any:
    if "app_root_path" not in scope:
        return scope["router"]
    root = scope.get("root_path", "").rstrip("/")
    mounted = root.removeprefix(scope["app_root_path"].rstrip("/"))
    return _MountedRouter(scope["router"], mounted, prefix)


class _MountedRouter:
    """Starlette's outermost router, as an app that it has mounted sees it in a launch.

    ``url_for`` always asks the outermost router, which knows the way to the mounted app and
    nothing of the launch path that follows.
    """

    __slots__ = ("_mounted", "_prefix", "_router")

    def __init__(self, router: Any, mounted: str, prefix: str) -> None:
        self._router = router
        self._mounted = mounted
        self._prefix = prefix

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        url = self._router.url_path_for(name, **path_params)
        if not f"{url}/".startswith(f"{self._mounted}/"):
            return url  # Beside the mounted app there is no launch.
        path = f"{self._mounted}{self._prefix}{url[len(self._mounted) :]}"
        return type(url)(path=path, protocol=url.protocol, host=url.host)

    def __copy__(self) -> _MountedRouter:
        return self

    def __deepcopy__(self, memo: object) -> _MountedRouter:
        return self  # A copied scope routes the same.

    def __getattr__(self, name: str) -> Any:
        return getattr(self._router, name)


async def _send_answer(answer: Answer, scope: Any, send: Any) -> None:
    """Send a whole answer; to a websocket's handshake as far as the server can."""
    prefix = ""
    if scope["type"] == "websocket":
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            # Closing before accepting makes the server answer 403; 1008 is "policy violation".
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        prefix = "websocket."
    await send(
        {
            "type": f"{prefix}http.response.start",
            "status": answer.status,
            "headers": _encode(answer.all_headers),
        }
    )
    body = b"" if scope.get("method") == "HEAD" else answer.body
    await send({"type": f"{prefix}http.response.body", "body": body})


async def _answered(answer: Answer, scope: Any, send: Any) -> bool:
    """Send an answer if none has begun; the server alone knows, and says so by raising."""
    try:
        await _send_answer(answer, scope, send)
    except Exception:  # noqa: BLE001 - each server has an exception of its own for it
        return False
    return True


def _encode(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _is_falcon(app: object) -> bool:
    return any(kind.__module__.partition(".")[0] == "falcon" for kind in type(app).__mro__)
