"""Every answer that ``wire.md`` documents: as it is documented, without what is optional, with
fields that are not known, with each field of the wrong type, and with one odd row among good ones.

What is good is never lost, and nothing that LTIAAS answered is called an outage.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

import pytest

from ltiaas_middleware import LineItem, NewLineItem, Score, UpstreamError
from ltiaas_middleware.api.registrations import AuthConfig, PlatformDetails, SupportedMessage
from tests.account import Caller

MEMBER = {
    "userId": "u1", "roles": ["Learner"], "status": "Inactive", "name": "Ada L", "givenName": "Ada",
    "familyName": "L", "middleName": "M", "email": "ada@school.example", "picture": "https://p",
    "lisPersonSourcedId": "sis:1", "lti11LegacyUserId": "old-1",
}  # fmt: skip
ITEM = {
    "id": "https://lms.example/items/1?type=7", "label": "Essay", "scoreMaximum": 20,
    "resourceLinkId": "r1", "resourceId": "own-1", "tag": "final",
    "startDateTime": "2026-03-01T12:00:00Z", "endDateTime": "2026-03-08T12:00:00Z",
    "gradesReleased": True,
}  # fmt: skip
RESULT = {
    "id": "https://lms.example/items/1/results/1", "userId": "u1",
    "scoreOf": "https://lms.example/items/1", "resultScore": 7, "resultMaximum": 10,
    "comment": "Good", "timestamp": "2026-03-01T12:00:00Z",
}  # fmt: skip
PLATFORM = {
    "id": "p1", "url": "https://lms.example", "clientId": "c1", "name": "School",
    "authenticationEndpoint": "https://lms.example/auth",
    "accesstokenEndpoint": "https://lms.example/token",
    "authConfig": {"method": "JWK_SET", "key": "https://lms.example/jwks"},
    "publicKey": "-----BEGIN PUBLIC KEY-----", "active": False,
}  # fmt: skip
REGISTRATION = {
    "url": "https://lms.example", "familyCode": "moodle", "version": "4.5",
    "supportedScopes": ["https://purl.imsglobal.org/spec/lti-ags/scope/score"],
    "supportedMessages": [
        {"type": "LtiResourceLinkRequest"},
        {"type": "LtiDeepLinkingRequest", "placements": ["editor_button"]},
    ],
}  # fmt: skip
COMPLETED = {"html": "<script>parent.postMessage(1)</script>", "platformId": "p1"}
TOKEN = {
    "ltiVersion": "1.3.0",
    "user": {"id": "u1", "roles": ["Learner"], "name": "Ada"},
    "platform": {"id": "p1", "url": "https://lms.example"},
    "launch": {"type": "LtiResourceLinkRequest", "resourceLink": {"id": "r1"}},
    "services": {"namesAndRoles": {"available": True}, "serviceKey": "sk"},
}
ITEM_ID = ITEM["id"]
ITEM_PATH = f"/api/lineitems/{quote(str(ITEM_ID), safe='')}"
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@dataclass
class Answer:
    """What LTIAAS answers one call with. ``needs`` are the fields that a row is nothing without."""

    name: str
    path: str
    document: dict[str, Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    needs: tuple[str, ...] = ()
    account: bool = False
    #: Reads the same again from the result, to compare.
    identity: Callable[[Any], Any] = lambda result: result

    def call(self, api: Caller, world: Any, document: Any) -> Any:
        world(self.path, document)
        credential = world.account if self.account else world.credential
        return api(self.name, *self.args, with_=credential, **self.kwargs)


LISTS = [
    Answer("members", "/api/memberships", MEMBER, key="members", needs=("userId",)),
    Answer("line_items", "/api/lineitems", ITEM, key="lineItems", needs=("id", "scoreMaximum")),
    Answer("scores", f"{ITEM_PATH}/scores", RESULT, (ITEM_ID,), key="scores", needs=("userId",)),
    Answer("platforms", "/api/platforms", PLATFORM, key="platforms", needs=("id",), account=True),
]
SINGLE = [
    Answer("line_item", ITEM_PATH, ITEM, (ITEM_ID,), needs=("scoreMaximum",)),
    Answer(
        "create_line_item", "/api/lineitems", ITEM, (NewLineItem(label="x", score_maximum=1),),
        needs=("id",),
    ),
    Answer(
        "update_line_item", ITEM_PATH, ITEM,
        (LineItem(id=str(ITEM_ID), label="x", score_maximum=1),),
    ),
    Answer("platform", "/api/platforms/p1", PLATFORM, ("p1",), account=True),
    Answer(
        "create_platform", "/api/platforms", PLATFORM, needs=("id",), account=True,
        args=(PlatformDetails(url="https://lms.example", client_id="c1"),),
    ),
    Answer(
        "update_platform", "/api/platforms/p1", PLATFORM, ("p1", PlatformDetails(name="x")),
        account=True,
    ),
    Answer("registration", "/api/registrations/r", REGISTRATION, ("r",), account=True),
    Answer(
        "complete_registration", "/api/registrations/r/complete", COMPLETED, ("r",), account=True
    ),
    Answer("id_token", "/api/idtoken", TOKEN),
    Answer(
        "deep_linking_form", "/api/deeplinking/form", {"form": "<form>"}, ([],), needs=("form",),
    ),
    Answer(
        "deep_linking_message", "/api/deeplinking", {"message": "a.b.c", "target": "https://lms"},
        ([],), needs=("message", "target"),
    ),
]  # fmt: skip
WRONG = [None, True, 7.5, "text", [], {}, [None], {"a": [1]}]

every_list = pytest.mark.parametrize("answer", LISTS, ids=lambda answer: answer.name)
every_single = pytest.mark.parametrize("answer", SINGLE, ids=lambda answer: answer.name)


def variations(answer: Answer) -> Iterator[dict[str, Any]]:
    """The document, with one thing about it odd."""
    yield answer.document
    yield {name: answer.document[name] for name in answer.needs}
    yield {**answer.document, "somethingNew": {"a": 1}}
    for name in answer.document.keys() - set(answer.needs):
        yield {key: value for key, value in answer.document.items() if key != name}
        for wrong in WRONG:
            yield {**answer.document, name: wrong}


@pytest.fixture
def api(account: Any) -> Caller:
    """Reading is the same for threads and for tasks: once is enough."""
    return Caller(account, asynchronous=False)


@every_list
def test_a_list_is_read_whatever_is_odd_about_a_row(
    api: Caller, world: Any, answer: Answer
) -> None:
    documents = list(variations(answer))
    read = answer.call(api, world, {answer.key: documents, "somethingNew": 1})
    assert len(read) == len(documents)


@every_list
def test_a_bare_array_is_a_list(api: Caller, world: Any, answer: Answer) -> None:
    assert len(answer.call(api, world, [answer.document])) == 1
    assert len(answer.call(api, world, [])) == 0


@every_list
def test_an_odd_row_is_skipped_and_nobody_elses(
    api: Caller, world: Any, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    good = answer.document
    odd = [None, 7, "text", [], {}, *({**good, need: []} for need in answer.needs)]
    for row in odd:
        caplog.clear()
        with caplog.at_level(logging.WARNING, "ltiaas_middleware"):
            read = answer.call(api, world, {answer.key: [good, row, good]})
        assert len(read) == 2
        (record,) = caplog.records
        assert "1 of 3" in record.getMessage()
        assert "ada@school.example" not in record.getMessage()


@every_list
def test_rows_of_which_none_can_be_read_are_no_empty_list(
    api: Caller, world: Any, answer: Answer
) -> None:
    with pytest.raises(UpstreamError, match="none of the"):
        answer.call(api, world, {answer.key: [{}, {}]})
    for document in (None, {}, {answer.key: None}, {answer.key: {}}, "text", 7):
        with pytest.raises(UpstreamError, match="has no"):
            answer.call(api, world, document)


def test_an_odd_row_alone_on_its_page_loses_no_other_page(world: Any) -> None:
    from ltiaas_middleware import ApiSession

    def page(url: str | None, rows: list[Any], following: str | None) -> None:
        path = "/api/memberships" + (f"?url={quote(url, safe='')}" if url else "")
        world(path, {"members": rows, "next": following})

    page(None, [{}], "https://lms.example/2")
    page("https://lms.example/2", [MEMBER], "https://lms.example/3")
    page("https://lms.example/3", [{"roles": []}, {}], None)
    with ApiSession(world.credential) as session:
        assert [member.user_id for member in session.members()] == ["u1"]
        assert session.skipped == 3


@every_single
def test_an_answer_is_read_whatever_is_odd_about_it(
    api: Caller, world: Any, answer: Answer
) -> None:
    for document in variations(answer):
        if answer.name == "id_token" and not document:
            continue
        answer.call(api, world, document)


@every_single
def test_an_answer_without_what_it_is_for_is_an_upstream_error(
    api: Caller, world: Any, answer: Answer
) -> None:
    for need in answer.needs:
        for wrong in (None, [], {}):
            with pytest.raises(UpstreamError) as caught:
                answer.call(api, world, {**answer.document, need: wrong})
            assert caught.value.status == 200


@pytest.mark.parametrize("name", ["custom", "somethingNew"])
@pytest.mark.parametrize("shape", ["objects", "arrays"])
def test_what_is_too_deep_for_a_view_is_refused_before(
    api: Caller, world: Any, name: str, shape: str
) -> None:
    def nested(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = {"a": value} if shape == "objects" else [value]
        return value

    for levels in (70, 900):
        world("/api/idtoken", {**TOKEN, name: nested(levels)})
        with pytest.raises(UpstreamError, match="too deep"):
            api("id_token", with_=world.credential)
    world("/api/idtoken", {**TOKEN, name: nested(50), "many": [{}] * 500})
    assert api("id_token", with_=world.credential).raw[name]


# What was sent fills in what does not come back


@pytest.mark.parametrize("answer", [{"id": ITEM_ID}, {**ITEM, "label": None, "scoreMaximum": "?"}])
def test_a_created_line_item_may_come_back_with_its_id_alone(
    api: Caller, world: Any, answer: dict[str, Any]
) -> None:
    world("/api/lineitems", answer, status=201)
    new = NewLineItem(
        label="Essay", score_maximum=20, resource_link_id="r1", resource_id="own-1", tag="final",
        start_date_time=NOON, grades_released=True, extra={"https://lms.example/x": 1},
    )  # fmt: skip
    made = api("create_line_item", new, with_=world.credential)
    assert (made.id, made.label, made.score_maximum) == (ITEM_ID, "Essay", 20)
    assert (made.resource_link_id, made.resource_id, made.tag) == ("r1", "own-1", "final")
    assert (made.start_date_time, made.grades_released) == (NOON, True)
    assert made.extra["https://lms.example/x"] == 1
    changed = replace(made, label="Long essay")
    for status, document in ((204, None), (200, {}), (201, {"id": ITEM_ID})):
        world(ITEM_PATH, document, status=status)
        assert api("update_line_item", changed, with_=world.credential) == changed


def test_a_created_platform_may_come_back_with_its_id_alone(api: Caller, world: Any) -> None:
    world("/api/platforms", {"id": "p9"}, status=201)
    config = AuthConfig("JWK_SET", "https://lms.example/jwks")
    details = PlatformDetails(
        url="https://lms.example", client_id="c1", name="School",
        authentication_endpoint="https://lms.example/auth",
        accesstoken_endpoint="https://lms.example/token", auth_config=config, active=True,
    )  # fmt: skip
    made = api("create_platform", details, with_=world.account)
    assert world.asked[-1][2] == {
        name: value for name, value in PLATFORM.items() if name not in ("id", "publicKey", "active")
    } | {"active": True}
    assert (made.id, made.name, made.auth_config, made.active) == ("p9", "School", config, True)
    assert made.accesstoken_endpoint == "https://lms.example/token"


# All that is documented is read


def test_all_of_a_platform_is_read_and_asked_for(api: Caller, world: Any) -> None:
    world("/api/platforms", {"platforms": [PLATFORM]})
    asked = {"id": "p1", "url": "https://lms.example", "client_id": "c1"}
    (platform,) = api("platforms", with_=world.account, **asked)
    assert world.asked[-1][1] == "/api/platforms?id=p1&url=https%3A%2F%2Flms.example&clientId=c1"
    assert (platform.id, platform.url, platform.client_id, platform.name) == (
        "p1", "https://lms.example", "c1", "School",
    )  # fmt: skip
    assert platform.authentication_endpoint == "https://lms.example/auth"
    assert platform.accesstoken_endpoint == "https://lms.example/token"
    assert platform.auth_config == AuthConfig("JWK_SET", "https://lms.example/jwks")
    assert (platform.public_key, platform.active) == ("-----BEGIN PUBLIC KEY-----", False)


def test_all_of_a_registration_is_read_and_said(api: Caller, world: Any) -> None:
    world("/api/registrations/r%2F1", REGISTRATION)
    registration = api("registration", "r/1", with_=world.account)
    assert (registration.url, registration.family_code, registration.version) == (
        "https://lms.example", "moodle", "4.5",
    )  # fmt: skip
    assert registration.supported_scopes == tuple(REGISTRATION["supportedScopes"])
    assert registration.supported_messages == (
        SupportedMessage("LtiResourceLinkRequest"),
        SupportedMessage("LtiDeepLinkingRequest", ("editor_button",)),
    )
    world("/api/registrations/r%2F1/complete", COMPLETED)
    done = api(
        "complete_registration", "r/1", platform_name="School", auto_activate=False,
        messages=registration.supported_messages, extra={"x": 1}, with_=world.account,
    )  # fmt: skip
    assert (done.html, done.platform_id) == (COMPLETED["html"], "p1")
    assert done.html not in repr(done)
    assert world.asked[-1][2] == {
        "platformName": "School", "autoActivate": False, "x": 1,
        # No placements, rather than none at all.
        "messages": REGISTRATION["supportedMessages"],
    }  # fmt: skip
    api("complete_registration", "r/1", messages=[], with_=world.account)
    assert world.asked[-1][2] == {}


def test_all_of_a_result_is_read(api: Caller, world: Any) -> None:
    world(f"{ITEM_PATH}/scores", {"scores": [RESULT]})
    (result,) = api("scores", ITEM_ID, with_=world.credential)
    assert (result.id, result.user_id, result.line_item_id) == (
        RESULT["id"], "u1", RESULT["scoreOf"],
    )  # fmt: skip
    assert (result.score, result.maximum, result.comment) == (7, 10, "Good")
    assert result.timestamp == NOON


@pytest.mark.parametrize(
    ("said", "status"),
    [({}, "Active"), ({"status": None}, "Active"), ({"status": "Deleted"}, "Deleted"),
     ({"status": "Inactive"}, "Inactive"), ({"status": []}, "Active")],
)  # fmt: skip
def test_a_member_is_active_unless_the_lms_says_otherwise(
    api: Caller, world: Any, said: dict[str, Any], status: str
) -> None:
    world("/api/memberships", {"members": [{"userId": "u1", **said}]})
    (member,) = api("members", with_=world.credential)
    assert member.status == status


def test_names_with_underscores_are_read_too(api: Caller, world: Any) -> None:
    older = {"user_id": 7, "given_name": "Ada", "family_name": "L"}
    world("/api/memberships", {"members": [older]})
    (member,) = api("members", with_=world.credential)
    assert (member.user_id, member.given_name, member.family_name) == ("7", "Ada", "L")
    world(
        "/api/idtoken",
        {"user": {"id": 1, **older}, "launch": {"resource": {"id": "r1", "title": "Quiz"}}},
    )
    token = api("id_token", with_=world.credential)
    assert (token.user.given_name, token.user.family_name) == ("Ada", "L")
    assert token.launch.resource_link.id == "r1"
    assert token.launch.resource_link.title == "Quiz"


@pytest.mark.parametrize("progress", ["Initialized", "Initiated", "Started", "Completed"])
def test_both_words_for_a_beginning_are_sent_as_they_are(progress: Any) -> None:
    assert Score(user_id="u1", activity_progress=progress).body()["activityProgress"] == progress


# Deep linking

SETTINGS = "https://purl.imsglobal.org/spec/lti-dl/claim/deep_linking_settings"


@pytest.mark.parametrize(
    ("said", "many"),
    [(True, True), ("true", True), ("False", False), (False, False), (None, None), ("x", None)],
)
def test_the_lmss_own_claims_say_what_it_takes(
    api: Caller, world: Any, said: Any, many: bool | None
) -> None:
    world("/api/idtoken?raw=true", {
        SETTINGS: {"accept_types": ["link", "html"], "accept_multiple": said, "title": "T",
                   "accept_media_types": "image/*,text/html", "text": 7,
                   "accept_presentation_document_targets": ["iframe"]},
    })  # fmt: skip
    settings = api("deep_linking_settings", with_=world.credential)
    assert settings.available
    assert (settings.accept_types, settings.accept_multiple) == (("link", "html"), many)
    assert settings.accept_media_types == ("image/*", "text/html")
    assert settings.accept_presentation_document_targets == ("iframe",)
    assert (settings.title, settings.text) == ("T", "7")
    assert len(world.asked) == 1


@pytest.mark.parametrize("raw", [None, {}, {SETTINGS: []}, [], {"iss": "x"}])
def test_or_the_id_token_says_what_it_takes(api: Caller, world: Any, raw: Any) -> None:
    world("/api/idtoken?raw=true", raw)
    world("/api/idtoken", {
        "user": {"id": 1},
        "services": {"deepLinking": {
            "available": True, "acceptTypes": ["link"], "acceptMultiple": "true",
            "acceptMediaTypes": ["image/*"], "acceptPresentationDocumentTargets": ["window"],
        }},
    })  # fmt: skip
    settings = api("deep_linking_settings", with_=world.credential)
    assert (settings.available, settings.accept_types) == (True, ("link",))
    assert settings.accept_multiple is True
    assert settings.accept_media_types == ("image/*",)
    assert settings.accept_presentation_document_targets == ("window",)


def test_a_launch_that_is_none_of_deep_linking_offers_none(api: Caller, world: Any) -> None:
    world("/api/idtoken", TOKEN)
    assert not api("deep_linking_settings", with_=world.credential).available


def test_an_older_lms_says_what_it_takes_in_its_form_fields(api: Caller, world: Any) -> None:
    world("/api/idtoken?raw=true", {
        "lti_message_type": "ContentItemSelectionRequest", "accept_multiple": "false",
        "accept_media_types": "image/*",
    })  # fmt: skip
    settings = api("deep_linking_settings", with_=world.credential)
    assert (settings.available, settings.accept_multiple) == (True, False)


@pytest.mark.parametrize("name", ["deep_linking_form", "deep_linking_message"])
def test_further_keys_go_along_beside_the_items(api: Caller, world: Any, name: str) -> None:
    from ltiaas_middleware import InvalidRequest

    world("/api/deeplinking/form", {"form": "<form>"})
    world("/api/deeplinking", {"message": "a.b.c", "target": "https://lms.example"})
    module = {"https://canvas.instructure.com/lti/module_name": "Week 1"}
    api(name, [], extra=module, with_=world.credential)
    assert world.asked[-1][2] == {"contentItems": [], "options": {}, **module}
    for taken in ("contentItems", "options"):
        with pytest.raises(InvalidRequest, match="extra cannot contain"):
            api(name, [], extra={taken: []}, with_=world.credential)


@pytest.mark.parametrize("name", ["deep_linking_form", "deep_linking_message"])
def test_a_launch_leads_to_ltiaas_and_nowhere_else(api: Caller, world: Any, name: str) -> None:
    from ltiaas_middleware import InvalidRequest
    from ltiaas_middleware.api.content_items import ContentItem

    world("/api/deeplinking/form", {"form": "<form>"})
    world("/api/deeplinking", {"message": "a.b.c", "target": "https://lms.example"})
    for url in (
        "https://tool.example/launch", "/launch", "", 7, f"{world.url}@tool.example/lti/launch",
        world.url.replace("http:", "https:") + "/lti/launch",
    ):  # fmt: skip
        for item in (
            ContentItem(url=url),  # type: ignore[arg-type]
            {"type": "ltiResourceLink", "url": url},
        ):
            with pytest.raises(InvalidRequest, match=r"an LTIAAS URL"):
                api(name, [item], with_=world.credential)
    assert world.asked == []
    good = f"{world.url}/lti/launch?resource=1"
    elsewhere = ContentItem(type="link", url="https://tool.example/")
    api(name, [ContentItem(url=good), ContentItem(), elsewhere], with_=world.credential)
    assert world.asked[-1][2]["contentItems"][0]["url"] == good
