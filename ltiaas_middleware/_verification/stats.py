"""Counters of what the middleware did, for dashboards and alarms.

Where ``opentelemetry-api`` is installed the same counters are metrics, read when they are
collected: counting costs the same with and without it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

__all__ = ["Stats", "publish"]


class Stats:
    """Counts since the start of the process. Read a copy with ``snapshot()``.

    Attributes:
        hits: launches served from this process's memory.
        misses: times that a request found nothing in memory that it could be served from.
        fetches: calls to LTIAAS's ``/api/idtoken`` (its repeats not counted).
        shared_hits: launches taken from the shared store in place of a fetch.
        coalesced: requests that waited for a call of another request's.
        stale_served: times that a launch's ttl was over and LTIAAS did not answer, so that it was
            served on.
        waiting: times that a page was told to ask again, because its launch was not verified yet.
        rejected: ltiks that LTIAAS rejected, and requests with one that it rejected a moment ago.
        store_errors: calls to the shared store (Redis, or this machine's folder) that failed.
        rejected_entries: what was found in the shared store and failed authentication: forged,
            damaged, of another version or another secret.
        lost_leases: flights whose lease was gone before they landed.
        upstream_errors: failures of LTIAAS's by kind.
    """

    def __init__(self) -> None:
        self.start_over()

    def start_over(self) -> None:
        """Count from zero, as in the child of a fork."""
        self._lock = threading.Lock()
        self.hits = 0
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

    def hit(self) -> None:
        """Count a hit: ``count("hits")``, in less time."""
        # Not atomic by itself: a thread may be interrupted between reading and writing.
        with self._lock:
            self.hits += 1

    def count(self, name: str) -> None:
        """Add one to a counter."""
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)

    def upstream_error(self, kind: str) -> None:
        """Count a failure of LTIAAS's."""
        with self._lock:
            self.upstream_errors[kind] = self.upstream_errors.get(kind, 0) + 1

    def snapshot(self) -> dict[str, int]:
        """All counters; ``upstream_errors`` as ``upstream_errors.<kind>``."""
        with self._lock:
            counts = {name: value for name, value in vars(self).items() if isinstance(value, int)}
            kinds = dict(self.upstream_errors)
        return counts | {f"upstream_errors.{kind}": n for kind, n in kinds.items()}


# For good: a sum that falls when a middleware is thrown away would be no counter.
_published: list[Stats] = []
_publishing = threading.Lock()
_instruments: list[Any] = []


def publish(stats: Stats) -> None:
    """Make ``stats`` metrics of OpenTelemetry's, if its API package is installed.

    They are called ``ltiaas_middleware.<counter>``; ``upstream_errors`` has an attribute ``kind``.
    Several middlewares in one process add up.
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
        for name in vars(Stats()):
            if name.startswith("_"):
                continue
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
