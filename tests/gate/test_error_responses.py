"""What the middleware's own error responses say, to whom, in which language."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest

from ltiaas_middleware import ErrorRequest, Response
from ltiaas_middleware.errors import UpstreamError
from tests.tokens import ltik

UNKNOWN = "/lti/AAAAAAAAAAAAAAAAAAAAAA/page"
TEXTS = json.loads(files("ltiaas_middleware._gate").joinpath("error_texts.json").read_text("utf-8"))


def shape(texts):
    return {key: len(value) if isinstance(value, list) else 0 for key, value in texts.items()}


@pytest.mark.parametrize("language", TEXTS)
def test_every_language_has_every_text(language):
    texts = TEXTS[language]
    assert shape(texts) == shape(TEXTS["en"])
    for text in texts.values():
        for words in text if isinstance(text, list) else [text]:
            assert words.strip() == words != ""


@pytest.mark.parametrize(
    ("accepted", "language", "words"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de", "Bitte öffnen Sie"),
        ("fr", "fr", "depuis votre cours"),
        ("sv, es-MX;q=0.5", "es", "desde su curso"),
        ("pt-BR", "pt", "a partir do seu curso"),
        ("nl;q=0.9, en;q=0.1", "nl", "vanuit uw cursus"),
        ("sv", "en", "Open this from your course"),
        ("*;q=0, ;;=", "en", "Open this from your course"),
        ("", "en", "Open this from your course"),
    ],
)
def test_they_speak_the_browsers_language(tool, accepted, language, words):
    for ask in (tool.navigate, tool.get):
        reply = ask(UNKNOWN, {"Accept-Language": accepted})
        text = reply.body.decode()
        shown = json.loads(text)["title"] if ask == tool.get else text
        assert words in shown
        assert reply["Content-Language"] == language
        assert "Accept-Language" in reply["Vary"]
    assert (
        f'<html lang="{language}">'
        in tool.navigate(UNKNOWN, {"Accept-Language": accepted}).body.decode()
    )


def test_each_names_its_code_in_a_header_also_after_on_error(make_tool):
    given = (("ltiaas-error", "mine"), ("X-Mine", "1"))
    for on_error in (None, lambda info, request: Response(418, given)):
        tool = make_tool(on_error=on_error)
        for path, code in (
            (UNKNOWN, "launch_unknown"),
            ("/?ltik=x", "malformed_ltik"),
            ("/requires", "launch_required"),
        ):
            reply = tool.get(path)
            assert reply.all("LTIAAS-Error") == [code]
            assert reply.status == (418 if on_error else reply.status)


def test_on_error_sees_the_request_without_its_secrets(make_tool):
    seen = []
    tool = make_tool(
        on_error=lambda info, request: seen.append((info, request)), ltik_headers=["X-Ltik"]
    )
    token, other = ltik(), ltik()
    headers = {
        "Accept-Language": "de",
        "Cookie": "session=s3cret",
        "Authorization": "Bearer s3cret",
        "X-Ltik": other,
        "Referer": f"https://tool.example/launch?ltik={token}",
        "X-Mine": "1",
    }
    tool.ask("POST", f"/gr%C3%BCn?a=1&ltik={token}", headers, mount="/tool")
    ((info, request),) = seen
    assert (info.code, info.language) == ("malformed_ltik", "de")
    assert isinstance(request, ErrorRequest)
    assert (request.method, request.path) == ("POST", "/grün")
    assert request.query == "a=1&ltik=[hidden]"
    assert request.headers == {
        "host": "tool.example",
        "accept-language": "de",
        "referer": "https://tool.example/launch?ltik=[hidden]",
        "x-mine": "1",
    }
    assert not any(one in repr(request) for one in ("s3cret", token, other))
    with pytest.raises(TypeError):
        request.headers["x-mine"] = "2"


def test_on_error_sees_the_apps_path_when_the_app_asked_for_a_launch(make_tool):
    seen = []
    tool = make_tool(on_error=lambda info, request: seen.append(request))
    tool.get("/requires?a=1", mount="/tool")
    assert (seen[0].path, seen[0].query) == ("/requires", "a=1")


class TestWhatSupportNeeds:
    def test_is_the_code_the_time_and_the_launch(self, tool):
        page = tool.navigate(UNKNOWN).body.decode()
        assert re.search(
            r"Error code: launch_unknown · \d{4}-\d\d-\d\d \d\d:\d\d UTC · launch A{22}<", page
        )

    def test_a_launch_that_is_not_verified_has_its_id_too(self, tool, upstream):
        upstream.error = UpstreamError("no connection")
        token = ltik()
        page = tool.get(f"/x?ltik={token}", {"Accept": "text/html"})
        tool.later(200)
        page = tool.ask("POST", f"/x?ltik={token}", {"Accept": "text/html"}).body.decode()
        assert f"launch {tool.middleware._gate._ids.of(token)}<" in page

    def test_is_how_the_tool_is_called_and_where_its_support_is(self, make_tool):
        named = make_tool(tool_name="Words & <b>", support_url="https://help.example/?a=1&b=2")
        page = named.navigate(UNKNOWN).body.decode()
        assert "Words &amp; &lt;b&gt;" in page
        assert '<a href="https://help.example/?a=1&amp;b=2"' in page
        assert ">Contact support</a>" in page
        plain = make_tool().navigate(UNKNOWN).body.decode()
        assert "Contact support" not in plain
        assert 'class="tool"' not in plain


OWN_FORM = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}


class TestARefusedForm:
    def test_says_that_nothing_was_saved_and_how_to_send_it_again(self, tool, upstream):
        for method, is_said in (("POST", True), ("GET", False)):
            page = tool.ask(method, UNKNOWN, OWN_FORM).body.decode()
            assert ("What you sent was not saved. Go back one page and copy" in page) is is_said
        upstream.error = UpstreamError("no connection")
        page = tool.ask("POST", f"/x?ltik={ltik()}", OWN_FORM).body.decode()
        assert "was not saved. Reload this page to send it again." in page
        # A link would send nothing.
        assert "href" not in page

    def test_a_program_is_told_as_well(self, tool):
        reply = tool.ask("POST", UNKNOWN, {"Sec-Fetch-Site": "same-origin"})
        assert "not saved" in json.loads(reply.body)["detail"]


def test_who_sits_in_a_sandboxed_iframe_is_told_so(tool):
    marks = {"Sec-Fetch-Site": "cross-site", "Origin": "null"}
    assert tool.ask("POST", UNKNOWN, marks).problem == "iframe_sandboxed"
    marks |= {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
    reply = tool.ask("POST", UNKNOWN, marks)
    assert reply.status == 303
    del marks["Origin"]
    page = tool.get(reply["Location"], marks)
    assert (page.status, page["LTIAAS-Error"]) == (403, "iframe_sandboxed")
    assert "sandboxed iframe without allow-same-origin" in page.body.decode()


class TestAResponse:
    @pytest.mark.parametrize(
        "misordered",
        [
            (b"body", 200),
            ("text/html", 200, b""),
            (200, b"body"),
            (200, (), "text"),
            (200, "Content-Type: text/html"),
            (200, [("Content-Type",)]),
            (200, [("Content-Length", 4)]),
            (200, [(b"X", b"1")]),
        ],
    )
    def test_is_refused_when_it_is_made_if_misordered(self, misordered):
        with pytest.raises(TypeError, match="Response"):
            Response(*misordered)

    @pytest.mark.parametrize(
        "unusable",
        [(99,), (600,), (200, [("X Y", "1")]), (200, [("X", "1\r\nSet-Cookie: a=b")])],
    )
    def test_is_refused_if_it_is_not_http(self, unusable):
        with pytest.raises(ValueError, match="Response"):
            Response(*unusable)

    def test_takes_headers_as_a_mapping_too(self):
        assert Response(200, {"X": "1"}).headers == (("X", "1"),)


@pytest.mark.parametrize(
    ("name", "value"), [("tool_name", " "), ("support_url", "javascript:alert(1)")]
)
def test_what_would_spoil_a_page_is_refused(make_tool, name, value):
    with pytest.raises(ValueError, match=name):
        make_tool(**{name: value})
