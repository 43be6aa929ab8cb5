"""``examples/background_jobs.py``: from a launch in the sandbox, by a real RQ or Celery worker on a
real Redis, into the gradebook."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from werkzeug.test import Client

from tests.account import Account
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.redis_server import RedisServer

pytestmark = pytest.mark.redis
EXAMPLES = Path(__file__).parents[2] / "examples"
WORKERS = {
    "rq": ["rq.cli", "worker", "--burst", "--url"],
    "celery": ["celery", "--app", "background_jobs:celery", "worker", "--pool", "solo"],
}


@pytest.fixture
def environment(
    account: Account, redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    monkeypatch.setenv("LTIAAS_URL", account.url)
    monkeypatch.setenv("LTIAAS_API_KEY", account.key)
    monkeypatch.setenv("LTIAAS_SERVICE_KEYS", f"sqlite:///{tmp_path}/keys.sqlite3")
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.syspath_prepend(EXAMPLES)
    return redis_server.url


@pytest.fixture
def client(environment: str) -> Iterator[Client]:
    for package in ("rq", "celery"):
        pytest.importorskip(package)
    sys.modules.pop("background_jobs", None)
    import background_jobs

    middleware: Any = background_jobs.app.wsgi_app
    yield Client(background_jobs.app)
    middleware.close()
    sys.modules.pop("background_jobs", None)


@pytest.mark.parametrize("queue", WORKERS)
def test_a_job_sends_the_score_after_the_launch(
    account: Account,
    client: Client,
    environment: str,
    monkeypatch: pytest.MonkeyPatch,
    queue: str,
) -> None:
    monkeypatch.setenv("QUEUE", queue)
    ltik = account.sandbox.issue(user="ben")
    page = client.get(
        f"https://tool.example/launch?ltik={ltik}",
        headers={"Sec-Fetch-Mode": "navigate", "Accept": "text/html"},
        follow_redirects=True,
    )
    path = urlsplit(page.request.url).path.removesuffix("/launch")
    answer = client.post(f"https://tool.example{path}/finish")
    assert answer.status_code == 202, answer.text
    account.sandbox.expire(ltik)
    command = [sys.executable, "-m", *WORKERS[queue], *([environment] if queue == "rq" else [])]
    root = str(EXAMPLES.parent)
    worker = subprocess.Popen(command, cwd=EXAMPLES, env=os.environ | {"PYTHONPATH": root})
    try:
        wait_until(lambda: sent(account))
    finally:
        worker.terminate()
        worker.wait(30)
    assert sent(account) == [("ben", 8, 10)]


def sent(account: Account) -> list[Any]:
    return [
        (entry.body["userId"], entry.body["scoreGiven"], entry.body["scoreMaximum"])
        for entry in account.sandbox.api_log
        if entry.path.endswith("/scores") and entry.method == "POST"
    ]
