"""The ASGI adapter (ASGI 3): translates, asks the gate, hands on. It holds no rule of its own.

Mount it outside of the framework's own middleware, and let the server mend the scheme and the
mount point (uvicorn's ``--proxy-headers`` and ``--root-path``), so that cookies and redirects are
made for the address the browser sees.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .errors import LaunchRequired
from .gate import Serve, Verify
from .launch import current
from .middleware import Middleware
from .refusals import Answer
from .settings import Settings

if TYPE_CHECKING:
    from asgiref.typing import ASGI3Application

__all__ = ["LTIAASMiddleware"]

_SERVED = ("http", "websocket")
_POLICY = b"referrer-policy"


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

    def __init__(
        self,
        app: ASGI3Application,
        settings: Settings | None = None,
        *,
        path_includes_root: bool | None = None,
        **options: Any,
    ) -> None:
        super().__init__(app, settings, **options)
        if path_includes_root is None:
            path_includes_root = not _is_falcon(app)
        self._path_includes_root = path_includes_root

    @property
    def routes(self) -> Any:
        """The app's own: Starlette's ``Mount`` looks here to build URLs into what it mounts."""
        return self.app.routes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, websocket, or whatever else the server has; that passes untouched."""
        if scope["type"] not in _SERVED:
            await self.app(scope, receive, send)
            return
        path, query = _path(scope), scope["query_string"].decode("latin-1")
        launch = None
        app_scope, app_send = scope, send
        if self._concerns(path, query):
            decision = self._gate.decide(path, query, _Variables(scope, path))
            while not isinstance(decision, (Serve, Answer)):
                if isinstance(decision, Verify):
                    outcome = await self._authenticator.verify_async(
                        decision.ltik, decision.launch_id
                    )
                    decision = decision.resume(outcome)
                else:
                    decision = decision.resume(await self._authenticator.run_async(decision.call))
            if isinstance(decision, Answer):
                await _send_answer(decision, scope, send)
                return
            launch = decision.launch
            if launch is not None:
                app_scope = self._scope(scope, decision)
                app_send = _with_headers(send, decision)
        before = current.get()
        if launch is not before:
            if launch is None:
                # An outer middleware's launch stays; anything else belongs to another request.
                launch = scope.get("ltiaas.launch")
            current.set(launch)
        try:
            await self.app(app_scope, receive, app_send)
        except LaunchRequired:
            answer = self._gate.launch_required(_Variables(scope, path))
            if not await _answered(answer, scope, send):
                raise
        finally:
            if launch is not before:
                current.set(before)

    def _scope(self, scope: Any, decision: Serve) -> dict[str, Any]:
        root = scope.get("root_path", "").rstrip("/")
        served = dict(scope)
        served["ltiaas.launch"] = decision.launch
        if decision.prefix:
            served["root_path"] = root + decision.prefix
            if "router" in scope and "app_root_path" in scope:
                mounted = root.removeprefix(scope["app_root_path"].rstrip("/"))
                served["router"] = _MountedRouter(scope["router"], mounted, decision.prefix)
        if self._path_includes_root:
            served["path"] = root + decision.prefix + decision.path
        else:
            served["path"] = decision.path
        if decision.query is not None:
            served["query_string"] = decision.query.encode("latin-1")
        for key, value in decision.headers:
            name = _HEADERS[key]
            kept = [pair for pair in served["headers"] if pair[0] != name]
            if value:
                kept.append((name, value.encode("latin-1")))
            served["headers"] = kept
        return served


class _Variables:
    """``gate.Variables`` for a ``scope``."""

    __slots__ = ("_path", "_scope")

    def __init__(self, scope: Any, path: str) -> None:
        self._scope = scope
        self._path = path

    def get(self, key: str, default: Any = None, /) -> Any:
        scope = self._scope
        wanted = _HEADERS.get(key)
        if wanted is None:
            wanted = _HEADERS[key] = _header(key)
        if wanted:
            values = [value for name, value in scope["headers"] if name == wanted]
            if not values:
                return default
            if len(values) == 1:
                return values[0].decode("latin-1")
            # HTTP/2 sends cookies in pieces (RFC 9113 section 8.2.3); all else is joined by commas.
            return (b"; " if wanted == b"cookie" else b",").join(values).decode("latin-1")
        if key == "REQUEST_METHOD":
            # A websocket's handshake is a GET (RFC 6455 section 4.1).
            return scope.get("method", "GET")
        if key == "wsgi.url_scheme":
            return scope.get("scheme", "ws" if scope["type"] == "websocket" else "http")
        if key == "SCRIPT_NAME":
            return scope.get("root_path", "").encode().decode("latin-1")
        if key == "PATH_INFO":
            return self._path.encode("utf-8", "surrogateescape").decode("latin-1")
        if key == "REQUEST_URI":
            return (scope.get("raw_path") or b"").decode("latin-1")
        return default


# The ASGI name of each header that was asked for, by its CGI variable; b"" for other variables.
# The gate asks for a fixed few, so that this does not grow.
_HEADERS: dict[str, bytes] = {}


def _header(key: str) -> bytes:
    if not key.startswith("HTTP_"):
        return b""
    return key[5:].replace("_", "-").lower().encode("ascii")


def _path(scope: Any) -> str:
    """The path below the mount point. By the specification it begins with ``root_path``; some
    servers leave that away."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        return path[len(root) :]
    return path


def _with_headers(send: Any, decision: Serve) -> Any:
    """``send`` that adds the gate's response headers to the app's."""

    async def send_with_headers(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if not any(name.lower() == _POLICY for name, _ in headers):
                headers += _encode([decision.policy])
            if decision.set_cookie is not None:
                headers += _encode([("Set-Cookie", decision.set_cookie)])
            message = {**message, "headers": headers}
        await send(message)

    return send_with_headers


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
