"""Deep linking: form, components, and where the form posts back to."""

from __future__ import annotations

import base64
import html
import json
import re
from typing import Any
from urllib.parse import quote

import pytest
import requests

from ltiaas_middleware.sandbox import Sandbox

from .conftest import SCORE, Caller, Clock, refused

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
        "/api/deeplinking/form", json={"contentItems": ITEMS, "options": {"message": "Hm & ha"}}
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
    assert "activity=link-1" in page.text
    assert "does not accept this type of item" in page.text
    assert "X-Frame-Options" not in page.headers
    assert sandbox.content_items("biology") == ITEMS
    assert "Added through deep linking" in choosing.get("/").text
    assert "Added through deep linking" not in choosing.get("/?course=history").text


@pytest.mark.parametrize(("items", "said"), [([], "No content was added"), (ITEMS[:1], "1 item ")])
def test_few_items_are_counted_in_words(
    choosing: Caller, items: list[dict[str, str]], said: str
) -> None:
    made = choosing.post("/api/deeplinking", json={"contentItems": items}).json()
    page = choosing.post("/lms/deep-linking/return", data={"JWT": made["message"]})
    assert said in page.text


def test_an_item_with_an_odd_url_is_shown_all_the_same(choosing: Caller) -> None:
    items = [{"type": "ltiResourceLink", "url": "http://[odd"}]
    made = choosing.post("/api/deeplinking", json={"contentItems": items}).json()
    page = choosing.post("/lms/deep-linking/return", data={"JWT": made["message"]})
    assert page.status_code == 200
    assert "http://[odd" in page.text
    assert "does not open at LTIAAS" in page.text


def test_the_lms_takes_messages_of_this_account_only_and_for_ten_minutes(
    choosing: Caller, sandbox: Sandbox, clock: Clock
) -> None:
    made = choosing.post("/api/deeplinking", json={"contentItems": []}).json()["message"]
    foreign = Sandbox(api_key="other").mint.jws(payload(made))
    for message in ("", "a.b.c", foreign, sandbox.issue()):
        answer = choosing.post("/lms/deep-linking/return", data={"JWT": message})
        assert answer.status_code == 400
        assert "rejected this" in answer.text
    clock.now += 600
    answer = choosing.post("/lms/deep-linking/return", data={"JWT": made})
    assert answer.status_code == 400


def chosen(choosing: Caller, item: dict[str, Any]) -> requests.Response:
    made = choosing.post("/api/deeplinking", json={"contentItems": [item]}).json()
    return choosing.post("/lms/deep-linking/return", data={"JWT": made["message"]})


QUIZ = {
    "type": "ltiResourceLink",
    "title": "Mitosis",
    "text": "Six questions",
    "url": "https://your.ltiaas.com/lti/launch?resource=mitosis%2F1&resource=2",
    "custom": {"level": 3, "who": "$User.id"},
    "lineItem": {
        "scoreMaximum": 12,
        "label": "Mitosis quiz",
        "resourceId": "r9",
        "tag": "quiz",
        "gradesReleased": False,
    },
    "submission": {"endDateTime": "2027-03-08T12:00:00Z"},
}


def test_a_resource_link_comes_back_whole_as_whoever_opens_it(
    choosing: Caller, call: Caller, sandbox: Sandbox
) -> None:
    assert chosen(choosing, QUIZ).status_code == 200
    home = call.get("/?course=biology&activity=link-1").text
    assert '<option value="link-1" selected>Mitosis</option>' in home
    for user in ("ben", "ada"):
        step = call.get(f"/lms/launch?activity=link-1&user={user}").headers["Location"]
        target = call.get(step).headers["Location"]
        assert "?resource=mitosis%2F1&resource=2&ltik=" in target
        opened = call.with_ltik(target.split("ltik=")[1])
        token = opened.get("/api/idtoken").json()
        assert token["user"]["id"] == user
        assert token["launch"]["resourceLink"] == {
            "id": "link-1", "title": "Mitosis", "description": "Six questions",
        }  # fmt: skip
        custom = token["launch"]["custom"]
        assert (custom["level"], custom["who"]) == ("3", user)
        (column,) = opened.get("/api/lineitems?resourceLinkId=link-1").json()["lineItems"]
        assert token["services"]["assignmentAndGrades"]["lineItemId"] == column.pop("id")
        assert column == {
            "label": "Mitosis quiz", "scoreMaximum": 12, "resourceLinkId": "link-1",
            "resourceId": "r9", "tag": "quiz", "gradesReleased": False,
            "endDateTime": "2027-03-08T12:00:00Z",
        }  # fmt: skip
    item = choosing.get("/api/lineitems?tag=quiz").json()["lineItems"][0]["id"]
    choosing.post(f"/api/lineitems/{quote(item, safe='')}/scores", json=SCORE)
    assert sandbox.scores("link-1")["ben"]["scoreGiven"] == 8
    assert sandbox.scores("quiz-1") == {}


def test_a_resource_links_own_service_key_and_launch_url(
    choosing: Caller, call: Caller, sandbox: Sandbox
) -> None:
    chosen(choosing, QUIZ)
    ltik = sandbox.issue(activity="link-1")
    expected = "http://tool.example/launch?resource=mitosis%2F1&resource=2&ltik="
    assert sandbox.launch_url(ltik) == expected + ltik
    services = call.with_ltik(ltik).get("/api/idtoken").json()["services"]
    nightly = call.with_service_key(services["serviceKey"])
    assert len(nightly.get("/api/lineitems").json()["lineItems"]) == 3


def test_a_resource_link_without_a_line_item_has_no_column(choosing: Caller, call: Caller) -> None:
    chosen(choosing, {"type": "ltiResourceLink", "url": QUIZ["url"]})
    services = call.launched(activity="link-1").get("/api/idtoken").json()["services"]
    assert "lineItemId" not in services["assignmentAndGrades"]
    assert len(call.launched().get("/api/lineitems").json()["lineItems"]) == 2


def test_a_rejected_choice_adds_nothing(choosing: Caller, sandbox: Sandbox) -> None:
    body = {"contentItems": [QUIZ], "options": {"errMessage": "Broken"}}
    made = choosing.post("/api/deeplinking", json=body).json()
    page = choosing.post("/lms/deep-linking/return", data={"JWT": made["message"]}).text
    assert "No content was added" in page
    assert "Broken" in page
    assert sandbox.content_items("biology") == []


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
        ([], ""),
        ({}, "contentItems"),
        ({"contentItems": {}}, "contentItems"),
        ({"contentItems": ["x"]}, "contentItems"),
        ({"contentItems": [{}]}, "contentItems"),
        ({"contentItems": [{"type": "link", "lineItem": {}}]}, "contentItems[0].lineItem"),
        ({"contentItems": [{"type": "link", "custom": "a=1"}]}, "contentItems[0].custom"),
        ({"contentItems": [{"type": "link", "submission": "x"}]}, "contentItems[0].submission"),
        ({"contentItems": [], "options": "x"}, "options"),
        ({"contentItems": [], "options": {"message": 1}}, "options"),
    ],
)
def test_a_body_that_cannot_be_is_a_400(choosing: Caller, body: object, field: str) -> None:
    details = refused(choosing.post("/api/deeplinking", json=body), 400, "VALIDATION_ERROR")
    assert [error["field"] for error in details["errors"]] == [field]
