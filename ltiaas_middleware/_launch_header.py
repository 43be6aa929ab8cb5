"""Finds a launch by a request header, for frameworks that call an app's code outside the request.

Streamlit runs scripts and Gradio runs handlers in separate threads and queues, where
``current_launch()`` is None. Both provide the request's headers there.
"""

from __future__ import annotations

import secrets
import weakref
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest
from typing import Protocol

from .launch import Launch

#: The header's name. The middleware removes it from what comes in.
HEADER = "LTIAAS-Launch"
# Nobody else can make the header's value, not even who reaches the app around the middleware.
_KEY = secrets.token_bytes(32)


class Finder(Protocol):
    """A middleware in this process."""

    def find_launch(self, launch_id: str, path: str) -> Launch | None: ...


#: The middlewares of this process.
finders: weakref.WeakSet[Finder] = weakref.WeakSet()


@lru_cache(maxsize=1000)
def header_for(launch_id: str, path: str) -> str:
    """The header's value in a request of the launch with this path. It is valid only in this
    process."""
    return f"{launch_id} {path} {_code(launch_id, path)}"


def launch_from(headers: Mapping[str, str]) -> Launch | None:
    """The launch of the request with these headers, or None if there is none or it is over.

    For code that a framework calls outside the request, with ``st.context.headers`` in Streamlit or
    ``request.headers`` in a Gradio handler. In a view, use ``current_launch()``. If workers share a
    cache, this may wait for the cache.

    Args:
        headers: the request's headers, as the app received them, with names in any case.
    """
    wanted = HEADER.lower()
    value = next((headers[name] for name in headers if name.lower() == wanted), "")
    launch_id, path, code = [*value.split(" "), "", "", ""][:3]
    if not compare_digest(code.encode(), _code(launch_id, path).encode()):
        return None
    found = (finder.find_launch(launch_id, path) for finder in list(finders))
    return next((launch for launch in found if launch is not None), None)


def _code(launch_id: str, path: str) -> str:
    return blake2b(f"{launch_id} {path}".encode(), key=_KEY, digest_size=16).hexdigest()
