"""What a framework keeps for the life of the process holds no launch path: the first request of
each process here is a launch, and the second user's page shows nothing of the first one's."""

from __future__ import annotations

import json
import re

import pytest

from ltiaas_middleware.sandbox import SandboxServer
from tests import forks

# Each prints the two users' pages, one JSON text each, after two launches in one process.
_WSGI = """
from werkzeug.test import Client
def open_(ltik):
    client = Client(app)
    headers = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
    base = {"base_url": "https://tool.example" + MOUNT}
    first = client.get("/page?ltik=" + ltik, headers=headers, **base)
    path = first.headers["Location"].removeprefix(MOUNT)
    cookie = first.headers["Set-Cookie"].partition(";")[0]
    got = client.get(path, headers={**headers, "Cookie": cookie}, **base)
    return path, got.get_data(as_text=True)
"""
_ASGI = """
from starlette.testclient import TestClient
def open_(ltik):
    client = TestClient(app, base_url="https://tool.example", root_path=MOUNT)
    headers = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
    first = client.get(MOUNT + "/page?ltik=" + ltik, headers=headers, follow_redirects=False)
    path = first.headers["Location"]
    got = client.get(path, headers=headers)
    return path, got.text
"""
_DJANGO = """
from django.conf import settings
settings.configure(
    SECRET_KEY="a key", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], STATIC_URL="static/",
    MEDIA_URL="media/", INSTALLED_APPS=["django.contrib.staticfiles"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
from django.http import HttpResponse
from django.template import Context, Template
from django.urls import path
PAGE = "{% load static %}{% static 'x.css' %} {% get_media_prefix %}p.png {% url 'page' %}"
urlpatterns = [path("page", lambda request: HttpResponse(Template(PAGE).render(Context())),
                    name="page")]
"""
_APPS = {
    "django-wsgi": _DJANGO
    + """
from django.core.wsgi import get_wsgi_application
from ltiaas_middleware.wsgi import LTIAASMiddleware
app = LTIAASMiddleware(get_wsgi_application())
"""
    + _WSGI,
    "django-asgi": _DJANGO
    + """
from django.core.asgi import get_asgi_application
from ltiaas_middleware.asgi import LTIAASMiddleware
app = LTIAASMiddleware(get_asgi_application())
"""
    + _ASGI,
    "flask": """
from flask import Flask, url_for
from ltiaas_middleware.wsgi import LTIAASMiddleware
flask = Flask(__name__)
@flask.get("/page")
def page():
    return url_for("static", filename="x.css") + " " + url_for("page")
app = LTIAASMiddleware(flask)
"""
    + _WSGI,
    "starlette": """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from ltiaas_middleware.asgi import LTIAASMiddleware
async def page(request):
    return PlainTextResponse(str(request.url_for("page")))
app = LTIAASMiddleware(Starlette(routes=[Route("/page", page, name="page")]))
"""
    + _ASGI,
    "fastapi": """
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from ltiaas_middleware.asgi import LTIAASMiddleware
api = FastAPI()
@api.get("/page")
async def page(request: Request):
    return PlainTextResponse(str(api.openapi().get("servers")) + str(request.url_for("page")))
app = LTIAASMiddleware(api)
"""
    + _ASGI,
}


_CASES = [(name, mount) for name in _APPS for mount in ("", "/tool")]


@pytest.fixture(scope="module")
def runs(account: SandboxServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, forks.Done]:
    modules = {}
    for number, (name, mount) in enumerate(_CASES):
        script = f"MOUNT = {mount!r}\n{_APPS[name]}\nimport json\n"
        for user in ("ada", "ben"):
            script += f"print(json.dumps(open_({account.sandbox.issue(user=user)!r})))\n"
        modules[f"case_{number}"] = script
    env = {"LTIAAS_URL": account.url, "LTIAAS_API_KEY": account.sandbox.api_key}
    first = "import django.core.wsgi, django.core.asgi, fastapi, flask, starlette.testclient"
    return forks.run(modules, tmp_path_factory.mktemp("kept"), env, first)


@pytest.mark.parametrize(("name", "mount"), _CASES)
def test_two_launches_in_one_process(name: str, mount: str, runs: dict[str, forks.Done]) -> None:
    done = runs[f"case_{_CASES.index((name, mount))}"]
    assert done.returncode == 0, done.printed
    (first, one), (second, other) = map(json.loads, done.printed.splitlines())
    ids = [re.findall(r"/lti/([\w-]{22})/", path)[0] for path in (first, second)]
    assert ids[0] != ids[1]
    assert ids[0] in one  # The page's own address is within the launch…
    assert ids[1] in other
    assert ids[0] not in other  # …and nothing of it stays.
    if name.startswith("django"):
        assert other.split()[:2] == [f"{mount}/static/x.css", f"{mount}/media/p.png"]
