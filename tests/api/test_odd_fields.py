"""Every field of every documented answer, however deep, of every wrong type and missing: all the
other fields are read as if it were not odd."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from ltiaas_middleware import IdToken
from ltiaas_middleware.api.registrations import (
    CompletedRegistration,
    PlatformRegistration,
    Registration,
)
from ltiaas_middleware.api.session import ApiSession
from tests.account import Caller
from tests.both_adapters import Tool
from tests.tokens import ltik

from .test_documented_bodies import COMPLETED, LISTS, PLATFORM, REGISTRATION, SINGLE
from .test_id_token import FULL

WRONG: list[Any] = [None, True, 7.5, "", "text", [], {}, [None], [[]], {"a": [1]}, "9" * 5000]
MISSING = object()

TOKEN = copy.deepcopy(FULL)
TOKEN["services"]["deepLinking"] = {
    "available": True, "acceptTypes": ["link"], "acceptMultiple": True,
    "acceptPresentationDocumentTargets": ["iframe"], "acceptMediaTypes": "image/*", "title": "T",
    "text": "t",
}  # fmt: skip
DOCUMENTS = {
    IdToken: TOKEN,
    PlatformRegistration: PLATFORM,
    Registration: REGISTRATION,
    CompletedRegistration: COMPLETED,
}


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a document."""
    inside = document.items() if isinstance(document, dict) else enumerate(document)
    for name, value in inside:
        yield (*path, name)
        if isinstance(value, dict | list):
            yield from places(value, (*path, name))


def odd(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(document)
    *parents, last = path
    place = changed
    for name in parents:
        place = place[name]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return changed


#: A row is nothing without its id, and a key is nothing without its method.
NEEDED = {("id",)}
TOGETHER = {("authConfig", "method"), ("authConfig", "key")}


def read(found: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Everything that can be read, by the names that lead to it."""
    if not is_dataclass(found):
        return {path: found}
    every: dict[tuple[str, ...], Any] = {}
    for field in fields(found):
        if field.name not in ("raw", "_raw", "extra"):
            every |= read(getattr(found, field.name), (*path, field.name))
    return every


CASES = [
    (kind, path)
    for kind, document in DOCUMENTS.items()
    for path in places(document)
    if kind is not PlatformRegistration or path not in NEEDED
]


@pytest.mark.parametrize(
    ("kind", "path"),
    CASES,
    ids=[f"{kind.__name__}-{'.'.join(map(str, path))}" for kind, path in CASES],
)
def test_one_odd_field_costs_no_other(kind: Any, path: tuple[Any, ...]) -> None:
    document: Any = DOCUMENTS[kind]
    good = read(kind.parse(document))
    for value in (*WRONG, MISSING):
        now = read(kind.parse(odd(document, path, value)))
        lost = {name for name, had in good.items() if now.get(name, MISSING) != had}
        # What is under one name on the wire is under one name, or one part, when it is read.
        depth = 1 if path in TOGETHER else len(path)
        assert len({name[:depth] for name in lost}) <= 1, (path, value, lost)


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_an_odd_field_of_an_id_token_keeps_nobody_out(world: Any, kind: str) -> None:
    tool = Tool(kind, {"url": world.url, "api_key": "the-key"})
    try:
        for path in places(TOKEN):
            if path[0] == "user" and path in (("user",), ("user", "id")):
                continue
            for value in (7.5, [None], {"a": [1]}, MISSING):
                world("/api/idtoken", odd(TOKEN, path, value))
                reply = tool.get(f"/launch?ltik={ltik()}")
                assert reply.reached_app, (path, value, reply.status)
                # The app is told the name.
                if path != ("user", "name"):
                    assert reply.seen["user"] == "Ada Lovelace"
    finally:
        tool.middleware.close()


def test_every_call_that_answers_with_a_document_is_tried() -> None:
    """A new one is added to ``test_documented_bodies.py``, or named here with the reason."""
    tried = {answer.name for answer in (*LISTS, *SINGLE)}
    others = {
        # Give no document.
        "submit_score", "delete_line_item", "delete_platform", "activate_platform",
        "deactivate_platform",
        # Give the document as it is.
        "raw_id_token", "raw_registration", "request",
        # Has tests of its own there.
        "deep_linking_settings", "column", "submit_scores",
        # Ask for nothing.
        "launch_url", "close", "skipped", "origin",
    }  # fmt: skip
    public = {name for name in dir(ApiSession) if not name.startswith("_")}
    assert public - others <= tried
    assert tried <= public


def test_both_kinds_of_lms_say_what_deep_linking_takes(api: Caller) -> None:
    for course in ("biology", "drawing"):
        launch = api.account.launch(course=course, deep_linking=True)
        settings = api("deep_linking_settings", with_=launch)
        assert settings.available
        assert settings.accept_types == ("link", "ltiResourceLink", "html", "file", "image")
        assert settings.accept_multiple is True
        assert settings.accept_presentation_document_targets == ("iframe", "window")
    # The ID token alone would not have told it of the second.
    assert api("id_token", with_=launch).services.deep_linking.accept_types == ()
