"""Row 5: what a cached launch costs when there are many of them, or many on their way."""

from __future__ import annotations

import gc
import random
import threading
import time
import tracemalloc
from time import perf_counter
from typing import Any

from ltiaas_middleware import current_launch, wsgi
from ltiaas_middleware.api import decoded
from ltiaas_middleware.launch import Launch

from . import launches
from .report import Line
from .timing import BATCH, Case, Costs, interleaved, timed

_SIZES = (1, 1_000, 100_000, 1_000_000)
_SHORT_SIZES = (1, 1_000)
_MISSES = 100


def row(short: bool) -> list[Line]:
    """Row 5."""
    return [*_sizes(short), *_memory(short), _while_missing(short)]


def _app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b""]


def _start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
    return None


def _sizes(short: bool) -> list[Line]:
    """Asked for one launch again and again, which shows what the number of launches costs, and for
    any of them, which shows what memory costs that is in no cache of the CPU's."""
    sizes = _SHORT_SIZES if short else _SIZES
    filled = {size: _Filled(size) for size in sizes}
    cases: dict[str, Case] = {f"{size:,}, one": each.one for size, each in filled.items()}
    cases |= {f"{size:,}, any": each.any for size, each in filled.items()}
    # Nothing of a million launches is ever garbage; without this the collector looks at them all.
    gc.collect()
    gc.freeze()
    costs = interleaved(cases, 5 if short else 400)
    gc.unfreeze()
    first = "1, one"
    lines = [Line(5, "hit among 1 cached launch", f"{costs.of(first):.2f} µs")]
    for name in cases:
        number, _, which = name.rpartition(", ")
        if number != "1":
            bar = 1.5 if number == "1,000,000" else None
            asked = "the same again" if which == "one" else "any of them"
            what = f"hit among {number} cached launches, {asked} / among 1"
            ratio = _of_medians(costs, name, first)
            lines.append(Line(5, what, f"{costs.of(name):.2f} µs", ratio, bar))
    return lines


class _Filled:
    """A middleware that knows so many launches."""

    def __init__(self, size: int) -> None:
        middleware = self._middleware = launches.offline(
            wsgi.LTIAASMiddleware(_app, **launches.LTIAAS, max_launches=size, ttl=80_000)
        )
        authenticator = self._authenticator = middleware._authenticator
        self._size = size
        self._tail = launches.ltik()[8:]
        claims, now = launches.claims(), time.time()
        for number in range(size):
            token = self._token(number)
            # One ID token for all: what a hit does not read is not worth two gigabytes here.
            entry = authenticator._freshness.entry(
                id=middleware._gate._ids.of(token),
                ltik=token,
                claims=claims,
                ends_at=now + 80_000,
                verified_at=now,
                confirmed=True,
            )
            authenticator._launches.put(entry)
        assert len(authenticator._launches) == size
        self._one = random.randrange(size)

    def _token(self, number: int) -> str:
        return f"{number:08d}{self._tail}"

    def one(self) -> float:
        """Seconds for a batch of requests of one launch."""
        return self._ask([self._one] * BATCH)

    def any(self) -> float:
        """Seconds for a batch of requests of launches by chance."""
        return self._ask([random.randrange(self._size) for _ in range(BATCH)])

    def _ask(self, numbers: list[int]) -> float:
        environs = []
        for number in numbers:
            mount, cookie = launches.cookie_of(self._middleware, self._token(number))
            environs.append(launches.environ(f"{mount}/page", Cookie=cookie))
        before = self._authenticator.stats.hits
        seconds = timed(lambda: [self._middleware(each, _start_response) for each in environs])
        assert self._authenticator.stats.hits == before + BATCH
        return seconds


def _memory(short: bool) -> list[Line]:
    count = 200 if short else 10_000
    # As many as are kept decoded at the most; what the number of launches adds is above.
    used = min(count, 2 * decoded._SIZE)
    middleware = launches.offline(
        wsgi.LTIAASMiddleware(_app, **launches.LTIAAS, max_launches=count + 1)
    )
    authenticator, account = middleware._authenticator, middleware._gate._account
    # What is there once only: threads, caches of the standard library.
    authenticator.verify(launches.ltik())
    kept = []
    gc.collect()
    tracemalloc.start()
    for _ in range(count):
        entry = authenticator.verify(launches.ltik())
        assert not isinstance(entry, Exception)
        kept.append(entry)
    kib = _kib() / count
    for entry in kept[:used]:
        assert Launch(entry, account).id_token.user.name == "Ada Lovelace"
    read = kib + (_kib() - kib * count) / used
    for entry in kept[used:]:
        assert Launch(entry, account).id_token.user.name == "Ada Lovelace"
    all_read = _kib() / count
    tracemalloc.stop()
    assert len(authenticator._launches) == count + 1
    middleware.close()
    net = (launches.LTIK_LENGTH + launches.CLAIMS_SIZE) / 1024
    what = "KiB for each cached launch (ltik of 700 characters, ID token of 2 KiB)"
    return [
        Line(5, f"{what}, never read", f"{kib:.2f} KiB, {net:.2f} of them the two", kib, 4),
        Line(5, f"{what}, read a moment ago", f"{read:.2f} KiB", read, 10),
        Line(5, f"{what}, {count:,} of them, all read", f"{all_read:.2f} KiB", all_read),
    ]


def _kib() -> float:
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / 1024


def _while_missing(short: bool) -> Line:
    """A hundred threads wait for LTIAAS while others have their launch in memory."""
    go_on = threading.Event()
    upstream = launches.Upstream(wait=lambda: go_on.wait(60))
    middleware = launches.offline(
        wsgi.LTIAASMiddleware(
            _app,
            **launches.LTIAAS,
            deadline=60,
            max_wait=60,
            max_calls=_MISSES,
            max_waiting=_MISSES,
        ),
        upstream,
    )
    authenticator = middleware._authenticator
    go_on.set()
    token = launches.ltik()
    assert not isinstance(authenticator.verify(token), Exception)
    mount, cookie = launches.cookie_of(middleware, token)
    hit = launches.environ(f"{mount}/page", Cookie=cookie)

    def case() -> float:
        environs = [dict(hit) for _ in range(BATCH)]
        start = perf_counter()
        for environ in environs:
            middleware(environ, _start_response)
        return perf_counter() - start

    def missing() -> float:
        go_on.clear()
        reached: list[Any] = []

        def first_request(number: int) -> None:
            environ = launches.environ("/page", f"ltik={launches.ltik()}", launches.FETCH)
            # One address is not given all calls.
            environ["REMOTE_ADDR"] = f"192.0.2.{number}"
            middleware(environ, lambda status, headers: reached.append(current_launch() or status))

        threads = [threading.Thread(target=first_request, args=(n,)) for n in range(_MISSES)]
        before = upstream.calls
        for thread in threads:
            thread.start()
        while upstream.calls < before + _MISSES:
            time.sleep(0.001)
        try:
            seconds = min(case() for _ in range(5))
        finally:
            go_on.set()
            for thread in threads:
                thread.join()
        assert reached == ["200 OK"] * _MISSES or all(reached)
        return seconds

    def calm() -> float:
        return min(case() for _ in range(5))

    costs = interleaved({"calm": calm, "missing": missing}, 2 if short else 30)
    middleware.close()
    what = f"hit while {_MISSES} misses are in flight / while none is"
    figure = f"{costs.of('missing'):.2f} µs of {costs.of('calm'):.2f} µs"
    return Line(5, what, figure, _of_medians(costs, "missing", "calm"))


def _of_medians(costs: Costs, name: str, to: str) -> float:
    return costs.of(name) / costs.of(to)
