"""``examples/registration.py``, from the LMS's registration frame to a platform."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from ltiaas_middleware import ApiSession
from tests.account import Account

PENDING = "5d0f6a1e7c9b4b0e"


@pytest.fixture
def start(account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Client]]:
    """Starts the tool, which knows the LMSes that are given."""
    started: list[Any] = []

    def start(known: str = "") -> Client:
        monkeypatch.setenv("LTIAAS_URL", account.url)
        monkeypatch.setenv("LTIAAS_API_KEY", account.key)
        monkeypatch.setenv("TOOL_KNOWS", known)
        monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
        sys.modules.pop("registration", None)
        import registration

        started.append(registration)
        return Client(registration.app)

    yield start
    for module in started:
        module.app.wsgi_app.close()
        module.account.close()
    sys.modules.pop("registration", None)


def approve(client: Client) -> str:
    page = client.get(f"/register?registrationId={PENDING}")
    assert page.status_code == 200
    assert "X-Frame-Options" not in page.headers
    assert "canvas" in page.text
    assert "LtiResourceLinkRequest" in page.text
    action = unescape(re.findall(r'action="([^"]+)"', page.text)[0])
    done = client.post(action, data={"name": "Riverside & Co"})
    assert done.status_code == 200
    # Unescaped: it tells the LMS to close the frame.
    assert "<script>" in done.text
    assert "org.imsglobal.lti.close" in done.text
    return done.text


@pytest.mark.parametrize(
    "known", ["", "https://elsewhere.example https://canvas.riverside.example"]
)
def test_an_lms_is_connected_at_once_where_it_is_known(
    account: Account, start: Callable[[str], Client], known: str
) -> None:
    text = approve(start(known))
    with ApiSession(account.api_key()) as api:
        (platform,) = api.platforms(url="https://canvas.riverside.example")
    assert platform.name == "Riverside & Co"
    assert platform.active is bool(known)
    assert ("You can close this window" in text) is bool(known)


def test_a_registration_is_completed_once(account: Account, start: Callable[[str], Client]) -> None:
    client = start("")
    approve(client)
    for answer in (
        client.get(f"/register?registrationId={PENDING}"),
        client.post(f"/register?registrationId={PENDING}", data={"name": "x"}),
    ):
        assert answer.status_code == 410
        assert "Start it again" in answer.text


def test_an_outage_is_no_end_of_a_registration(
    account: Account, start: Callable[[str], Client]
) -> None:
    client = start("")
    account.sandbox.misbehave("status", status=500)
    assert client.get(f"/register?registrationId={PENDING}").status_code == 503
    account.sandbox.behave()
    approve(client)
