"""Settings of the environment are read when the app begins to serve, on both adapters."""

from __future__ import annotations

import asyncio
import logging

import pytest

from ltiaas_middleware import Response, SettingsError, asgi
from tests.both_adapters import Tool
from tests.fixtures.tools import API_KEY
from tests.tokens import ltik

URL = "https://account.ltiaas.example"


@pytest.fixture(params=["wsgi", "asgi"])
def make(request, upstream, monkeypatch):
    for name in ("LTIAAS_URL", "LTIAAS_DOMAIN", "LTIAAS_API_KEY", "LTIAAS_TTL"):
        monkeypatch.delenv(name, raising=False)
    made = []

    def make(**options):
        made.append(Tool(request.param, options))
        return made[-1]

    yield make
    for tool in made:
        tool.middleware.close()


def test_an_app_is_wrapped_without_them_and_served_with_them(make, monkeypatch):
    tool = make(require=True)
    monkeypatch.setenv("LTIAAS_URL", URL)
    monkeypatch.setenv("LTIAAS_API_KEY", API_KEY)
    assert tool.get(f"/?ltik={ltik()}").seen["user"] == "Ada"
    assert tool.get("/").problem == "launch_required"
    assert tool.middleware.settings.url == URL


def test_without_them_every_request_is_503_and_the_log_names_the_variable_once(
    make, monkeypatch, caplog
):
    tool = make(tool_name="Words", support_url="mailto:help@tool.example")
    with caplog.at_level(logging.ERROR):
        for path in ("/", f"/?ltik={ltik()}", "/lti/AAAAAAAAAAAAAAAAAAAAAA/", "/static/x"):
            reply = tool.get(path)
            assert (reply.status, reply["LTIAAS-Error"]) == (503, "not_configured")
        page = tool.navigate("/").body.decode()
    assert "Words" in page
    assert "mailto:help@tool.example" in page
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "LTIAAS_URL is not set" in record.getMessage()
    assert tool.middleware.stats()
    # It goes on as soon as they are there.
    monkeypatch.setenv("LTIAAS_URL", URL)
    monkeypatch.setenv("LTIAAS_API_KEY", API_KEY)
    assert tool.get("/").reached_app


def test_a_wrong_variable_is_named_as_well(make, monkeypatch, caplog):
    monkeypatch.setenv("LTIAAS_URL", URL)
    monkeypatch.setenv("LTIAAS_API_KEY", API_KEY)
    monkeypatch.setenv("LTIAAS_TTL", "soon")
    assert make().get("/").status == 503
    assert "ttl (LTIAAS_TTL) must be a number" in caplog.text


def test_on_error_answers_for_them(make):
    tool = make(on_error=lambda info, request: Response(500, (), info.code.encode()))
    assert tool.get("/").body == b"not_configured"


@pytest.mark.parametrize(
    "options", [{"ttl": -1}, {"launch_pth": "/x"}, {"url": "x y"}, {"url": URL, "api_key": " "}]
)
def test_what_is_given_in_code_is_checked_at_once(make, options):
    with pytest.raises(SettingsError):
        make(**options)


def test_with_both_given_in_code_so_is_the_environment(make, monkeypatch):
    monkeypatch.setenv("LTIAAS_TTL", "soon")
    with pytest.raises(SettingsError, match="LTIAAS_TTL"):
        make(url=URL, api_key=API_KEY)


def test_under_asgi_the_log_says_so_when_the_server_starts(monkeypatch, caplog):
    for name in ("LTIAAS_URL", "LTIAAS_DOMAIN", "LTIAAS_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    passed = []

    async def app(scope, receive, send):
        passed.append(scope["type"])

    asyncio.run(asgi.LTIAASMiddleware(app)({"type": "lifespan"}, None, None))
    assert passed == ["lifespan"]
    assert "LTIAAS_URL is not set" in caplog.text
