from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from ltiaas_middleware import Settings
from ltiaas_middleware.__main__ import main
from ltiaas_middleware.commands.service_keys import delete_keys, list_keys, rotate_keys
from ltiaas_middleware.service_keys import ActivityKey, ServiceKeyStore
from tests.account import SECRET

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
Open = Callable[..., ServiceKeyStore]


@pytest.fixture
def filled(store: ServiceKeyStore) -> ServiceKeyStore:
    for place in (
        ActivityKey("p", "c", "a"),
        ActivityKey("p", None, None),
        ActivityKey("q", "c\n\x1b[31m", "a"),
    ):
        store.put(place, SECRET["service key"], NOW)
    return store


def test_list_shows_each_key_on_an_aligned_line_and_no_key(
    filled: ServiceKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list_keys(filled, None, as_json=False) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == "LAUNCHED (UTC)       PLATFORM  CONTEXT  RESOURCE LINK"
    assert sorted(lines) == [
        "2026-03-01 12:00:00  p         -        -",
        "2026-03-01 12:00:00  p         c        a",
        "2026-03-01 12:00:00  q         c\ufffd\ufffd[31m  a",
    ]
    assert list_keys(filled, "q", as_json=False) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert list_keys(filled, "none", as_json=False) == 0
    assert capsys.readouterr().out.startswith("No service keys.")


def test_list_is_given_as_json(filled: ServiceKeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert list_keys(filled, "p", as_json=True) == 0
    keys = json.loads(capsys.readouterr().out)["keys"]
    key = {
        "platform_id": "p", "context_id": None, "resource_link_id": None,
        "refreshed_at": "2026-03-01T12:00:00+00:00", "readable": True,
    }  # fmt: skip
    assert key in keys
    assert len(keys) == 2


def test_list_marks_what_no_secret_decrypts(
    filled: ServiceKeyStore,
    open_store: Open,
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = open_store(settings=replace(settings, secrets="x" * 16))
    assert list_keys(other, None, as_json=False) == 1
    seen = capsys.readouterr()
    assert seen.out.count("  unreadable\n") == 3
    assert "Next: add the secret" in seen.err
    assert not [secret for secret in SECRET.values() if secret in seen.out + seen.err]


def test_delete_deletes_one_or_all_of_a_platform(
    filled: ServiceKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert delete_keys(filled, ActivityKey("p", "c", "a")) == 0
    assert delete_keys(filled, ActivityKey("p", "c", "a")) == 1
    assert delete_keys(filled, "p") == 0
    assert delete_keys(filled, "p") == 1
    assert [key.platform_id for key in filled.all()] == ["q"]
    seen = capsys.readouterr()
    assert seen.out == "Deleted 1 key.\nDeleted 1 key.\n"
    assert seen.err == 2 * "No such key.\nNext: python -m ltiaas_middleware service-keys list\n"


def test_rotate_says_what_it_did_and_whether_the_old_secret_can_go(
    filled: ServiceKeyStore,
    open_store: Open,
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
) -> None:
    new = "the-new-secret-0001"
    assert rotate_keys(open_store(settings=replace(settings, secrets=new))) == 1
    seen = capsys.readouterr()
    assert "unreadable:                      3" in seen.out
    assert "Keep the old secret: 3 cannot" in seen.err
    both = open_store(settings=replace(settings, secrets=(new, SECRET["secret"])))
    assert rotate_keys(both) == 0
    seen = capsys.readouterr()
    assert seen.out.splitlines()[0] == "re-encrypted:                    3"
    assert seen.out.splitlines()[-1].startswith("Run it again")
    assert rotate_keys(both) == 0
    assert capsys.readouterr().out.endswith("No stored key needs an old secret.\n")
    assert not [secret for secret in (*SECRET.values(), new) if secret in seen.out]


@pytest.fixture
def in_the_environment(
    filled: ServiceKeyStore, database: str, monkeypatch: pytest.MonkeyPatch
) -> ServiceKeyStore:
    monkeypatch.setenv("LTIAAS_URL", "https://your.ltiaas.example")
    monkeypatch.setenv("LTIAAS_API_KEY", SECRET["api key"])
    monkeypatch.setenv("LTIAAS_SECRETS", SECRET["secret"])
    monkeypatch.setenv("LTIAAS_SERVICE_KEYS", database)
    return filled


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "required: ACTION"),
        ("polish", "invalid choice: 'polish'"),
        ("rotate --platform p", "does not accept --platform p"),
        ("rotate --all", "does not accept --all"),
        ("list --context c --all", "does not accept --context c --all"),
        ("list --platform p --resource-link a", "does not accept --resource-link a"),
        ("list p", "does not accept p"),
        ("delete", "required: --platform"),
        ("delete --plat p --all", "required: --platform"),
        ("delete --platform p --context c --all", "or --all for every key"),
        ("delete --platform p --resource-link a --all", "or --all for every key"),
        ("delete --platform p --no-context --all", "or --all for every key"),
        ("delete --platform p", "--no-context"),
        ("delete --platform p --context c", "--no-resource-link"),
        ("delete --platform p --no-resource-link --yes", "--no-context"),
        ("rotate --json", "does not accept --json"),
        ("delete --platform p --context c --no-context", "not allowed with"),
    ],
)
def test_an_action_refuses_what_it_does_not_use_and_does_nothing(
    in_the_environment: ServiceKeyStore,
    arguments: str,
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = [(key.activity_key, key._row.sealed) for key in in_the_environment.all()]
    with pytest.raises(SystemExit) as ended:
        main(["service-keys", *arguments.split()])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert f"service-keys {arguments.split(' ')[0]}".strip() in said or "polish" in arguments
    assert [(key.activity_key, key._row.sealed) for key in in_the_environment.all()] == before


def test_the_actions_from_the_command_line(
    in_the_environment: ServiceKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["service-keys", "list", "--platform", "p"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["service-keys", "rotate"]) == 0
    assert "already under the first secret:  3" in capsys.readouterr().out
    key = ["--platform", "p", "--context", "c", "--resource-link", "a"]
    assert main(["service-keys", "delete", "--yes", *key]) == 0
    assert main(["service-keys", "delete", "--platform", "q", "--all", "--yes"]) == 0
    assert [key.activity_key for key in in_the_environment.all()] == [ActivityKey("p", None, None)]
    assert main(["service-keys", "delete", "--platform", "q", "--all", "--yes"]) == 1
    absent = ["--platform", "p", "--no-context", "--no-resource-link"]
    assert main(["service-keys", "delete", "--yes", *absent]) == 0
    assert list(in_the_environment.all()) == []


@pytest.mark.parametrize(("typed", "deletes"), [("", 0), ("n\n", 0), ("\n", 0), ("yes\n", 1)])
@pytest.mark.parametrize("which", ["--all", "--context c --resource-link a"])
def test_deleting_asks_first(
    in_the_environment: ServiceKeyStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    which: str,
    typed: str,
    deletes: int,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    arguments = ["service-keys", "delete", "--platform", "p", *which.split()]
    assert main(arguments) == (0 if deletes else 1)
    deleted = 0 if not deletes else 2 if which == "--all" else 1
    assert len(list(in_the_environment.all())) == 3 - deleted
    asked = capsys.readouterr().err
    assert "[y/N]" in asked
    assert deletes or asked.endswith("Next: confirm with y, or use --yes\n")


def test_a_database_that_cannot_be_used_is_said_in_a_line(
    in_the_environment: ServiceKeyStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = f"postgresql://u:{SECRET['password']}@127.0.0.1:1/x"
    monkeypatch.setenv("LTIAAS_SERVICE_KEYS", url)
    for action in ("list", "rotate", "delete --platform p --all --yes"):
        assert main(["service-keys", *action.split()]) == 1
        seen = capsys.readouterr()
        assert "Cannot use the service-key database" in seen.err
        assert seen.err.endswith("\nNext: python -m ltiaas_middleware doctor\n")
        assert SECRET["password"] not in seen.out + seen.err


def test_without_a_database_it_says_which_variable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["service-keys", "rotate"]) == 2
    said = capsys.readouterr().err
    assert "LTIAAS_SERVICE_KEYS" in said
    assert "usage" not in said
    assert said.splitlines()[-1].startswith("Next: ")


def test_what_holds_keys_is_not_pickled(filled: ServiceKeyStore) -> None:
    for holder in (filled, next(filled.all())):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(holder)
    assert repr(filled._encryptor) == "<Encryptor>"
