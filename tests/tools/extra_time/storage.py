"""What the tool remembers: OAuth tokens of teachers, and students' extra time."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sql

from ltiaas_middleware import GlobalUserId

_metadata = sql.MetaData()
_tokens = sql.Table(
    "token",
    _metadata,
    sql.Column("platform_id", sql.String, primary_key=True),
    sql.Column("user_id", sql.String, primary_key=True),
    sql.Column("token", sql.Text, nullable=False),
)
_given = sql.Table(
    "extension",
    _metadata,
    sql.Column("course", sql.String, primary_key=True),
    sql.Column("user_id", sql.String, primary_key=True),
    sql.Column("percent", sql.Integer, nullable=False),
)


class Storage:
    """A database by its URL."""

    def __init__(self, url: str) -> None:
        self._engine = sql.create_engine(url)
        _metadata.create_all(self._engine)

    def close(self) -> None:
        self._engine.dispose()

    def token(self, user: GlobalUserId) -> dict[str, Any] | None:
        found = self._all(sql.select(_tokens.c.token).where(*_is(user)))
        return json.loads(found[0][0]) if found else None

    def tokens(self) -> list[GlobalUserId]:
        """Whose tokens there are."""
        return [GlobalUserId(row[0], row[1]) for row in self._all(sql.select(_tokens))]

    def keep_token(self, user: GlobalUserId, token: dict[str, Any]) -> None:
        platform_id, user_id = user
        row = {"platform_id": platform_id, "user_id": user_id, "token": json.dumps(token)}
        self._do(_tokens.delete().where(*_is(user)), _tokens.insert().values(row))

    def percent(self, course: str, user_id: str) -> int:
        return self.given(course).get(user_id, 0)

    def given(self, course: str) -> dict[str, int]:
        columns = sql.select(_given.c.user_id, _given.c.percent)
        return {row[0]: row[1] for row in self._all(columns.where(_given.c.course == course))}

    def give(self, course: str, user_ids: Iterable[str], percent: int) -> None:
        for user_id in user_ids:
            row = {"course": course, "user_id": user_id}
            before = _given.delete().filter_by(**row)
            self._do(before, _given.insert().values(**row, percent=percent))

    def courses(self, platform_id: str) -> list[tuple[str, int]]:
        """Each course, and how many students have extra time in it."""
        found = self._all(sql.select(_given.c.course, sql.func.count()).group_by(_given.c.course))
        return [(row[0], row[1]) for row in found if row[0].startswith(f"{platform_id}/")]

    def _all(self, query: sql.Select[Any]) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(query))

    def _do(self, *statements: Any) -> None:
        with self._engine.begin() as connection:
            for statement in statements:
                connection.execute(statement)


def _is(user: GlobalUserId) -> tuple[Any, Any]:
    return _tokens.c.platform_id == user.platform_id, _tokens.c.user_id == user.user_id
