"""Each student's best result, by activity and deck."""

from __future__ import annotations

import sqlite3
import threading

from ltiaas_middleware import ActivityKey

_TABLE = """create table if not exists result (
    platform text, course text, activity text, user text, deck text, points integer,
    primary key (platform, course, activity, user, deck)
)"""


class Storage:
    """A SQLite database."""

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.execute(_TABLE)

    def close(self) -> None:
        self._database.close()

    def clear(self) -> None:
        with self._lock, self._database:
            self._database.execute("delete from result")

    def keep(self, key: ActivityKey, user_id: str, deck: str, points: int) -> None:
        with self._lock, self._database:
            self._database.execute(
                "insert into result values (?, ?, ?, ?, ?, ?) on conflict do update set"
                " points = max(points, excluded.points)",
                (*key, user_id, deck, points),
            )

    def points(self, key: ActivityKey, deck: str) -> dict[str, int]:
        with self._lock:
            rows = self._database.execute(
                "select user, points from result"
                " where platform = ? and course = ? and activity = ? and deck = ? order by user",
                (*key, deck),
            )
            return dict(rows.fetchall())

    def counts(self, platform_id: str) -> list[tuple[str, int]]:
        """Each course of an LMS, and how many results there are."""
        with self._lock:
            rows = self._database.execute(
                "select course, count(*) from result where platform = ? group by course",
                (platform_id,),
            )
            return rows.fetchall()
