"""Row 8: the memory that a cached launch takes."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

from ltiaas_middleware import wsgi
from ltiaas_middleware.api import decoded
from ltiaas_middleware.launch import Launch

from . import launches
from .report import Line


def _app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b""]


def row(short: bool) -> list[Line]:
    """Row 8."""
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
    assert len(authenticator._launches._entries) == count + 1
    middleware.close()
    net = (launches.LTIK_LENGTH + launches.CLAIMS_SIZE) / 1024
    what = "KiB for each cached launch (ltik of 700 characters, ID token of 2 KiB)"
    return [
        Line(f"{what}, never read", f"{kib:.2f} KiB, {net:.2f} of them the two", kib, 3.2),
        Line(f"{what}, read a moment ago", f"{read:.2f} KiB", read, 9.5),
        Line(f"{what}, {count:,} of them, all read", f"{all_read:.2f} KiB", all_read),
    ]


def _kib() -> float:
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / 1024
