"""The ASGI adapter (ASGI 3): translates, asks the gate, hands on. It holds no rule of its own.

Mount it outside of the framework's own middleware, and let the server mend the scheme and the
mount point (uvicorn's ``--proxy-headers`` and ``--root-path``), so that cookies and redirects are
made for the address the browser sees.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .errors import LaunchRequired
from .gate import HeaderName, Serve, Verify, mount_path, raw_path
from .launch import current
from .middleware import Middleware
from .refusals import Answer
from .settings import Settings

if TYPE_CHECKING:
    from asgiref.typing import ASGI3Application

__all__ = ["LTIAASMiddleware"]

_SERVED = ("http", "websocket")


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
        request = _Request(scope)
        launch = None
        app_scope, app_send = scope, send
        if self._concerns(request.path, request.query):
            decision = self._gate.decide(request)
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
                app_send = _decorated(send, decision)
        before = current.get()
        if launch is not before:
            if launch is None:
                # An outer middleware's launch stays; anything else belongs to another request.
                launch = scope.get("ltiaas.launch")
            current.set(launch)
        try:
            await self.app(app_scope, receive, app_send)
        except LaunchRequired:
            if not await _answered(self._gate.launch_required(request), scope, send):
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
        for name, value in decision.headers:
            kept = [pair for pair in served["headers"] if pair[0] != name.asgi]
            if value:
                kept.append((name.asgi, value.encode("latin-1")))
            served["headers"] = kept
        return served


class _Request:
    """``gate.Request`` for a ``scope``."""

    __slots__ = ("_scope", "path", "query")

    def __init__(self, scope: Any) -> None:
        self._scope = scope
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        # By the specification the path begins with root_path; some servers leave it away.
        if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
            path = path[len(root) :]
        self.path = path
        self.query: str = scope["query_string"].decode("latin-1")

    @property
    def method(self) -> str:
        return str(self._scope.get("method", "GET"))

    @property
    def websocket(self) -> bool:
        return bool(self._scope["type"] == "websocket")

    @property
    def scheme(self) -> str:
        return str(self._scope.get("scheme", "http"))

    @property
    def mount(self) -> str:
        root = self._scope.get("root_path", "")
        return mount_path(root, "utf-8") if root else ""

    def raw_path(self) -> str:
        arrived = self._scope.get("raw_path") or b""
        return raw_path(arrived.decode("latin-1"), self.mount, self.path, "utf-8")

    def header(self, name: HeaderName) -> str:
        wanted = name.asgi
        values = [value for key, value in self._scope["headers"] if key == wanted]
        if not values:
            return ""
        # HTTP/2 sends cookies in pieces (RFC 9113 section 8.2.3); all else is joined by commas.
        joined = (b"; " if wanted == b"cookie" else b",").join(values)
        return joined.decode("latin-1")


def _decorated(send: Any, decision: Serve) -> Any:
    """``send`` with the gate's response headers added."""

    async def send_with_headers(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            has_policy = False
            for name, _ in headers:
                if name == b"referrer-policy" or name.lower() == b"referrer-policy":
                    has_policy = True
            added = _encode(decision.response_headers(has_policy=has_policy))
            message = {**message, "headers": headers + added}
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
