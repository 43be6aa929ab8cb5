"""Counters of what the middleware did, for dashboards and alarms."""

from __future__ import annotations

from .errors import ApiError

__all__ = ["Stats"]


class Stats:
    """Counts since the start of the process. Read a copy with ``snapshot()``."""

    def __init__(self) -> None:
        self.misses = 0
        self.fetches = 0
        self.coalesced = 0
        self.stale = 0
        self.refused = 0
        self.upstream_errors: dict[str, int] = {}

    def upstream_error(self, error: ApiError) -> None:
        """Count a failure of LTIAAS's by the name of its exception."""
        kind = type(error).__name__
        self.upstream_errors[kind] = self.upstream_errors.get(kind, 0) + 1

    def snapshot(self) -> dict[str, int]:
        """All counters; ``upstream_errors`` as ``upstream_errors.<kind>``."""
        counts = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        return counts | {f"upstream_errors.{kind}": n for kind, n in self.upstream_errors.items()}
