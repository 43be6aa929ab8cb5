from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from ltiaas_middleware import Settings
from ltiaas_middleware.__main__ import main
from ltiaas_middleware.commands.service_keys import (
    forget_key,
    forget_platform,
    list_keys,
    rotate_keys,
)
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
    assert forget_key(filled, out, "p", "c", "a") == 0
    assert forget_key(filled, out, "p", "c", "a") == 1
    assert forget_platform(filled, out, "p") == 0
    assert [key.platform_id for key in filled.all()] == ["q"]
    assert out.getvalue() == "forgotten: 1\nforgotten: 0\nforgotten: 1\n"


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
    assert out.getvalue().splitlines()[0] == "re-encrypted: 3"
    assert not [secret for secret in (*SECRET.values(), new) if secret in out.getvalue()]


def test_a_database_that_cannot_be_used_is_said_in_a_line(settings: Settings) -> None:
    store = ServiceKeyStore(f"postgresql://u:{SECRET['password']}@127.0.0.1:1/x", settings)
    out = io.StringIO()
    assert list_keys(store, out) == 1
    assert forget_key(store, out, "p") == 1
    assert forget_platform(store, out, "p") == 1
    assert rotate_keys(store, out) == 1
    lines = out.getvalue().splitlines()
    assert len(lines) == 5
    assert sum("cannot be used" in line for line in lines) == 4
    assert SECRET["password"] not in out.getvalue()
    store.close()


@pytest.fixture
def in_the_environment(
    filled: ServiceKeyStore, database: str, monkeypatch: pytest.MonkeyPatch
) -> ServiceKeyStore:
    monkeypatch.setenv("LTIAAS_URL", "https://your.ltiaas.example")
    monkeypatch.setenv("LTIAAS_API_KEY", SECRET["api key"])
    monkeypatch.setenv("LTIAAS_SECRET", SECRET["secret"])
    monkeypatch.setenv("LTIAAS_SERVICE_KEYS", database)
    return filled


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "required: ACTION"),
        ("polish", "invalid choice: 'polish'"),
        ("rotate --platform p", "does not take --platform p"),
        ("rotate --all", "does not take --all"),
        ("list --context c --all", "does not take --context c --all"),
        ("list --platform p --resource-link a", "does not take --resource-link a"),
        ("list p", "does not take p"),
        ("forget", "required: --platform"),
        ("forget --plat p --all", "required: --platform"),
        ("forget --platform p --context c --all", "either --all, or"),
        ("forget --platform p --resource-link a --all", "either --all, or"),
    ],
)
def test_an_action_refuses_what_it_does_not_use_and_does_nothing(
    in_the_environment: ServiceKeyStore,
    arguments: str,
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = [(key.place, key._row.sealed) for key in in_the_environment.all()]
    with pytest.raises(SystemExit) as ended:
        main(["service-keys", *arguments.split()])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert f"service-keys {arguments.split(' ')[0]}".strip() in said or "polish" in arguments
    assert [(key.place, key._row.sealed) for key in in_the_environment.all()] == before


def test_the_actions_from_the_command_line(
    in_the_environment: ServiceKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["service-keys", "list", "--platform", "p"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["service-keys", "rotate"]) == 0
    assert "already under the first secret: 3" in capsys.readouterr().out
    key = ["--platform", "p", "--context", "c", "--resource-link", "a"]
    assert main(["service-keys", "forget", *key]) == 0
    assert main(["service-keys", "forget", "--platform", "q", "--all"]) == 0
    assert [key.place for key in in_the_environment.all()] == [Place("p", None, None)]
    assert main(["service-keys", "forget", "--platform", "q", "--all"]) == 1


def test_without_a_database_it_says_which_variable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["service-keys", "rotate"])
    assert "LTIAAS_SERVICE_KEYS" in capsys.readouterr().err


def test_what_holds_keys_is_not_pickled(filled: ServiceKeyStore) -> None:
    for holder in (filled, next(filled.all())):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(holder)
    assert repr(filled._sealer) == "<Sealer>"
