"""Deep linking: form, components, and where the form posts back to."""

from __future__ import annotations

import base64
import html
import json
import re
from typing import Any

import pytest

from ltiaas_middleware.sandbox import Sandbox

from .conftest import Caller, Clock, refused

CLAIM = "https://purl.imsglobal.org/spec/lti-dl/claim/"
ITEMS = [
    {
        "type": "ltiResourceLink",
        "title": "Quiz <2>",
        "text": "Ten questions",
        "url": "https://your.ltiaas.com/lti/launch?resource=123",
    },
    {"type": "link", "url": "https://example.com/"},
    {"type": "hologram"},
]


@pytest.fixture
def choosing(call: Caller) -> Caller:
    return call.launched(deep_linking=True)


def payload(message: str) -> dict[str, Any]:
    body = message.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=="))
    return found


def test_components_are_a_jwt_and_the_lmss_address(choosing: Caller) -> None:
    options = {"message": "Done", "log": "l", "errMessage": None, "errLog": ""}
    answer = choosing.post("/api/deeplinking", json={"contentItems": ITEMS, "options": options})
    assert answer.status_code == 200
    document = answer.json()
    assert set(document) == {"message", "target"}
    assert document["target"] == f"{choosing.server.url}/lms/deep-linking/return"
    claims = payload(document["message"])
    assert claims[f"{CLAIM}content_items"] == ITEMS
    assert claims[f"{CLAIM}msg"] == "Done"
    assert claims[f"{CLAIM}log"] == "l"
    assert f"{CLAIM}errormsg" not in claims
    assert f"{CLAIM}errorlog" not in claims


@pytest.mark.parametrize("path", ["/api/deeplinking", "/api/deeplinking/form"])
def test_further_keys_are_signed_into_the_message(choosing: Caller, path: str) -> None:
    module = {"https://canvas.instructure.com/lti/module_name": "Week 1"}
    answer = choosing.post(path, json={"contentItems": ITEMS, **module}).json()
    message = answer.get("message") or re.search(r'name="JWT" value="(.*?)"', answer["form"])[1]
    claims = payload(message)
    assert claims[f"{CLAIM}content_items"] == ITEMS
    assert module.items() <= claims.items()


def test_the_form_posts_itself_and_the_lms_shows_what_was_chosen(
    choosing: Caller, sandbox: Sandbox
) -> None:
    answer = choosing.post(
        "/api/deeplinking/form", json={"contentItems": ITEMS, "options": {"errMessage": "Hm & ha"}}
    )
    document = answer.json()
    assert set(document) == {"form"}
    form = document["form"]
    assert ".submit()" in form
    action = html.unescape(re.search(r'action="([^"]+)" method="POST"', form)[1])  # type: ignore[index]
    jwt = re.search(r'name="JWT" value="([^"]+)"', form)[1]  # type: ignore[index]
    page = choosing.with_authorization(None).post(
        action.removeprefix(choosing.server.url),
        data={"JWT": jwt},
        headers={"Sec-Fetch-Site": "cross-site", "Origin": "https://tool.example"},
    )
    assert page.status_code == 200
    assert "3 items added to Introduction to Biology" in page.text
    assert "Quiz &lt;2&gt;" in page.text
    assert "Hm &amp; ha" in page.text
    assert "query=resource%3D123" in page.text
    assert "does not accept items of this type" in page.text
    assert "X-Frame-Options" not in page.headers
    assert sandbox.content_items("biology") == ITEMS
    assert "Added through deep linking" in choosing.get("/").text
    assert "Added through deep linking" not in choosing.get("/?course=history").text


@pytest.mark.parametrize(("items", "said"), [([], "Nothing was chosen"), (ITEMS[:1], "1 item ")])
def test_few_items_are_counted_in_words(
    choosing: Caller, items: list[dict[str, str]], said: str
) -> None:
    made = choosing.post("/api/deeplinking", json={"contentItems": items}).json()
    page = choosing.post("/lms/deep-linking/return", data={"JWT": made["message"]})
    assert said in page.text


def test_an_item_with_an_odd_address_is_shown_all_the_same(choosing: Caller) -> None:
    items = [{"type": "ltiResourceLink", "url": "http://[odd"}]
    made = choosing.post("/api/deeplinking", json={"contentItems": items}).json()
    page = choosing.post("/lms/deep-linking/return", data={"JWT": made["message"]})
    assert page.status_code == 200
    assert "http://[odd" in page.text


def test_the_lms_takes_messages_of_this_account_only_and_for_ten_minutes(
    choosing: Caller, sandbox: Sandbox, clock: Clock
) -> None:
    made = choosing.post("/api/deeplinking", json={"contentItems": []}).json()["message"]
    foreign = Sandbox(api_key="other")._mint.jws(payload(made))
    for message in ("", "a.b.c", foreign, sandbox.issue()):
        answer = choosing.post("/lms/deep-linking/return", data={"JWT": message})
        assert answer.status_code == 400
        assert "does not accept this" in answer.text
    clock.now += 600
    answer = choosing.post("/lms/deep-linking/return", data={"JWT": made})
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/api/deeplinking", "/api/deeplinking/form"])
def test_only_a_deep_linking_launch_may_send_content(call: Caller, path: str) -> None:
    body = {"contentItems": ITEMS}
    for where, message in (
        ({}, "SERVICE_NOT_AVAILABLE_FOR_CONTEXT"),
        ({"course": "drawing"}, "SERVICE_NOT_AVAILABLE_FOR_CONTEXT"),
        ({"course": "chemistry"}, "INACTIVE_SERVICE"),
    ):
        refused(call.launched(**where).post(path, json=body), 403, message)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "contentItems"),
        ({}, "contentItems"),
        ({"contentItems": {}}, "contentItems"),
        ({"contentItems": ["x"]}, "contentItems"),
        ({"contentItems": [{}]}, "contentItems"),
        ({"contentItems": [], "options": "x"}, "options"),
        ({"contentItems": [], "options": {"message": 1}}, "options"),
    ],
)
def test_a_body_that_cannot_be_is_a_400(choosing: Caller, body: object, field: str) -> None:
    details = refused(choosing.post("/api/deeplinking", json=body), 400, "VALIDATION_ERROR")
    assert [error["field"] for error in details["errors"]] == [field]
