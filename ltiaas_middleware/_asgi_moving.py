"""The path and the mount point that an ASGI app sees in a launch."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from ._gate.decisions import Serve
from ._mount_points import below
from ._path_styles import PathStyle

__all__ = ["move"]

# What may stand in a path unencoded (RFC 3986 section 3.3).
_PATH_SAFE = "/:@!$&'()*+,;=~-._"


def move(scope: Any, serve: Serve, style: PathStyle) -> None:
    """Move the launch prefix out of the path, or into the mount point; see ``_path_styles``."""
    root, prefix = scope.get("root_path"), serve.prefix
    moved, before = prefix, ""
    if root:
        moved = root.rstrip("/") + prefix
        # Some servers leave the mount point out of the path.
        path = scope["path"]
        before = path[: len(path) - len(below(path, root))]
    if "router" in scope:
        scope["router"] = _router(scope, prefix)
    if style == "bare":
        scope["app_root_path"] = moved
    else:
        scope["root_path"] = moved
    inside = scope["path"] = (moved if style == "full" else before) + serve.path
    raw = scope.get("raw_path")
    if raw is None:
        return
    # Some apps route on it (Datasette), so that it has to say the same, in the bytes that arrived.
    start, _, rest = raw.partition(prefix.encode("ascii"))
    # An encoded prefix may be followed by one that is not, which belongs to the path.
    if rest[:1] != b"/" or (
        start and unquote_to_bytes(start) != before.encode("utf-8", "surrogatepass")
    ):
        scope["raw_path"] = _quoted(inside)
    elif style == "full":
        scope["raw_path"] = _quoted(moved) + rest
    else:
        scope["raw_path"] = start + rest


def _quoted(path: str) -> bytes:
    return quote(path, safe=_PATH_SAFE, errors="surrogatepass").encode("ascii")


def _router(scope: Any, prefix: str) -> Any:
    if "app_root_path" not in scope:
        return scope["router"]
    app_root = scope["app_root_path"].rstrip("/")
    mounted = scope.get("root_path", "").rstrip("/").removeprefix(app_root)
    return _MountedRouter(scope["router"], app_root, mounted, prefix)


class _MountedRouter:
    """Starlette's outermost router, as an app that it has mounted sees it in a launch.

    ``url_for`` always asks the outermost router, which knows the way to the mounted app and
    nothing of the launch path that follows.
    """

    __slots__ = ("_app_root", "_mounted", "_prefix", "_router")

    def __init__(self, router: Any, app_root: str, mounted: str, prefix: str) -> None:
        self._router = router
        self._app_root = app_root
        self._mounted = mounted
        self._prefix = prefix

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        url = self._router.url_path_for(name, **path_params)
        path = str(url)
        # Beside the mounted app there is no launch.
        if f"{path}/".startswith(f"{self._mounted}/"):
            path = f"{self._mounted}{self._prefix}{path[len(self._mounted) :]}"
        made = type(url)(path=path, protocol=url.protocol, host=url.host)
        made.make_absolute_url = partial(self._make_absolute_url, made)
        return made

    def _make_absolute_url(self, url: Any, base_url: Any) -> Any:
        """The outermost router's paths begin at its own root, and not at the launch's."""
        if not isinstance(base_url, str):
            base_url = base_url.replace(path=f"{self._app_root}/")
        return type(url).make_absolute_url(url, base_url=base_url)

    def __copy__(self) -> _MountedRouter:
        return self

    def __deepcopy__(self, memo: object) -> _MountedRouter:
        return self  # A copied scope routes the same.

    def __getattr__(self, name: str) -> Any:
        return getattr(self._router, name)
