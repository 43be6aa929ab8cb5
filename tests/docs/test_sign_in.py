"""The recipes of docs/howto/ sign in whoever launched, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from ltiaas_middleware.sandbox import Sandbox, SandboxServer
from tests import servers

from .test_snippets import SNIPPETS

RECIPES = {
    "flask_login": "from flask_login import",
    "fastapi": "Depends(require_launch)",
    "starlette": "AuthenticationBackend",
}
DJANGO = """
import os
from django.conf import settings
settings.configure(
    SECRET_KEY="a key of the tests", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["KEYS"]}},
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django_middleware.LaunchUserMiddleware",
    ],
)
import django
django.setup()
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from ltiaas_middleware.wsgi import LTIAASMiddleware
call_command("migrate", verbosity=0)
async def launch(request):
    user = await request.auser()
    if not user.is_authenticated:
        return HttpResponse("nobody", status=401)
    names = (user.first_name, user.last_name, user.email, user.has_usable_password())
    return HttpResponse(f"You are {user.pk}, {names}")
def block(request):
    request.user.is_active = False
    request.user.save()
    return HttpResponse(request.user.pk)
urlpatterns = [path("launch", launch), path("block", block)]
app = LTIAASMiddleware(get_wsgi_application())
"""


def recipe(words: str) -> str:
    found = [one for one in SNIPPETS if one.name.startswith("docs_howto") and words in one.code]
    return found[0].code


@pytest.fixture(scope="module")
def account() -> Iterator[SandboxServer]:
    with SandboxServer(Sandbox()) as server:
        yield server


@pytest.fixture(params=[*RECIPES, "django"])
def url(request: pytest.FixtureRequest, account: SandboxServer, tmp_path: Path) -> Iterator[str]:
    name: str = request.param
    if name == "django":
        (tmp_path / "recipe_django.py").write_text(DJANGO)
        code = recipe("LaunchUserMiddleware").partition("django.setup()\n")[2]
        (tmp_path / "django_middleware.py").write_text(code)
    else:
        (tmp_path / f"recipe_{name}.py").write_text(recipe(RECIPES[name]))
    env: dict[str, Any] = {
        "LTIAAS_URL": account.url,
        "LTIAAS_API_KEY": account.sandbox.api_key,
        "PYTHONPATH": f"{tmp_path}:{servers.ROOT}",
        "KEYS": str(tmp_path / "users.sqlite3"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    serve = servers.uvicorn if name in ("fastapi", "starlette") else servers.gunicorn
    with serve(f"recipe_{name}:app", env=env) as server:
        yield f"http://127.0.0.1:{server.port}/launch"


def test_whoever_launched_is_signed_in_and_nobody_else(url: str, account: SandboxServer) -> None:
    def answer(**query: str) -> requests.Response:
        return requests.get(url, params=query, timeout=10)

    ada, again, ben = (
        answer(ltik=account.sandbox.issue(user=user)) for user in ("ada", "ada", "ben")
    )
    assert [ada.status_code, again.status_code, ben.status_code] == [200, 200, 200]
    assert ada.text == again.text != ben.text
    assert answer().status_code in (401, 403)


@pytest.mark.parametrize("url", ["django"], indirect=True)
def test_django_keeps_names_and_locks_a_blocked_user_out(url: str, account: SandboxServer) -> None:
    def page(user: dict[str, str | None], at: str = url) -> requests.Response:
        token = {"id": "chen", "roles": ["Learner"], **user}
        ltik = account.sandbox.issue(user="chen", claims={"user": token})
        return requests.get(at, params={"ltik": ltik}, timeout=10)

    given: dict[str, str | None] = {
        "givenName": "Chen",
        "familyName": "Liu",
        "email": "chen@school.example",
    }
    assert page(given).text.endswith("('Chen', 'Liu', 'chen@school.example', False)")
    # The LMS may withhold what it told before.
    assert page(given | {"familyName": "Liu-Berg", "email": None}).text.endswith(
        "('Chen', 'Liu-Berg', 'chen@school.example', False)"
    )
    assert page(given, url.replace("/launch", "/block")).status_code == 200
    assert page(given).status_code == 401


def test_all_recipes_are_found() -> None:
    assert all(recipe(words) for words in [*RECIPES.values(), "LaunchUserMiddleware"])
