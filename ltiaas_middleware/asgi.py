"""The ASGI adapter (ASGI 3): translates, asks the gate, hands on. It holds no rule of its own.

Mount it outside of the framework's own middleware, and let the server mend the scheme and the
mount point (uvicorn's ``--proxy-headers`` and ``--root-path``), so that cookies and redirects are
made for the address the browser sees.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from ._gate.assembly import Middleware
from ._gate.decisions import (
    IN_PLACE_POLICY,
    LAUNCH_PATH_POLICY,
    Blocking,
    Decision,
    Serve,
    Verify,
)
from .errors import LaunchRequired
from .launch import Launch, current
from .refusals import Answer
from .settings import Settings

__all__ = ["LTIAASMiddleware"]

_SERVED = ("http", "websocket")
_POLICY = b"referrer-policy"
_POLICY_LENGTH = len(_POLICY)
_POLICIES = {
    (name, value): (name.lower().encode(), value.encode())
    for name, value in (LAUNCH_PATH_POLICY, IN_PLACE_POLICY)
}


class _Variables:
    """``request.Variables`` for a ``scope``."""

    __slots__ = ("_headers", "_scope")

    def __init__(self, scope: Any) -> None:
        self._scope = scope
        headers = scope["headers"]
        # By name, once, because the gate looks for several.
        found = self._headers = dict(headers)
        if len(found) != len(headers):
            self._headers = _joined(headers)

    def get(self, key: str, default: Any = None, /) -> Any:
        scope = self._scope
        if key == "REQUEST_METHOD":
            return "WEBSOCKET" if scope["type"] == "websocket" else scope["method"]
        if key == "wsgi.url_scheme":
            return scope.get("scheme") or ("ws" if scope["type"] == "websocket" else "http")
        if key == "SCRIPT_NAME":
            root = scope.get("root_path")
            return root.encode().decode("latin-1") if root else ""
        wanted = _HEADERS.get(key)
        if wanted is None:
            wanted = _HEADERS[key] = _header(key)
        if wanted:
            value = self._headers.get(wanted)
            return default if value is None else value.decode("latin-1")
        if key == "PATH_INFO":
            path = _below(scope["path"], scope.get("root_path", ""))
            return path.encode("utf-8", "surrogateescape").decode("latin-1")
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

    def __init__(
        self,
        app: Callable[[Any, Any, Any], Awaitable[None]],
        /,
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
        path, root = scope["path"], scope.get("root_path")
        if root:
            path = _below(path, root)
        launch: Launch | None = None
        app_scope, app_send = scope, send
        decision = self._decide(path, scope["query_string"].decode("latin-1"), scope)
        if decision is not None:
            if type(decision) is not Serve:
                decision = await self._settle(decision)
                if isinstance(decision, Answer):
                    await _send_answer(decision, scope, send)
                    return
            launch, prefix, cookies = decision.launch, decision.prefix, decision.cookies
            app_scope = dict(scope)
            app_scope["ltiaas.launch"] = launch
            mount = root.rstrip("/") + prefix if root else prefix
            if prefix:
                app_scope["root_path"] = mount
                if "router" in scope:
                    app_scope["router"] = _router(scope, prefix)
            app_scope["path"] = mount + decision.path if self._path_includes_root else decision.path
            if decision.query is not None:
                app_scope["query_string"] = decision.query.encode("latin-1")
            headers = scope["headers"]
            if cookies is not None:
                headers = [pair for pair in headers if pair[0] != b"cookie"]
                if cookies:
                    headers.append((b"cookie", cookies.encode("latin-1")))
            for key in decision.without:
                headers = [pair for pair in headers if pair[0] != _HEADERS[key]]
            app_scope["headers"] = headers
            app_send = _with_headers(send, decision.policy, decision.set_cookies)
            # What an error tracker shows of this frame should the app raise.
            del cookies, decision
        before = current.get()
        if launch is not before:
            if launch is None:
                # An outer middleware's launch stays; anything else belongs to another request.
                launch = scope.get("ltiaas.launch")
            current.set(launch)
        scope = app_scope
        try:
            await self.app(app_scope, receive, app_send)
        except LaunchRequired:
            answer = self._gate.launch_required(_Variables(scope))
            if not await _answered(answer, scope, send):
                raise
        finally:
            if launch is not before:
                current.set(before)

    async def _settle(self, decision: Decision) -> Serve | Answer:
        """Wait for what the gate waits for."""
        while True:
            if isinstance(decision, Verify):
                outcome = await self._authenticator.verify_async(
                    decision.ltik, decision.launch_id, confirms=decision.confirms
                )
                decision = decision.resume(outcome)
            elif isinstance(decision, Blocking):
                decision = decision.resume(await self._authenticator.run_async(decision.call))
            else:
                return decision


def _below(path: str, root: str) -> str:
    """The path below the mount point. By the specification it begins with ``root_path``; some
    servers leave that away."""
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        return path[len(root) :]
    return path


def _with_headers(send: Any, policy: tuple[str, str], set_cookies: Sequence[str]) -> Any:
    """``send`` that adds the gate's response headers to the app's."""

    # No coroutine of its own: it has nothing to wait for, and is called for every chunk of a body.
    def send_with_headers(message: Any) -> Any:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            for name, _ in headers:
                if len(name) == _POLICY_LENGTH and name.lower() == _POLICY:
                    break
            else:
                headers.append(_POLICIES[policy])
            for cookie in set_cookies:
                headers.append((b"set-cookie", cookie.encode("latin-1")))
            message = dict(message, headers=headers)
        return send(message)

    return send_with_headers


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
