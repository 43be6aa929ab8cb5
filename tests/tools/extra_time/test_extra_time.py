"""The tool's own tests, as its authors write them: with ``ltiaas_middleware.testing``, a real Redis
and a real RQ worker, against a Canvas of the sandbox and a provider that is as strict as Canvas."""

from __future__ import annotations

import re

import pytest
import requests

from ltiaas_middleware import testing
from ltiaas_middleware.sandbox import World

from ..provider import provider

pytestmark = pytest.mark.redis
pytest.importorskip("authlib", reason="the dependency group tools is not installed")
ADMINISTRATOR = "institution/person#Administrator"


@pytest.fixture
def ltiaas_sandbox():
    with testing.sandbox(World.preset("canvas")) as running:
        yield running


@pytest.fixture
def canvas():
    with provider() as canvas:
        canvas.redirect_uris = {"https://testserver/oauth/callback"}
        yield canvas


@pytest.fixture
def app(canvas, ltiaas_sandbox, redis_server, tmp_path, monkeypatch):
    for name, value in {
        "LTIAAS_URL": ltiaas_sandbox.url,
        "LTIAAS_API_KEY": ltiaas_sandbox.api_key,
        "LTIAAS_SERVICE_KEYS": f"sqlite:///{tmp_path}/keys.db",
        "DATABASE_URL": f"sqlite:///{tmp_path}/tool.db",
        "REDIS_URL": redis_server.url,
        "SECRET_KEY": "a secret of the tests, long enough",
        "CANVAS_URL": canvas.url,
        "CANVAS_API_URL": canvas.url,
    }.items():
        monkeypatch.setenv(name, value)
    from .app import create_app

    app = create_app()
    yield app
    app.wsgi_app.close()
    app.config["REDIS"].close()
    app.config["STORAGE"].close()


@pytest.fixture
def client(app, ltiaas_client):
    return ltiaas_client(app)


@pytest.fixture
def work(redis_server):
    """Runs all jobs that are queued; returns what the last one returned."""

    def work():
        from rq import Queue, SimpleWorker

        class Worker(SimpleWorker):
            def _install_signal_handlers(self):
                """pytest has its own."""

        queue = Queue(connection=redis_server.client)
        jobs = queue.jobs
        Worker([queue], connection=redis_server.client).work(burst=True)
        assert all(job.is_finished for job in jobs), [job.latest_result() for job in jobs]
        return jobs[-1].return_value()

    return work


def token_of(page):
    return re.search(r'name="csrf_token" value="([^"]+)"', page.text)[1]


def connect(client, away=None):
    """Allow the tool what it asks Canvas for."""
    away = away or client.get("/canvas/connect").location
    allowed = requests.post(away, allow_redirects=False, timeout=10)
    assert allowed.status_code == 302, allowed.text
    return client.get(allowed.headers["Location"], follow_redirects=True)


def extend(client, percent="50", users=("ben",)):
    page = client.launch("/launch", user="ada")
    form = {"csrf_token": token_of(page), "percent": percent, "user": list(users)}
    return client.post("/extensions", data=form, follow_redirects=True)


@pytest.mark.parametrize("user", ["ada", "tess"])
def test_teachers_and_assistants_see_their_students(client, user):
    page = client.launch("/launch", user=user)
    assert "Extra time in Introduction to Biology" in page.text
    assert "Ben Carter" in page.text
    assert "Ada Moreau" not in page.text.partition("<ul>")[2]


def test_students_see_their_own_time_and_nobody_elses(client, app):
    storage = app.config["STORAGE"]
    client.launch("/launch", user="ben")
    platform = client.sandbox.world.courses[0].platform
    storage.give(f"{platform.id}/biology", ["ben"], 25)
    assert 'Ben Carter: <b id="percent">25 %' in client.get("/launch").text
    assert client.post("/extensions").status_code == 400  # no CSRF token


def test_administrators_see_all_courses_and_no_roster(client, work):
    client.launch("/launch", user="ada")
    connect(client)
    extend(client)
    work()
    page = client.launch("/launch", user="adam", roles=[ADMINISTRATOR])
    assert "Extra time in all courses" in page.text
    assert "/biology: 1<" in page.text
    assert client.get("/canvas/connect").status_code == 403


def test_who_is_neither_gets_a_page_of_the_tools(client):
    page = client.launch("/launch", user="mia")
    assert (page.status_code, "Not for you" in page.text) == (403, True)


@pytest.mark.parametrize("percent", ["", "-1", "300", "x"])
def test_a_wrong_percentage_changes_nothing(client, percent):
    assert "from 0 to 200 percent" in extend(client, percent).text


def test_without_canvas_there_is_nothing_to_do(client):
    assert "Connect to Canvas first" in extend(client).text


def test_extra_time_reaches_canvas_in_the_teachers_name(client, canvas, work):
    client.launch("/launch", user="ada")
    assert "You are connected to Canvas" in connect(client).text
    watching = extend(client, users=["ben", "ada-of-another-course"])
    path = re.search(r'data-job="([^"]+)"', watching.text)[1]
    assert client.get(path).json == {"status": "queued", "result": None}
    assert work() == {"given": ["ben"], "not enrolled": ["ada-of-another-course"]}
    assert client.get(path).json["status"] == "finished"
    course = client.sandbox.world.courses[0]
    ((asked, body),) = canvas.calls
    assert re.fullmatch(r"/api/v1/courses/\d+/quiz_extensions", asked)
    assert body == {"user_ids": ["ben"], "extra_percent": 50}
    assert course.id not in asked
    assert "50 %" in client.launch("/launch", user="ben").text


def test_another_courses_job_is_not_shown(client, canvas):
    client.launch("/launch", user="ada")
    connect(client)
    path = re.search(r'data-job="([^"]+)"', extend(client).text)[1]
    client.launch("/launch", user="ada", course="history")
    assert client.get(path).status_code == 404


def test_an_expired_token_is_refreshed_by_the_job(client, canvas, app, work):
    client.launch("/launch", user="ada")
    connect(client)
    canvas.expire()
    storage = app.config["STORAGE"]
    (teacher,) = storage.tokens()
    storage.keep_token(teacher, {**storage.token(teacher), "expires_at": 1})
    extend(client)
    assert work()["given"] == ["ben"]
    assert canvas.refreshed == 1
    assert storage.token(teacher)["expires_at"] > 1


def test_a_confirmation_reaches_the_gradebook_after_the_launch(client, work):
    page = client.launch("/launch", user="ben")
    shown = client.post("/confirm", data={"csrf_token": token_of(page)}, follow_redirects=True)
    assert "Your teacher will see" in shown.text
    work()
    assert client.sandbox.scores(tag="extra-time")["ben"]["scoreGiven"] == 1


def test_a_redirect_url_that_is_not_registered_ends_at_the_provider(client, canvas):
    client.launch("/launch", user="ada")
    away = client.get("/canvas/connect").location
    canvas.redirect_uris = {"https://testserver/oauth/callback/"}
    refused = requests.get(away, timeout=10)
    assert (refused.status_code, "redirect_uri_mismatch" in refused.text) == (400, True)
    assert "https://testserver/oauth/callback" in refused.text


def test_an_answer_arrives_in_the_launch_that_asked(client):
    client.launch("/launch", user="ada")
    away = client.get("/canvas/connect").location
    client.launch("/launch", user="tess")
    assert "You are connected to Canvas" in connect(client, away).text
    assert "Connect to Canvas" in client.get("/launch").text  # Tess is not
    forged = client.get("/oauth/callback?code=x&state=y")
    assert (forged.status_code, "mismatching_state" in forged.text) == (400, True)


def test_the_health_check_needs_no_launch(client):
    assert client.get("/health").text == "ok"
