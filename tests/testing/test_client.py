"""``testing.client``: a whole app, through the middleware, as a browser uses it."""

from __future__ import annotations

import os
import re
import unittest

import pytest
from flask import Flask, redirect, request

from ltiaas_middleware import testing
from ltiaas_middleware.sandbox import World
from ltiaas_middleware.wsgi import LTIAASMiddleware
from tests.servers import ROOT
from tests.testing.tools import APPS, flask, who


@pytest.fixture(params=APPS)
def client(request, ltiaas_client):
    return ltiaas_client(APPS[request.param]())


@pytest.mark.parametrize("sent", [{"data": {"answer": "42"}}, {"json": {"answer": 42}}])
def test_a_learner_launches_and_hands_in(client, sent):
    page = client.launch("/launch", user="ben")
    assert (page.status_code, page.text) == (200, "Hello Ben Carter")
    assert "ltik" not in page.request.url
    assert client.post("/score", **sent).text == "saved"
    assert client.sandbox.scores()["ben"]["scoreGiven"] == 8


def test_roles_and_custom_parameters_are_the_launchs(client):
    client.launch(user="ben", roles=["TeachingAssistant"], custom={"level": "2"})
    assert client.get("/page").text.startswith("Hello Ben Carter")


def test_redirects_of_the_launch_page_are_followed(client):
    page = client.launch("/launch?then=1", user="ada")
    assert page.text == "Hello Ada Moreau yes"
    assert "/lti/" in page.request.url


def test_the_apps_own_redirects_are_shown_unless_asked(client):
    client.launch()
    shown = client.post("/then")
    assert shown.status_code in (302, 303)
    assert client.post("/then", follow_redirects=True).text.endswith("yes")


def test_an_excluded_page_has_no_launch(client):
    client.launch()
    assert client.get("/health").text == "nobody"


def test_without_a_launch_there_is_the_middlewares_answer(client):
    assert client.get("/page").text.startswith("nobody")
    refused = client.post("/score", data={"answer": "42"})
    assert (refused.status_code, refused.headers["LTIAAS-Error"]) == (401, "launch_required")


def test_a_launch_that_fails_shows_its_page(client):
    client.sandbox.fault("refuse", endpoint="/api/idtoken")
    page = client.launch()
    assert (page.status_code, page.headers["LTIAAS-Error"]) == (401, "launch_expired")


def test_a_launch_while_ltiaas_is_down_shows_the_page_that_waits(monkeypatch, ltiaas_client):
    monkeypatch.setenv("LTIAAS_WAITING_PAGE_AFTER", "0.05")
    client = ltiaas_client(flask())
    client.sandbox.fault("status", status=500, endpoint="/api/idtoken")
    page = client.launch()
    assert (page.status_code, page.headers["LTIAAS-Error"]) == (503, "launch_waiting")
    # Two verifications, and not as many as a browser goes on to ask for.
    assert client.sandbox.api_log.count("/api/idtoken") <= 4
    client.sandbox.clear_faults()
    assert client.launch(user="ben").text == "Hello Ben Carter"


def test_the_next_user_has_a_launch_of_their_own(client):
    client.launch(user="ada")
    client.launch(user="ben")
    assert client.get("/page").text.startswith("Hello Ben Carter")


def test_a_world_of_its_own():
    with testing.sandbox(World.preset("canvas")) as running, testing.client(flask(), running) as it:
        assert it.launch(user="ben").text == "Hello Ben Carter"
        assert it.sandbox.world.platforms[0].product == "canvas"


def test_a_whole_url_is_opened_as_from_another_site(ltiaas_client):
    app = Flask("sites")
    for path in ("/launch", "/out"):
        app.add_url_rule(path, path, lambda: request.headers["Sec-Fetch-Site"])
    app.wsgi_app = LTIAASMiddleware(app.wsgi_app, exclude=["/out"])
    client = ltiaas_client(app)
    launched = client.launch()
    assert client.get("/launch").text == "same-origin"
    assert client.get(launched.request.url).text == "same-origin"
    assert client.get("https://testserver/out").text == "cross-site"


def test_an_app_that_is_not_wrapped_is_told_so(ltiaas_client):
    app = Flask("bare")
    app.get("/launch")(lambda: "hello")
    with pytest.raises(AssertionError, match="wrap it in LTIAASMiddleware"):
        ltiaas_client(app).launch()


def test_the_environment_is_the_sandboxs_only_meanwhile(monkeypatch):
    monkeypatch.setenv("LTIAAS_URL", "https://mine.ltiaas.example")
    with testing.client(flask()) as client:
        assert os.environ["LTIAAS_URL"].startswith("http://127.0.0.1:")
        assert client.launch().status_code == 200
    assert os.environ["LTIAAS_URL"] == "https://mine.ltiaas.example"


def test_an_app_of_a_module_works_in_each_test():
    app = flask()
    for _ in range(2):
        with testing.client(app) as client:
            assert client.launch(user="ben").text == "Hello Ben Carter"
            assert client.sandbox.scores() == {}


def test_a_lifespan_that_fails_fails_the_test():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(RuntimeError, match="no database"), testing.client(app):
        pass


def test_what_the_app_raises_is_raised_in_the_test(ltiaas_client):
    def app(environ, start_response):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ltiaas_client(LTIAASMiddleware(app)).get("/")


class TestWithUnittest(unittest.TestCase):
    def setUp(self) -> None:
        self.client = self.enterContext(testing.client(flask()))

    def test_a_score(self) -> None:
        self.client.launch("/launch", user="ben")
        self.client.post("/score", data={"answer": "42"})
        assert self.client.sandbox.scores()["ben"]["scoreGiven"] == 8


def test_a_tool_without_launch_paths_is_asked_as_it_is(ltiaas_client):
    app = Flask("in place")
    app.get("/launch", endpoint="launch")(lambda: redirect("/page"))
    app.get("/page")(who)
    app.wsgi_app = LTIAASMiddleware(app.wsgi_app, launch_path=None)
    client = ltiaas_client(app)
    assert client.launch().text == "nobody"
    assert client.get("/page").text == "nobody"


@pytest.mark.parametrize(
    ("block", "said"), [(0, "Hello Ben Carter!"), (1, '{"hello":"Ben Carter"}')]
)
def test_readmes_own_apps_launch(ltiaas_client, block, said):
    readme = (ROOT / "README.md").read_text("utf-8")
    module = {"__name__": __name__}
    exec(re.findall(r"```python\n(.*?)```", readme, re.DOTALL)[block], module)
    assert ltiaas_client(module["app"]).launch(user="ben").text == said
