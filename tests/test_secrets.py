"""No secret stands in an exception, a log, a ``repr`` or a traceback. (Database columns:
``test_service_key_store``. What the commands print: ``test_service_key_commands``.)"""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ltiaas_middleware import IdToken, Score, Settings
from ltiaas_middleware.api.exchange import RetryPolicy
from ltiaas_middleware.errors import LTIAASError
from ltiaas_middleware.service_keys import ActivityKey, ServiceKeyStore
from tests.account import SECRET, Account, Caller, told

FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("delay", {"seconds": 30}),
    ("rate_limit", {"retry_after": 100}),
    ("status", {"status": 502}),
    ("refuse", {}),
    ("bad_api_key", {}),
    ("reset", {}),
    ("truncated", {}),
    ("not_json", {}),
    ("wrong_type", {}),
    ("no_user", {}),
    ("endless", {}),
    ("gzip_bomb", {}),
    ("redirect", {"location": "https://elsewhere.example/"}),
]


@pytest.mark.parametrize(("fault", "options"), FAULTS, ids=lambda value: str(value)[:20])
def test_nothing_that_a_failing_call_leaves_behind_holds_a_secret(
    api: Caller, caplog: pytest.LogCaptureFixture, fault: str, options: dict[str, Any]
) -> None:
    caplog.set_level(logging.DEBUG)
    account = api.account
    launch, service = account.launch(), account.service_key()
    secrets = [account.key, *(c.authorization.rpartition(":")[2] for c in (launch, service))]
    account.sandbox.fault(fault, **options)
    limits = RetryPolicy(timeout=1, attempts=2, read_timeout=0.3, max_response_size=100_000)
    failures = []
    for name, args, credential in (
        ("id_token", (), launch),
        ("members", (), service),
        ("submit_score", (account.line_item(), Score(user_id="ben")), service),
        ("platforms", (), account.api_key()),
        ("platforms", (), service),
        ("request", ("GET", "https://elsewhere.example/"), launch),
    ):
        try:
            api(name, *args, with_=credential, retry_policy=limits)
        except LTIAASError as error:
            failures.append(told(error))
    assert failures
    for text in (*failures, caplog.text):
        assert not [secret for secret in secrets if secret in text]


def test_nothing_that_the_store_leaves_behind_holds_a_secret(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, account: Account
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = Settings(url=account.url, api_key=SECRET["api key"], secrets=SECRET["secret"])
    now = datetime.now(timezone.utc)
    shown = []
    for database in (
        f"sqlite:///{tmp_path}/keys.sqlite3",
        f"sqlite:///{tmp_path}",
        f"postgresql://tool:{SECRET['password']}@127.0.0.1:1/none",
    ):
        store = ServiceKeyStore(database, settings)
        token = IdToken.parse(
            {
                "user": {"id": 1},
                "platform": {"id": "p"},
                "services": {"serviceKey": SECRET["service key"]},
            }
        )
        store.record(token, now)
        store.flush(20)
        shown += [repr(store), repr(store.stats())]
        try:
            store.put(ActivityKey("p", None, None), SECRET["service key"], now)
            for key in store.all():
                shown += [repr(key), repr(key.credential), repr(key.api), repr(vars(key.api))]
        except LTIAASError as error:
            shown.append(told(error))
        store.close()
    assert len(shown) == 12
    for text in (*shown, caplog.text):
        assert not [name for name, secret in SECRET.items() if secret in text]
