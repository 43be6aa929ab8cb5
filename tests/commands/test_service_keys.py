from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from ltiaas_middleware import Settings
from ltiaas_middleware.commands.service_keys import forget_keys, list_keys, rotate_keys
from ltiaas_middleware.service_keys import Place, ServiceKeyStore
from tests.account import SECRET

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
Open = Callable[..., ServiceKeyStore]


@pytest.fixture
def filled(store: ServiceKeyStore) -> ServiceKeyStore:
    for place in (Place("p", "c", "a"), Place("p", None, None), Place("q", "c\n\x1b[31m", "a")):
        store.put(place, SECRET["service key"], NOW)
    return store


def test_list_shows_each_key_on_a_line_and_no_key(filled: ServiceKeyStore) -> None:
    out = io.StringIO()
    assert list_keys(filled, out) == 0
    head, *lines = out.getvalue().splitlines()
    assert head.split("\t") == ["LAUNCHED (UTC)", "PLATFORM", "CONTEXT", "RESOURCE LINK"]
    assert sorted(lines) == [
        "2026-03-01 12:00:00\tp\t-\t-",
        "2026-03-01 12:00:00\tp\tc\ta",
        "2026-03-01 12:00:00\tq\tc\ufffd\ufffd[31m\ta",
    ]
    out = io.StringIO()
    assert list_keys(filled, out, platform_id="q") == 0
    assert len(out.getvalue().splitlines()) == 2


def test_list_marks_what_no_secret_opens(
    filled: ServiceKeyStore, open_store: Open, settings: Settings
) -> None:
    out = io.StringIO()
    assert list_keys(open_store(settings=replace(settings, secret="x" * 16)), out) == 1
    assert out.getvalue().count("\tunreadable\n") == 3
    assert not [secret for secret in SECRET.values() if secret in out.getvalue()]


def test_forget_deletes_one_or_all_of_a_platform(filled: ServiceKeyStore) -> None:
    out = io.StringIO()
    assert forget_keys(filled, out, platform_id="p", context_id="c", resource_link_id="a") == 0
    assert forget_keys(filled, out, platform_id="p", context_id="c", resource_link_id="a") == 1
    assert forget_keys(filled, out, platform_id="p", context_id="c", whole_platform=True) == 2
    assert forget_keys(filled, out, platform_id="p", whole_platform=True) == 0
    assert [key.platform_id for key in filled.all()] == ["q"]
    assert out.getvalue().startswith("forgotten: 1\nforgotten: 0\ngive either")


def test_rotate_says_what_it_did(
    filled: ServiceKeyStore, open_store: Open, settings: Settings
) -> None:
    new = "the-new-secret-0001"
    out = io.StringIO()
    assert rotate_keys(open_store(settings=replace(settings, secret=new)), out) == 1
    assert "unreadable: 3" in out.getvalue()
    out = io.StringIO()
    both = open_store(settings=replace(settings, secret=(new, SECRET["secret"])))
    assert rotate_keys(both, out) == 0
    assert out.getvalue().splitlines()[0] == "sealed again: 3"
    assert not [secret for secret in (*SECRET.values(), new) if secret in out.getvalue()]


def test_a_database_that_cannot_be_used_is_said_in_a_line(settings: Settings) -> None:
    store = ServiceKeyStore(f"postgresql://u:{SECRET['password']}@127.0.0.1:1/x", settings)
    out = io.StringIO()
    assert list_keys(store, out) == 1
    assert forget_keys(store, out, platform_id="p") == 1
    assert rotate_keys(store, out) == 1
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    assert sum("cannot be used" in line for line in lines) == 3
    assert SECRET["password"] not in out.getvalue()
    store.close()


def test_what_holds_keys_is_not_pickled(filled: ServiceKeyStore) -> None:
    for holder in (filled, next(filled.all())):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(holder)
    assert repr(filled._sealer) == "<Sealer>"
