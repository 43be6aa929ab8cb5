"""Counters of what the middleware does, for dashboards and alerts.

If ``opentelemetry-api`` is installed, the counters are also metrics, which are read only at
collection time, so counting costs the same with and without it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from functools import partial
from itertools import count
from typing import Any

__all__ = ["Stats", "publish"]


class Stats:
    """Counts since the start of the process. docs/reference/metrics.md describes each counter.

    Attributes:
        hit: counts a hit. Nearly every request calls it; ``next`` of ``itertools.count`` is atomic
            without a lock.
    """

    def __init__(self) -> None:
        self.start_over()

    def start_over(self) -> None:
        """Reset all counters, for the child of a fork."""
        self._lock = threading.Lock()
        self.hit = count().__next__
        self._reads = 0
        self.misses = 0
        self.fetches = 0
        self.shared_hits = 0
        self.coalesced = 0
        self.stale_served = 0
        self.waiting = 0
        self.rejected = 0
        self.store_errors = 0
        self.rejected_entries = 0
        self.lost_leases = 0
        self.upstream_errors: dict[str, int] = {}

    @property
    def hits(self) -> int:
        with self._lock:
            # Reading the counter also adds one, so earlier reads are subtracted.
            hits = self.hit() - self._reads
            self._reads += 1
        return hits

    def count(self, name: str) -> None:
        """Add one to a counter other than ``hits``."""
        # ``+=`` is not atomic: a thread switch may happen between reading and writing.
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)

    def upstream_error(self, kind: str) -> None:
        """Count a failure of LTIAAS."""
        with self._lock:
            self.upstream_errors[kind] = self.upstream_errors.get(kind, 0) + 1

    def snapshot(self) -> dict[str, int]:
        """All counters; ``upstream_errors`` as ``upstream_errors.<kind>``."""
        hits = self.hits
        with self._lock:
            counts = {name: value for name, value in vars(self).items() if isinstance(value, int)}
            kinds = dict(self.upstream_errors)
        del counts["_reads"]
        return {"hits": hits} | counts | {f"upstream_errors.{kind}": n for kind, n in kinds.items()}


# Kept permanently: a sum that drops when a middleware is discarded would not be a counter.
_published: list[Stats] = []
_publishing = threading.Lock()
_instruments: list[Any] = []


def publish(stats: Stats) -> None:
    """Publish ``stats`` as OpenTelemetry metrics, if its API package is installed.

    The metrics are named ``ltiaas_middleware.<counter>``, and ``upstream_errors`` has an attribute
    ``kind``. The counts of several middlewares in one process are added.
    """
    try:
        from opentelemetry import metrics
    except ImportError:
        return
    with _publishing:
        _published.append(stats)
        if _instruments:
            return
        meter = metrics.get_meter("ltiaas_middleware")
        for name in (*Stats().snapshot(), "upstream_errors"):
            callback = partial(_read, name, metrics.Observation)
            _instruments.append(
                meter.create_observable_counter(f"ltiaas_middleware.{name}", callbacks=[callback])
            )


def _read(name: str, observation: Any, options: Any) -> Iterable[Any]:
    sums: Counter[str] = Counter()
    for stats in list(_published):
        value = getattr(stats, name)
        sums.update(dict(value) if isinstance(value, dict) else {"": value})
    return [observation(count, {"kind": kind} if kind else None) for kind, count in sums.items()]
