"""Reads worlds and presets of LMSes from TOML: docs/reference/sandbox-worlds.md."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from importlib import resources
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from .roles import full_role
from .world import SETTINGS, Activity, Course, Platform, User, World

PRESETS = ("canvas", "moodle", "blackboard", "brightspace")

_Kind = TypeVar("_Kind")
_Table = Mapping[str, Any]


# Read once: a sandbox copies what may change in it.
@lru_cache
def default_world() -> World:
    """The default world of a sandbox. It is always the same."""
    return _world(_default())


def read(text: str, name: str) -> World:
    """Read a world from the text of a TOML file. Raises `ValueError`, which names the file and the
    place in it."""
    try:
        return _world(tomllib.loads(text))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def in_preset(name: str) -> World:
    """The default world's main platform as in a preset. Raises `ValueError` if there is no such
    preset."""
    document = _default()
    platform = document["platforms"]["northfield"]
    kept = {key: platform[key] for key in ("id", "client_id", "deployment_id")}
    document["platforms"] = {"northfield": {**kept, "preset": name}}
    document["courses"] = [row for row in document["courses"] if row["platform"] == "northfield"]
    return _world(document)


def _world(document: _Table) -> World:
    _known(document, ("settings", "platforms", "users", "courses"), "the file")
    settings = _table(document.get("settings", {}), "settings")
    _known(settings, SETTINGS, "settings")
    platforms, kinds = {}, {}
    for key, row in _table(document.get("platforms", {}), "platforms").items():
        platforms[key], kinds[key] = _platform(key, _table(row, f"platforms.{key}"))
    users = _table(document.get("users", {}), "users")
    courses = []
    for number, row in enumerate(document.get("courses", ())):
        where = f"courses[{number}]"
        key = str(_table(row, where).get("platform") or next(iter(platforms), None))
        if key not in platforms:
            raise ValueError(
                f"{where}: unknown platform {key!r}; the world has {', '.join(platforms)}"
            )
        courses.append(_course(row, where, platforms[key], kinds[key], users))
    if not courses:
        raise ValueError("a world needs [[courses]]")
    return World(tuple(courses), settings)


def _platform(key: str, row: _Table) -> tuple[Platform, _Table]:
    """A platform, and what its kinds of member are as roles."""
    own = dict(row)
    name = own.pop("preset", "generic")
    preset = dict(_preset(name))
    roles = {**preset.pop("roles"), **own.pop("roles", {})}
    everything = {"roster": True, "grades": True, "deep_linking": True}
    merged = {
        "id": hashlib.sha256(key.encode()).hexdigest()[:32],
        "url": f"https://{key}.example",
        "name": key,
        "client_id": f"client-{key}",
        "deployment_id": "1",
        "product": key,
        **(everything if name != "generic" else {}),
        **preset,
        **own,
    }
    for mapping in ("custom", "claims"):
        merged[mapping] = {**preset.get(mapping, {}), **own.get(mapping, {})}
    return _made(Platform, merged, f"platforms.{key}"), roles


def _course(row: _Table, where: str, platform: Platform, kinds: _Table, users: _Table) -> Course:
    given = {key: value for key, value in row.items() if key != "platform"}
    activities = [
        _made(Activity, _table(item, f"{where}.activities"), f"{where}.activities[{number}]")
        for number, item in enumerate(given.pop("activities", ()))
    ]
    members = [
        _member(key, value, f"{where}.members.{key}", kinds, users)
        for key, value in _table(given.pop("members", {}), f"{where}.members").items()
    ]
    return _made(
        Course, given, where, platform=platform, activities=activities, members=members,
        concluded=bool(given.pop("concluded", False)),
    )  # fmt: skip


def _member(key: str, value: Any, where: str, kinds: _Table, users: _Table) -> User:
    """A user in a course: `"teacher"`, a list of roles, or a table of `roles` and `status`."""
    enrollment = {"roles": value} if isinstance(value, (str, list)) else _table(value, where)
    _known(enrollment, ("roles", "status"), where)
    roles = enrollment.get("roles", "student")
    if isinstance(roles, str):
        # Kinds of member ("teacher") are the platform's business; all else is a role.
        roles = [full_role(role) for role in kinds.get(roles, [roles])]
    else:
        # A bare name stays one: LMSes send those, too. Short forms of others are none of theirs.
        roles = [full_role(role) if "#" in str(role) else role for role in roles]
    person = {"id": key, **_table(users.get(key, {}), f"users.{key}"), "roles": roles}
    if "status" in enrollment:
        # TOML has no null: an LMS that says nothing is an empty text.
        person["status"] = enrollment["status"] or None
    return _made(User, person, where)


def _made(kind: type[_Kind], table: _Table, where: str, **given: Any) -> _Kind:
    """An object of dataclass `kind` from a table of its fields and from `given`."""
    hints = get_type_hints(kind)
    names = [item.name for item in fields(kind) if item.name not in given]  # type: ignore[arg-type]
    _known(table, names, where)
    values = {}
    for name, value in table.items():
        if isinstance(value, list) and get_origin(hints[name]) is tuple:
            value = tuple(value)
        if not _fits(value, hints[name]):
            raise ValueError(f"{where}.{name} cannot be {value!r}")
        values[name] = value
    try:
        return kind(**values, **given)
    except TypeError as error:
        raise ValueError(f"{where}: {str(error).partition(' ')[2]}") from None


def _fits(value: Any, hint: Any) -> bool:
    parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    kinds = tuple(get_origin(part) or part for part in parts)
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, int):
        return float in kinds
    if isinstance(value, tuple) and not all(isinstance(item, str) for item in value):
        return False
    return isinstance(value, kinds)


def _known(table: _Table, names: Any, where: str) -> None:
    for name in table:
        if name not in names:
            raise ValueError(f"{where} has no {name!r}; it may have {', '.join(names)}")


def _table(value: Any, where: str) -> _Table:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a table, not {value!r}")
    return value


def _preset(name: Any) -> dict[str, Any]:
    if name not in (*PRESETS, "generic"):
        raise ValueError(f"unknown preset {name!r}; valid presets: {', '.join(PRESETS)}")
    return _file(f"presets/{name}.toml")


def _default() -> dict[str, Any]:
    return _file("worlds/default.toml")


def _file(path: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath(path).read_text("utf-8"))
