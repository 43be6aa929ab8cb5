"""LTIAAS's official SDK against the sandbox: an independent client, over TLS, unchanged.

Where the SDK and LTIAAS's documentation differ, the sandbox follows the documentation.
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
    server.sandbox.api_log.clear()
    yield server.sandbox
    server.sandbox.clear_faults()


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
    sandbox.fault("status", status=502)
    with pytest.raises(APIError) as caught:
        tools.launched().get_id_token()
    assert caught.value.response is not None
    assert caught.value.response.status == 502


# Where the SDK goes its own way


def line_item(tools: Tools) -> tuple[ltiaas.LTIAASLaunch, str]:
    client = tools.launched()
    return client, client.get_line_items().line_items[0].id


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


def test_null_which_the_sdk_sends_for_what_was_left_out_is_absence(
    tools: Tools, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    escaped(monkeypatch)
    client, item = line_item(tools)
    client.submit_score(item, ltiaas.Score(user_id="chen", **SCORE))
    assert sandbox.api_log[-1].body["scoreGiven"] is None
    assert sandbox.scores("quiz-1")["chen"]["scoreGiven"] is None
    (result,) = [row for row in client.get_scores(item).scores if row.user_id == "chen"]
    assert result.result_score is None
