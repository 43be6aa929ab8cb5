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

from tests.account import SECRET

ID = "5d0f6a1e7c9b4b0e"
PATH = f"/api/registrations/{ID}"
HTML = "<script>window.parent.postMessage({subject:'org.imsglobal.lti.close'}, '*');</script>"


@pytest.fixture
def start(world: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Client]]:
    """Starts the tool, which knows the LMSes that are given."""
    started: list[Any] = []

    def start(known: str = "") -> Client:
        monkeypatch.setenv("LTIAAS_URL", world.url)
        monkeypatch.setenv("LTIAAS_API_KEY", SECRET["api key"])
        monkeypatch.setenv("TOOL_KNOWS", known)
        monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
        sys.modules.pop("registration", None)
        import registration

        started.append(registration)
        return Client(registration.app)

    # wire.md, "Dynamic registration".
    world(PATH, {
        "url": "https://canvas.riverside.example", "familyCode": "canvas", "version": "9.1",
        "supportedScopes": [], "supportedMessages": [{"type": "LtiResourceLinkRequest"}],
    })  # fmt: skip
    world(f"{PATH}/complete", {"html": HTML, "platformId": "p1"})
    yield start
    for module in started:
        module.app.wsgi_app.close()
        module.account.close()
    sys.modules.pop("registration", None)


def approve(client: Client) -> str:
    page = client.get(f"/register?registrationId={ID}")
    assert page.status_code == 200
    assert "X-Frame-Options" not in page.headers
    assert "canvas" in page.text
    assert "LtiResourceLinkRequest" in page.text
    assert SECRET["api key"] not in page.text
    action = unescape(re.findall(r'action="([^"]+)"', page.text)[0])
    done = client.post(action, data={"name": "Riverside & Co"})
    assert done.status_code == 200
    # As it is: it tells the LMS to close the frame.
    assert HTML in done.text
    return done.text


@pytest.mark.parametrize(
    "known", ["", "https://elsewhere.example https://canvas.riverside.example"]
)
def test_an_lms_is_connected_at_once_where_it_is_known(
    world: Any, start: Callable[..., Client], known: str
) -> None:
    text = approve(start(known))
    method, path, body = world.asked[-1]
    assert (method, path) == ("POST", f"{PATH}/complete")
    assert body == {"platformName": "Riverside & Co", "autoActivate": bool(known)}
    assert ("You can close this window" in text) is bool(known)


def test_a_registration_is_completed_once(world: Any, start: Callable[..., Client]) -> None:
    client = start()
    gone = {"status": 404, "error": "Not Found", "details": {"message": "NOT_FOUND"}}
    world(PATH, gone, status=404)
    for answer in (
        client.get(f"/register?registrationId={ID}"),
        client.post(f"/register?registrationId={ID}", data={"name": "x"}),
    ):
        assert answer.status_code == 410
        assert "Start it again" in answer.text


def test_an_outage_is_no_end_of_a_registration(world: Any, start: Callable[..., Client]) -> None:
    client = start()
    world(PATH, None, status=500)
    answer = client.get(f"/register?registrationId={ID}")
    assert answer.status_code == 503
    assert "in a moment" in answer.text
