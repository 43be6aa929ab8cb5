"""The guard of the Pyramid tool in ``guarded``: a tween is found by its name."""

from __future__ import annotations

from typing import Any

from pyramid.response import Response


def tween(handler: Any, registry: Any) -> Any:
    from .guarded import refuses

    # path_info: Pyramid's request.path has the script name before it.
    return lambda request: Response("no", 403) if refuses(request.path_info) else handler(request)
