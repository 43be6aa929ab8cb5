"""``examples/deep_linking.py``, from the LMS's launch to the content in the course."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from tests.account import Account


@pytest.fixture
def client(account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("LTIAAS_URL", account.url)
    monkeypatch.setenv("LTIAAS_API_KEY", account.key)
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
    sys.modules.pop("deep_linking", None)
    import deep_linking

    middleware: Any = deep_linking.app.wsgi_app
    yield Client(deep_linking.app)
    middleware.close()
    sys.modules.pop("deep_linking", None)


def open_picker(account: Account, client: Client, **seat: Any) -> Any:
    ltik = account.sandbox.issue(**seat)
    headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe", "Accept": "text/html"}
    return client.get(
        f"https://tool.example/deep-linking?ltik={ltik}", headers=headers, follow_redirects=True
    )


def test_what_a_teacher_picks_reaches_the_lms(account: Account, client: Client) -> None:
    page = open_picker(account, client, deep_linking=True)
    assert page.status_code == 200
    assert "checkbox" in page.text
    action = unescape(re.findall(r'action="([^"]+)"', page.text)[0])
    assert action.startswith("/lti/")
    answer = client.post(
        f"https://tool.example{action}", data={"pick": ["cells", "plants", "never offered"]}
    )
    message = re.findall(r'name="JWT" value="([^"]+)"', answer.text)[0]
    payload = account.sandbox.launches.deep_linking_message(message)
    items = payload["https://purl.imsglobal.org/spec/lti-dl/claim/content_items"]
    assert [item["custom"]["resource"] for item in items] == ["cells", "plants"]
    assert items[0]["url"] == f"{account.url}/lti/launch?resource=cells"
    account.sandbox.fault("status", status=503)
    failed = client.post(f"https://tool.example{action}", data={"pick": "cells"})
    assert failed.status_code == 502
    account.sandbox.clear_faults()
    account.sandbox.fault("refuse")
    late = client.post(f"https://tool.example{action}", data={"pick": "cells"})
    assert late.status_code == 401


def test_an_ordinary_launch_is_shown_no_picker(account: Account, client: Client) -> None:
    assert open_picker(account, client).status_code == 403
    assert client.get("https://tool.example/deep-linking").status_code == 401
