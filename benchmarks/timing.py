"""Costs that can be compared on a machine which others use too.

Every case of a row is measured in turn, over and over, a batch at a time: whatever else the machine
does in that second, it does to all of them. What is told is the median over all rounds, and ratios
are taken round by round, so that both sides of one had the same weather.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter
from typing import NamedTuple

#: Requests in one batch: few, because a server has the request it works on in the CPU's cache.
BATCH = 50

#: Does a batch and gives the seconds that it took, without making the requests.
Case = Callable[[], float]


class Costs(NamedTuple):
    """Microseconds per request of every case, round by round."""

    rounds: Mapping[str, list[float]]

    def of(self, name: str) -> float:
        """The median cost of one case."""
        return median(self.rounds[name])

    def over(self, name: str, floor: str) -> float:
        """What one case costs more than another."""
        pairs = zip(self.rounds[name], self.rounds[floor], strict=True)
        return median(cost - less for cost, less in pairs)

    def ratio(self, name: str, to: str, floor: str | None = None) -> float:
        """How often the cost of ``to`` goes into that of ``name``, both above ``floor``."""
        floors = self.rounds[floor] if floor else [0.0] * len(self.rounds[name])
        rounds = zip(self.rounds[name], self.rounds[to], floors, strict=True)
        return median((cost - less) / (other - less) for cost, other, less in rounds)


def interleaved(cases: Mapping[str, Case], rounds: int, batch: int = BATCH) -> Costs:
    """Measure cases side by side; the first round warms up and is thrown away."""
    kept: dict[str, list[float]] = {name: [] for name in cases}
    gc.collect()
    for number in range(rounds + 1):
        for name, case in cases.items():
            seconds = case()
            if number:
                kept[name].append(seconds / batch * 1e6)
    return Costs(kept)


def timed(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = perf_counter()
    call()
    return perf_counter() - start
