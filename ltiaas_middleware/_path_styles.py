"""Which path an app sees in a launch.

If an app guards ``/staff`` by the path that it sees, ``/lti/<launch id>/staff`` must not bypass the
guard. So the app sees the same path as outside a launch, if its framework can then still route and
build URLs. The middleware removes only the launch prefix, never the outer mount point: under
``--root-path /api``, a guard on ``/api/staff`` must also work.

==========  =============================  ===================================================
style       ``scope["path"]``              ``root_path``
==========  =============================  ===================================================
``bare``    as outside a launch            as outside a launch; ``app_root_path`` has the launch
                                           prefix, and frameworks build their URLs from it
``below``   as outside a launch            ends with the launch prefix
``full``    contains the launch prefix     ends with the launch prefix (the ASGI specification)
==========  =============================  ===================================================
"""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, TypeAlias

PathStyle: TypeAlias = Literal["bare", "below", "full"]

# By the module and the name of an app's class; no framework is imported. An app of another class is
# "bare": whatever its own code compares the path with, it compares with what it knows.
_STYLES: dict[tuple[str, str], PathStyle] = {
    ("starlette.applications", "Starlette"): "bare",
    ("starlette.routing", "Router"): "bare",
    ("litestar.app", "Litestar"): "bare",
    ("connexion.apps.abstract", "AbstractApp"): "bare",
    ("engineio.async_drivers.asgi", "ASGIApp"): "bare",
    ("falcon.asgi.app", "App"): "below",
    ("sanic.app", "Sanic"): "below",
    ("microdot.microdot", "Microdot"): "below",
    ("emmett.app", "App"): "below",
    ("datasette.app", "DatasetteRouter"): "below",
    # Django over HTTP sees the path without the prefix by ``_django_paths``.
    ("django.core.handlers.asgi", "ASGIHandler"): "full",
    ("quart.app", "Quart"): "full",
    ("nicegui.app.app", "App"): "full",
    ("gradio.routes", "App"): "full",
    ("a2wsgi.wsgi", "WSGIMiddleware"): "full",
    ("asgiref.wsgi", "WsgiToAsgi"): "full",
    ("starlette.middleware.wsgi", "WSGIMiddleware"): "full",
}
# Where middleware keeps the app that it wraps.
_WRAPPED = (
    "app", "asgi_app", "wsgi_app", "application", "other_asgi_app", "application_mapping",
    "wrapped", "inner", "handler", "_app", "__wrapped__",
)  # fmt: skip
_MOST = 100


def style_of(app: Any, scope: Any) -> PathStyle:
    """The style for an app, determined by what it wraps or, if that is unknown, by the app that
    contains it (``scope["app"]``, which Starlette sets).

    If it wraps apps of several styles, this is "bare", with which all of them can route.
    """
    wrapped = {_style(one) for one in parts_of(app, _around_apps)} - {None}
    styles = wrapped or {_style(scope.get("app"))}
    return (styles.pop() if len(styles) == 1 else None) or "bare"


def _style(one: Any) -> PathStyle | None:
    return next((_STYLES[kind] for kind in kinds_of(one) if kind in _STYLES), None)


def kinds_of(one: Any) -> list[tuple[str, str]]:
    """Module and name of an object's class and its bases, so that no framework is imported."""
    return [(kind.__module__, kind.__name__) for kind in type(one).__mro__]


def _around_apps(one: Any) -> Iterable[Any]:
    return wrapped_by(one) if _style(one) is None else ()


def parts_of(app: Any, inside: Callable[[Any], Iterable[Any]] | None = None) -> Iterator[Any]:
    """An app and the apps that it wraps, from the outside in.

    Args:
        inside: what an object may wrap; by default attributes of certain names, partials, methods,
            closures.
    """
    seen: set[int] = set()
    waiting = deque([app])
    while waiting and len(seen) < _MOST:
        one = waiting.popleft()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += (inside or wrapped_by)(one)


def wrapped_by(one: Any) -> Iterator[Any]:
    """What an object wraps, as far as usual names tell."""
    if isinstance(one, functools.partial):
        yield from (one.func, *one.args, *one.keywords.values())
    elif isinstance(one, types.MethodType):
        yield one.__self__
    elif isinstance(one, types.FunctionType):
        for cell in one.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # It is not filled yet.
                continue
    elif isinstance(one, dict):
        yield from one.values()
    held = attributes_of(one)
    yield from (held[name] for name in _WRAPPED if name in held)


def attributes_of(one: Any) -> dict[str, Any]:
    """An object's attributes, and what its slots hold."""
    slots = (name for kind in type(one).__mro__ for name in vars(kind).get("__slots__", ()))
    try:
        return {name: getattr(one, name, None) for name in slots} | getattr(one, "__dict__", {})
    except Exception:  # noqa: BLE001 - it has none, or stands for a request's object (Flask)
        return {}
