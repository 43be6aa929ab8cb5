"""Run by the contract suite as a process of its own: stores the same keys as seven others do."""

from __future__ import annotations

import random
import sys
from datetime import datetime, timedelta, timezone

from ltiaas_middleware import Settings
from ltiaas_middleware.service_keys import ActivityKey, ServiceKeyStore

PROCESSES = 8
PLACES = 30
ROUNDS = 6
START = datetime(2026, 3, 1, tzinfo=timezone.utc)


def place(number: int) -> ActivityKey:
    """Some have no course, some no activity."""
    context = None if number % 5 == 0 else f"course-{number}"
    return ActivityKey("platform", context, f"link-{number}" if number % 7 else None)


def launched_at(process: int, round_: int) -> datetime:
    return START + timedelta(seconds=round_ * PROCESSES + process)


def main(number: int, database: str, api_key: str, secret: str) -> None:
    settings = Settings(url="https://your.ltiaas.example", api_key=api_key, secrets=secret)
    store = ServiceKeyStore(database, settings)
    print("ready", flush=True)
    sys.stdin.readline()
    launches = [(place, round_) for place in range(PLACES) for round_ in range(ROUNDS)]
    random.Random(number).shuffle(launches)
    for where, round_ in launches:
        store.put(place(where), f"key-{number}-{round_}", launched_at(number, round_))
    store.close()
    print("done", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:5])
