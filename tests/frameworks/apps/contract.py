"""What the tools of this package have in common: what they say of a request."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from ltiaas_middleware import Launch, current_launch

MOUNT = "/tools/quiz"
"""Where `site` has the tool mounted."""


def report(carried: Launch | None, **more: Any) -> dict[str, Any]:
    """What a view sees. `carried` is the launch that stands in its environ or scope."""
    launch = current_launch()
    return {
        "launch": launch and launch.id,
        "user": launch and launch.id_token.user.name,
        "path": launch and launch.path,
        "carried": launch is carried,
        "thread": threading.current_thread().name,
        **more,
    }


def chunk() -> bytes:
    """A line of a streamed body: the launch that it is being made in."""
    launch = current_launch()
    return f"{launch.id if launch else None}\n".encode()


class Recorded:
    """What was seen after an answer had gone out, by key."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._found: dict[str, list[dict[str, Any]]] = {}

    def record(self, key: str, what: str) -> None:
        launch = current_launch()
        with self._changed:
            self._found.setdefault(key, []).append({what: launch and launch.id})
            self._changed.notify_all()

    def wait(self, key: str, times: int = 1) -> list[dict[str, Any]]:
        with self._changed:
            self._changed.wait_for(lambda: len(self._found.get(key, ())) >= times, 30)
            return self._found.get(key, [])


recorded = Recorded()


@contextlib.contextmanager
def recording(key: str, what: str) -> Any:
    """Record where the block ends, however it ends."""
    try:
        yield
    finally:
        recorded.record(key, what)
