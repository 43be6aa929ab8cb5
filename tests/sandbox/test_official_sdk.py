"""LTIAAS's official SDK against the sandbox: an independent client, over TLS, unchanged.

Where the SDK and LTIAAS's documentation differ, the sandbox follows the documentation, and a test
here says so by name.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ltiaas
import pytest
import trustme
from ltiaas.exceptions.api_error import APIError
from ltiaas.exceptions.validation_error import ValidationError

from ltiaas_middleware.sandbox import Sandbox, SandboxServer


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SandboxServer, Path]]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusted = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with SandboxServer(Sandbox(), host="localhost", ssl_context=context) as server:
        yield server, trusted


@pytest.fixture
def sandbox(
    served: tuple[SandboxServer, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sandbox]:
    server, trusted = served
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    monkeypatch.setenv("NO_PROXY", "localhost")
    server.sandbox.journal.clear()
    yield server.sandbox
    server.sandbox.behave()


class Tools:
    """Makes SDK clients."""

    def __init__(self, sandbox: Sandbox, domain: str) -> None:
        self.sandbox = sandbox
        self.domain = domain

    def launched(self, **where: Any) -> ltiaas.LTIAASLaunch:
        ltik = self.sandbox.issue(**where)
        return ltiaas.LTIAASLaunch(self.domain, self.sandbox.api_key, ltik=ltik)

    def in_background(self, key: str) -> ltiaas.LTIAASLaunch:
        return ltiaas.LTIAASLaunch(self.domain, self.sandbox.api_key, service_key=key)


@pytest.fixture
def tools(sandbox: Sandbox, served: tuple[SandboxServer, Path]) -> Tools:
    return Tools(sandbox, urlsplit(served[0].url).netloc)


SCORE = {"activity_progress": "Completed", "grading_progress": "FullyGraded"}


def test_the_sdk_reads_an_id_token(tools: Tools) -> None:
    token = tools.launched().get_id_token()
    assert token.user.id == "ada"
    assert token.user.given_name == "Ada"
    assert token.lti_version is ltiaas.LTIVersion.LTI_1_3
    assert token.launch.type is ltiaas.LTILaunchType.CORE
    assert token.services.service_key
    assert token.platform.client_id


@pytest.mark.parametrize(
    "where",
    [
        {"user": "f3b1c9d2-77aa"},
        {"user": "mia"},
        {"deep_linking": True},
        {"course": "history"},
        {"course": "choir"},
        {"course": "chemistry"},
        {"course": "chemistry", "user": "1002"},
    ],
)
def test_the_sdk_reads_every_kind_of_launch(tools: Tools, where: dict[str, Any]) -> None:
    launched = tools.launched(**where)
    assert launched.get_id_token().user.id
    assert launched.get_raw_id_token().lti_version


def test_the_sdk_reads_a_raw_id_token(tools: Tools) -> None:
    raw = tools.launched().get_raw_id_token()
    assert isinstance(raw, ltiaas.RawIdToken)
    assert raw.sub == "ada"
    assert raw.context is not None
    assert raw.context["id"] == "biology"


def test_the_sdk_reads_a_legacy_oauth_payload(tools: Tools) -> None:
    raw = tools.launched(course="chemistry").get_raw_id_token()
    assert isinstance(raw, ltiaas.RawOauthPayload)
    assert raw.oauth_consumer_key == "heritage-consumer"


def test_the_sdk_reads_a_roster_with_a_launch_and_with_a_service_key(tools: Tools) -> None:
    launched = tools.launched()
    key = launched.get_id_token().services.service_key
    for client in (launched, tools.in_background(key)):
        roster = client.get_memberships(limit=5)
        assert len(roster.members) == 5
        assert roster.context.id == "biology"
        assert roster.next
    learners = launched.get_memberships(role="Learner", limit=100)
    assert len(learners.members) == 28


def test_the_sdk_reads_and_makes_line_items(tools: Tools) -> None:
    launched = tools.launched(course="history")
    made = launched.create_line_item(
        ltiaas.LineItem(label="Extra", score_maximum=7, tag="sdk", resource_link_id="essay")
    )
    assert made.score_maximum == 7
    found = launched.get_line_items(tag="sdk", resource_link_id="essay")
    assert [item.id for item in found.line_items] == [made.id]
    assert len(launched.get_line_items(limit=1).line_items) == 1


def test_the_sdk_builds_a_deep_linking_form_and_its_components(tools: Tools) -> None:
    launched = tools.launched(deep_linking=True)
    items = [
        ltiaas.LTIResourceLinkContentItem(title="Quiz", custom={"resource": 1}),
        ltiaas.HTMLFragmentContentItem(html="<p>Hello"),
    ]
    assert "<form" in launched.build_deep_linking_form(items, message="Done").form
    parts = launched.build_deep_linking_form_components(items, err_log="Oh")
    assert parts.message.count(".") == 2
    assert parts.target == f"https://{tools.domain}/lms/deep-linking/return"


def test_the_sdk_reads_an_error(tools: Tools, sandbox: Sandbox) -> None:
    ltik = sandbox.issue()
    sandbox.expire(ltik)
    expired = ltiaas.LTIAASLaunch(tools.domain, sandbox.api_key, ltik=ltik)
    with pytest.raises(APIError) as caught:
        expired.get_id_token()
    response = caught.value.response
    assert response is not None
    assert (response.status, response.error) == (401, "Unauthorized")
    assert response.details is not None
    assert "INVALID_LTIK_AUTH_AUTHORIZATION_HEADER" in str(response.details)


def test_the_sdk_survives_a_proxys_error_page(tools: Tools, sandbox: Sandbox) -> None:
    sandbox.misbehave("status", status=502)
    with pytest.raises(APIError) as caught:
        tools.launched().get_id_token()
    assert caught.value.response is not None
    assert caught.value.response.status == 502


# Where the SDK goes its own way


def test_deviation_the_sdk_doubles_the_slash_and_is_served_without_a_redirect(
    tools: Tools, sandbox: Sandbox
) -> None:
    sent: list[str] = []
    client = tools.launched()
    client._request_handler.session.hooks["response"].append(
        lambda response, **_: sent.append(response.request.path_url)
    )
    client.get_id_token()
    assert sent == ["//api/idtoken"]
    assert sandbox.journal.count("/api/idtoken") == 1


def line_item(tools: Tools) -> tuple[ltiaas.LTIAASLaunch, str]:
    client = tools.launched()
    return client, client.get_line_items().line_items[0].id


@pytest.mark.parametrize("what", ["read", "update", "delete", "scores", "submit"])
def test_deviation_the_sdk_leaves_slashes_in_a_line_items_id_and_gets_a_404(
    tools: Tools, sandbox: Sandbox, what: str
) -> None:
    client, item = line_item(tools)
    changed = ltiaas.LineItem(label="x", score_maximum=1)
    score = ltiaas.Score(user_id="ben", **SCORE)
    calls = {
        "read": lambda: client.get_line_item(item),
        "update": lambda: client.update_line_item(item, changed),
        "delete": lambda: client.delete_line_item(item),
        "scores": lambda: client.get_scores(item),
        "submit": lambda: client.submit_score(item, score),
    }
    with pytest.raises(APIError) as caught:
        calls[what]()
    assert caught.value.response is not None
    assert caught.value.response.status == 404
    assert "/api/lineitems/https%3A//moodle" in sandbox.journal[-1].path


def escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mends the SDK's quoting of line-item ids, to reach what lies behind it."""
    from urllib.parse import quote

    monkeypatch.setattr("ltiaas.client.launch.quote", lambda text: quote(text, safe=""))


def test_with_its_quoting_mended_the_sdk_reads_changes_and_deletes_a_line_item(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    escaped(monkeypatch)
    client = tools.launched()
    made = client.create_line_item(ltiaas.LineItem(label="Mine", score_maximum=3))
    assert client.get_line_item(made.id).label == "Mine"
    changed = client.update_line_item(made.id, ltiaas.LineItem(label="Ours", score_maximum=4))
    assert (changed.id, changed.label) == (made.id, "Ours")
    client.delete_line_item(made.id)
    with pytest.raises(APIError):
        client.get_line_item(made.id)


def test_with_its_quoting_mended_the_sdk_submits_and_reads_scores(
    tools: Tools, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    escaped(monkeypatch)
    client, item = line_item(tools)
    key = client.get_id_token().services.service_key
    nightly = tools.in_background(key)
    score = ltiaas.Score(user_id="ben", score_given=4, score_maximum=5, comment="ok", **SCORE)
    nightly.submit_score(item, score)
    assert sandbox.scores("quiz-1")["ben"]["scoreGiven"] == 4
    (result,) = [row for row in client.get_scores(item).scores if row.user_id == "ben"]
    assert (result.result_score, result.result_maximum, result.comment) == (8, 10, "ok")


def test_deviation_the_sdk_sends_null_for_what_was_left_out_and_null_is_absence(
    tools: Tools, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    escaped(monkeypatch)
    client, item = line_item(tools)
    client.submit_score(item, ltiaas.Score(user_id="chen", **SCORE))
    assert sandbox.journal[-1].body["scoreGiven"] is None
    assert sandbox.scores("quiz-1")["chen"]["scoreGiven"] is None
    (result,) = [row for row in client.get_scores(item).scores if row.user_id == "chen"]
    assert result.result_score is None


def test_deviation_the_sdk_encodes_a_page_url_twice_and_gets_a_400(tools: Tools) -> None:
    client = tools.launched()
    following = client.get_memberships(limit=5).next
    with pytest.raises(APIError) as caught:
        client.get_memberships(url=following)
    assert caught.value.response is not None
    assert caught.value.response.status == 400


def test_deviation_the_sdk_sends_user_id_for_user_id_and_so_filters_nothing(
    tools: Tools, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    escaped(monkeypatch)
    client, item = line_item(tools)
    for user in ("dora", "emil"):
        client.submit_score(item, ltiaas.Score(user_id=user, **SCORE))
    users = {row.user_id for row in client.get_scores(item, user_id="dora").scores}
    assert sandbox.journal[-1].query == "user_id=dora"
    assert {"dora", "emil"} <= users


@pytest.mark.parametrize("progress", list(ltiaas.ActivityProgress))
def test_every_activity_progress_of_the_sdk_is_taken(
    tools: Tools, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, progress: Any
) -> None:
    escaped(monkeypatch)
    client, item = line_item(tools)
    score = ltiaas.Score(user_id="ben", activity_progress=progress, grading_progress="NotReady")
    client.submit_score(item, score)
    assert sandbox.scores("quiz-1")["ben"]["activityProgress"] == progress.value


def test_deviation_the_sdk_demands_lti_version_and_outcomes_that_samples_leave_out(
    tools: Tools,
) -> None:
    with pytest.raises(ValidationError) as caught:
        tools.launched(course="drawing").get_id_token()
    assert set(caught.value.errors) == {"ltiVersion", "services__outcomes"}
