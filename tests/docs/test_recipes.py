"""The how-to guides' whole tools do their job, launched by the sandbox."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ltiaas_middleware import testing
from ltiaas_middleware.testing import RunningSandbox
from tests.servers import ROOT

from .test_snippets import SNIPPETS

_NAVIGATES = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}
CODE = {snippet.name: snippet.code for snippet in SNIPPETS}


def tool(name: str, running: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the page's tool."""
    monkeypatch.setenv("LTIAAS_URL", running.url)
    monkeypatch.setenv("LTIAAS_API_KEY", running.api_key)
    module: dict[str, Any] = {"__name__": name}
    exec(compile(CODE[name], name, "exec"), module)
    return module["app"].test_client()


def test_oauth(ltiaas_sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    client = tool("docs_howto_oauth_1", ltiaas_sandbox, monkeypatch)
    ltik = ltiaas_sandbox.sandbox.issue(user="ben")
    page = client.get(f"/launch?ltik={ltik}", headers=_NAVIGATES, follow_redirects=True)
    (link,) = re.findall(r'href="([^"]+)"', page.text)
    tab = client.get(link.replace("&amp;", "&"), headers=_NAVIGATES)
    provider = client.get(tab.location, headers=_NAVIGATES)
    query = parse_qs(urlsplit(provider.location).query)
    # A provider redirects to exactly what is registered with it.
    assert query["redirect_uri"] == ["http://localhost/oauth/callback"]
    back = f"/oauth/callback?state={query['state'][0]}&code=abc"
    done = client.get(back, headers=_NAVIGATES, follow_redirects=True)
    assert "'ben'" in done.text.replace("&#39;", "'")
    again = client.get(back, headers=_NAVIGATES, follow_redirects=True)
    assert again.status_code == 400


def test_deep_linking(ltiaas_sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    client = tool("docs_howto_deep_linking_1", ltiaas_sandbox, monkeypatch)
    sandbox = ltiaas_sandbox.sandbox
    ltik = sandbox.issue(user="ada", course="biology", deep_linking=True)
    page = client.get(f"/deep-linking?ltik={ltik}", headers=_NAVIGATES, follow_redirects=True)
    (action,) = re.findall(r'action="([^"]+)"', page.text)
    form = client.post(action, data={"pick": "cells"})
    assert form.status_code == 200
    assert "JWT" in form.text
    ltik = sandbox.issue(user="ben", course="biology")
    assert "The cell" in client.get(f"/launch?resource=cells&ltik={ltik}").text
    assert client.get(f"/deep-linking?ltik={ltik}").status_code == 403


def test_registration(ltiaas_sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    client = tool("docs_howto_registration_1", ltiaas_sandbox, monkeypatch)
    assert client.get("/register").status_code == 400


def test_a_teacher_grades_a_learner(ltiaas_sandbox: RunningSandbox) -> None:
    module: dict[str, Any] = {}
    exec(compile(CODE["docs_howto_grades_2"], "grades", "exec"), module)
    with testing.launch(user="ada", roles=["Instructor"], api=ltiaas_sandbox):
        module["grade"]("ben", 7)
        with pytest.raises(LookupError):
            module["grade"]("ada", 7)
    assert ltiaas_sandbox.sandbox.scores(tag="quiz")["ben"]["scoreGiven"] == 7


def test_the_django_test_of_the_guide_passes_with_the_tutorials_tool(tmp_path: Path) -> None:
    database = 'DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3"}},'
    code = CODE["docs_tutorial_grades_3"]
    code = code.replace("settings.configure(", f"settings.configure({database}", 1)
    (tmp_path / "tool.py").write_text(code)
    tests = CODE["docs_howto_testing_4"].replace("settings.configure(DATABASES={})", "")
    (tmp_path / "tests.py").write_text(tests)
    command = [sys.executable, "tool.py", "test"]
    env = {"PYTHONPATH": str(ROOT), "PATH": os.defpath}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Ran 1 test" in done.stderr


@pytest.mark.parametrize(
    "test", ["test_a_score_arrives", "test_ltiaas_is_down", "test_with_pytest"]
)
def test_the_tests_of_the_guide_pass_with_the_tutorials_tool(test: str, ltiaas_client: Any) -> None:
    module: dict[str, Any] = {"__name__": "tool"}
    exec(compile(CODE["docs_tutorial_grades_1"], "tool", "exec"), module)
    tests: dict[str, Any] = {"__name__": "test_tool"}
    exec(compile(CODE["docs_howto_testing_2"], "test_tool", "exec"), tests)
    tests["app"] = module["app"]
    tests[test](*[ltiaas_client] * ("pytest" in test))
