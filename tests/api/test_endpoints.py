"""Every endpoint of ``wire.md``'s table: through the library, and through LTIAAS's official SDK
where it has the call. What the sandbox received from both is compared field by field."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
import trustme
from ltiaas.client.launch import LTIAASLaunch
from ltiaas.exceptions.api_error import APIError
from ltiaas.resources.deep_linking.types import HTMLFragmentContentItem
from ltiaas.resources.lineitems.types import LineItem as SdkLineItem
from ltiaas.resources.scores.enums import ActivityProgress, GradingProgress
from ltiaas.resources.scores.types import Score as SdkScore

from ltiaas_middleware import CredentialScopeError, LineItem, NewLineItem, Score
from ltiaas_middleware.api.content_items import ContentItem
from ltiaas_middleware.api.registrations import AuthConfig, PlatformDetails
from ltiaas_middleware.credentials import Credential
from ltiaas_middleware.sandbox import ApiLogEntry, Sandbox, SandboxServer
from tests.account import Account, Caller

LEARNER = "http://purl.imsglobal.org/vocab/lis/v2/membership#Learner"
PENDING = "5d0f6a1e7c9b4b0e"
PLATFORM = "8f1d0c5ae2b94c7f9d36c1a4e0b7f215"
FIELDS = ("method", "path", "query", "scheme", "well_formed", "body", "status")
COLUMN = (
    "https://moodle.northfield.example/lti/services/courses/biology/lineitems/1/lineitem?type_id=7"
)
SEGMENT = quote(COLUMN, safe="")
NEXT = "https://moodle.northfield.example/lti/services/courses/biology"


@dataclass
class Case:
    """One call. ``sdk`` makes the same call; ``differs`` maps a field to (library's, SDK's)."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    taken_by: str = "launch, service key"
    sdk: Callable[[LTIAASLaunch], Any] | None = None
    differs: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    seat: dict[str, Any] = field(default_factory=dict)
    sdk_fails: bool = False
    page: int = 0


class Success:
    """Any 2xx, as wire.md says to take it."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and 200 <= other < 300

    __hash__ = None  # type: ignore[assignment]


SUCCESS = Success()
NULLS = {"startDateTime": None, "endDateTime": None, "gradesReleased": None, "resourceId": None}
ITEM = NewLineItem(label="Essay", score_maximum=20, resource_link_id="quiz-1", tag="final")
SDK_ITEM = SdkLineItem(label="Essay", score_maximum=20, resource_link_id="quiz-1", tag="final")
WIRE_ITEM = {"label": "Essay", "scoreMaximum": 20, "resourceLinkId": "quiz-1", "tag": "final"}
ICON = {"url": "https://tool.example/icon.png", "width": 50, "height": 50}
HTML = {"type": "html", "html": "<p>Hi", "title": "Greeting"}
UNDIVIDED = f"/api/lineitems/{quote(COLUMN)}"

NEW_PLATFORM = PlatformDetails(
    url="https://new.example",
    name="New",
    client_id="c",
    authentication_endpoint="https://new.example/auth",
    accesstoken_endpoint="https://new.example/token",
    auth_config=AuthConfig("JWK_SET", "https://new.example/jwks"),
)

SAME = [
    ("id_token", Case("id_token", taken_by="launch", sdk=lambda sdk: sdk.get_id_token())),
    (
        "members, with no options",
        Case("members", sdk=lambda sdk: sdk.get_memberships()),
    ),
    (
        "members, by a bare role and with a page size",
        Case(
            "members",
            kwargs={"role": "Instructor", "limit": 5},
            sdk=lambda sdk: sdk.get_memberships(role="Instructor", limit=5),
        ),
    ),
    (
        "line_items, by tag, activity and resource",
        Case(
            "line_items",
            kwargs={
                "tag": "graded",
                "resource_id": "resource-quiz-1",
                "resource_link_id": "quiz-1",
                "limit": 3,
            },
            sdk=lambda sdk: sdk.get_line_items(
                tag="graded", resource_id="resource-quiz-1", resource_link_id="quiz-1", limit=3
            ),
        ),
    ),
]

DIFFERENT = [
    (
        "raw_id_token, where the SDK spells true as Python does",
        Case(
            "raw_id_token",
            taken_by="launch",
            sdk=lambda sdk: sdk.get_raw_id_token(),
            differs={"query": ("raw=true", "raw=True")},
        ),
    ),
    (
        "members by a full role, where the SDK encodes it twice and finds nobody",
        Case(
            "members",
            kwargs={"role": LEARNER},
            sdk=lambda sdk: sdk.get_memberships(role=LEARNER),
            differs={
                "query": (
                    f"role={quote(LEARNER, safe='')}",
                    f"role={quote(quote(LEARNER), safe='')}",
                )
            },
        ),
    ),
    (
        "members, second page, where the SDK encodes the page's address twice and gets a 400",
        Case(
            "members",
            kwargs={"limit": 20},
            page=1,
            sdk=lambda sdk: sdk.get_memberships(url=f"{NEXT}/memberships?limit=20&after=20"),
            differs={
                "query": (
                    f"url={quote(f'{NEXT}/memberships?limit=20&after=20', safe='')}",
                    f"url={quote(quote(f'{NEXT}/memberships?limit=20&after=20'), safe='')}",
                ),
                "status": (200, 400),
            },
            sdk_fails=True,
        ),
    ),
    (
        "members of one activity, which the SDK cannot ask for",
        Case("members", kwargs={"resource_link_id": "quiz-1"}),
    ),
    (
        "create_line_item, where the SDK sends null for what was left out",
        Case(
            "create_line_item",
            (ITEM,),
            sdk=lambda sdk: sdk.create_line_item(SDK_ITEM),
            differs={"body": (WIRE_ITEM, WIRE_ITEM | NULLS)},
        ),
    ),
    (
        "line_item, where the SDK leaves the slashes of the id bare and gets a 404",
        Case(
            "line_item",
            (COLUMN,),
            sdk=lambda sdk: sdk.get_line_item(COLUMN),
            differs={"path": (f"/api/lineitems/{SEGMENT}", UNDIVIDED), "status": (200, 404)},
            sdk_fails=True,
        ),
    ),
    (
        "update_line_item, where the SDK leaves the slashes bare and sends nulls",
        Case(
            "update_line_item",
            (
                LineItem(
                    id=COLUMN,
                    **{
                        k: getattr(ITEM, k)
                        for k in ("label", "score_maximum", "resource_link_id", "tag")
                    },
                ),
            ),
            sdk=lambda sdk: sdk.update_line_item(COLUMN, SDK_ITEM),
            differs={
                "path": (f"/api/lineitems/{SEGMENT}", UNDIVIDED),
                "body": (WIRE_ITEM, WIRE_ITEM | NULLS),
                "status": (SUCCESS, 404),
            },
            sdk_fails=True,
        ),
    ),
    (
        "delete_line_item, where the SDK leaves the slashes of the id bare and gets a 404",
        Case(
            "delete_line_item",
            (COLUMN,),
            sdk=lambda sdk: sdk.delete_line_item(COLUMN),
            differs={"path": (f"/api/lineitems/{SEGMENT}", UNDIVIDED), "status": (204, 404)},
            sdk_fails=True,
        ),
    ),
    (
        "submit_score, where the SDK leaves the slashes bare and sends null and a float",
        Case(
            "submit_score",
            (COLUMN, Score(user_id="ben", score_given=7, score_maximum=10)),
            sdk=lambda sdk: sdk.submit_score(
                COLUMN,
                SdkScore(
                    user_id="ben",
                    activity_progress=ActivityProgress.COMPLETED,
                    grading_progress=GradingProgress.FULLY_GRADED,
                    score_given=7,
                    score_maximum=10,
                ),
            ),
            differs={
                "path": (f"/api/lineitems/{SEGMENT}/scores", f"{UNDIVIDED}/scores"),
                "body": (
                    score := {
                        "userId": "ben",
                        "activityProgress": "Completed",
                        "gradingProgress": "FullyGraded",
                        "scoreGiven": 7,
                        "scoreMaximum": 10,
                    },
                    {**score, "comment": None},
                ),
                "status": (204, 404),
            },
            sdk_fails=True,
        ),
    ),
    (
        "scores of one user, where the SDK misspells userId and leaves the slashes bare",
        Case(
            "scores",
            (COLUMN,),
            {"user_id": "ben", "limit": 2},
            sdk=lambda sdk: sdk.get_scores(COLUMN, user_id="ben", limit=2),
            differs={
                "path": (f"/api/lineitems/{SEGMENT}/scores", f"{UNDIVIDED}/scores"),
                "query": ("userId=ben&limit=2", "user_id=ben&limit=2"),
                "status": (200, 404),
            },
            sdk_fails=True,
        ),
    ),
    *(
        (
            f"{name} of HTML, where the SDK sends null for what was left out",
            Case(
                name,
                ([ContentItem(type="html", html="<p>Hi", title="Greeting")],),
                {"message": "Added."},
                taken_by="launch",
                seat={"deep_linking": True},
                sdk=lambda sdk, call=call: getattr(sdk, call)(  # type: ignore[misc]
                    [HTMLFragmentContentItem(html="<p>Hi", title="Greeting")], message="Added."
                ),
                differs={
                    "body": (
                        {"contentItems": [HTML], "options": {"message": "Added."}},
                        {
                            "contentItems": [HTML | {"text": None}],
                            "options": {
                                "message": "Added.",
                                "log": None,
                                "errMessage": None,
                                "errLog": None,
                            },
                        },
                    )
                },
            ),
        )
        for name, call in (
            ("deep_linking_form", "build_deep_linking_form"),
            ("deep_linking_message", "build_deep_linking_form_components"),
        )
    ),
    (
        "deep_linking_form of a link, which the SDK cannot send: its URL is no JSON",
        Case(
            "deep_linking_form",
            ([ContentItem(title="Quiz", extra={"icon": ICON})],),
            taken_by="launch",
            seat={"deep_linking": True},
        ),
    ),
    *(
        (f"{case.name}, which the SDK does not have", case)
        for case in (
            Case("registration", (PENDING,), taken_by="account"),
            Case("raw_registration", (PENDING,), taken_by="account"),
            Case("complete_registration", (PENDING,), {"auto_activate": True}, taken_by="account"),
            Case("platforms", taken_by="account"),
            Case("platform", (PLATFORM,), taken_by="account"),
            Case(
                "create_platform",
                (NEW_PLATFORM,),
                taken_by="account",
            ),
            Case(
                "update_platform", (PLATFORM, PlatformDetails(name="Renamed")), taken_by="account"
            ),
            Case("delete_platform", (PLATFORM,), taken_by="account"),
            Case("activate_platform", (PLATFORM,), taken_by="account"),
            Case("deactivate_platform", (PLATFORM,), taken_by="account"),
        )
    ),
]

CASES = [case for _, case in (*SAME, *DIFFERENT)]


#: wire.md's table, and the two calls with ``?raw=true``.
METHODS = {
    "id_token": ("GET", "/api/idtoken"),
    "deep_linking_form": ("POST", "/api/deeplinking/form"),
    "deep_linking_message": ("POST", "/api/deeplinking"),
    "members": ("GET", "/api/memberships"),
    "line_items": ("GET", "/api/lineitems"),
    "create_line_item": ("POST", "/api/lineitems"),
    "line_item": ("GET", f"/api/lineitems/{SEGMENT}"),
    "update_line_item": ("PUT", f"/api/lineitems/{SEGMENT}"),
    "delete_line_item": ("DELETE", f"/api/lineitems/{SEGMENT}"),
    "scores": ("GET", f"/api/lineitems/{SEGMENT}/scores"),
    "submit_score": ("POST", f"/api/lineitems/{SEGMENT}/scores"),
    "registration": ("GET", f"/api/registrations/{PENDING}"),
    "complete_registration": ("POST", f"/api/registrations/{PENDING}/complete"),
    "platforms": ("GET", "/api/platforms"),
    "create_platform": ("POST", "/api/platforms"),
    "platform": ("GET", f"/api/platforms/{PLATFORM}"),
    "update_platform": ("PUT", f"/api/platforms/{PLATFORM}"),
    "delete_platform": ("DELETE", f"/api/platforms/{PLATFORM}"),
    "activate_platform": ("POST", f"/api/platforms/{PLATFORM}/activate"),
    "deactivate_platform": ("POST", f"/api/platforms/{PLATFORM}/deactivate"),
    "raw_id_token": ("GET", "/api/idtoken"),
    "raw_registration": ("GET", f"/api/registrations/{PENDING}"),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """The SDK speaks https only."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    bundle = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    return context, str(bundle)


@pytest.fixture
def tls_account(
    authority: tuple[ssl.SSLContext, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Account]:
    context, bundle = authority
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    monkeypatch.setenv("SSL_CERT_FILE", bundle)
    sandbox = Sandbox()
    with SandboxServer(sandbox, ssl_context=context) as server:
        yield Account(sandbox, server.url)


def credential_of(account: Account, kind: str, **seat: Any) -> Credential:
    if kind == "account":
        return account.api_key()
    if kind == "service key":
        return account.service_key(**seat)
    return account.launch(**seat)


def asked(account: Account) -> list[ApiLogEntry]:
    entries = list(account.sandbox.api_log)
    account.sandbox.api_log.clear()
    return entries


@pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "tasks"])
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=f"the same of both: {name}") for name, case in SAME]
    + [pytest.param(case, id=name) for name, case in DIFFERENT],
)
def test_the_request_received(tls_account: Account, case: Case, asynchronous: bool) -> None:
    account = tls_account
    kind = "account" if case.taken_by == "account" else "launch"
    credential = credential_of(account, kind, **case.seat)
    Caller(account, asynchronous=asynchronous)(
        case.name, *case.args, with_=credential, **case.kwargs
    )
    entries = asked(account)
    mine = entries[case.page]
    assert mine.well_formed
    assert 200 <= (mine.status or 0) < 300
    assert (mine.method, mine.path) == METHODS[case.name]
    if case.sdk is None:
        return
    account.sandbox.gradebook.__init__(account.sandbox.world)  # type: ignore[misc]
    token = credential.authorization.rpartition(":")[2]
    sdk = LTIAASLaunch(account.url.removeprefix("https://"), account.key, ltik=token)
    try:
        case.sdk(sdk)
    except APIError:
        assert case.sdk_fails
    else:
        assert not case.sdk_fails
    finally:
        sdk._request_handler.session.close()
    theirs = asked(account)[0]
    received = {name: (getattr(mine, name), getattr(theirs, name)) for name in FIELDS}
    differences = {name: pair for name, pair in received.items() if pair[0] != pair[1]}
    assert differences == case.differs


def test_every_row_of_the_table_has_a_case() -> None:
    assert {case.name for case in CASES} == METHODS.keys()


@pytest.mark.parametrize("kind", ["launch", "service key", "account"])
@pytest.mark.parametrize("case", {case.name: case for case in CASES}.values(), ids=lambda c: c.name)
def test_a_credential_that_an_endpoint_does_not_take_is_refused_before_anything_is_sent(
    api: Caller, case: Case, kind: str
) -> None:
    seat = case.seat if kind == "launch" else {}
    credential = credential_of(api.account, kind, **seat)
    if kind in case.taken_by:
        api(case.name, *case.args, with_=credential, **case.kwargs)
        assert asked(api.account)[0].scheme == credential.scheme
        return
    with pytest.raises(CredentialScopeError, match="accepts the credential of"):
        api(case.name, *case.args, with_=credential, **case.kwargs)
    assert asked(api.account) == []


def test_the_platforms_page_of_older_documentation_wants_the_same_credential(
    account: Account,
) -> None:
    caller = Caller(account, asynchronous=False)
    assert caller("request", "GET", "/admin/platforms", with_=account.api_key())["platforms"]
    with pytest.raises(CredentialScopeError):
        caller("request", "GET", "/admin/platforms")
