"""Starts the apps of ``apps/``, each on a real server of its own behind TLS."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import servers

from .sites import TOOL, Sites

#: Django's admin knows this person.
ADMIN, PASSWORD = "staff", "a password of the tests"

_HERE = Path(__file__).parent / "apps"
_MODULES = {
    "flask": "tests.browsers.apps.flask_notes:app",
    "flask-host": "tests.browsers.apps.flask_notes:app",
    "fastapi-without-script": "tests.browsers.apps.fastapi_notes:app",
    "fastapi": "tests.browsers.apps.fastapi_notes:app",
    "dash": "tests.browsers.apps.dash_board:server",
    "datasette": "tests.browsers.apps.datasette_site:app",
    "absolute": "tests.browsers.apps.absolute:app",
    "drf": "tests.browsers.apps.drf_groups:app",
    "react": "tests.browsers.apps.react_spa:app",
    "channels": "tests.browsers.apps.channels_chat:app",
    "htmx-2": "tests.browsers.apps.htmx_notes:app",
    "htmx-4": "tests.browsers.apps.htmx_notes:app",
    "nicegui": "tests.browsers.apps.nicegui_page:app",
    "gradio": "tests.browsers.apps.gradio_greeter:app",
    "streamlit": "tests.browsers.apps.streamlit_app:app",
    "panel": "tests.browsers.apps.panel_page:app",
    "flask-socketio": "tests.browsers.apps.flask_socketio_chat:app",
    "socketio": "tests.browsers.apps.socketio_chat:app",
    "django-wsgi": "mysite.wsgi:application",
    "django-asgi": "mysite.asgi:application",
}
_ASGI = {
    "absolute",
    "fastapi",
    "fastapi-without-script",
    "datasette",
    "django-asgi",
    "react",
    "channels",
    "nicegui",
    "gradio",
    "streamlit",
    "panel",
    "socketio",
    "sessions starlette",
    "sessions fastapi",
}
# Those that need the dependency group ``apps``, in an environment of its own (``make browsers``):
# its packages and those of the tests do not agree.
_IN_APPS_GROUP = {
    "channels",
    "htmx-2",
    "htmx-4",
    "nicegui",
    "gradio",
    "streamlit",
    "panel",
    "flask-socketio",
    "socketio",
}
_APPS_PYTHON = Path(os.environ.get("APPS_PYTHON", servers.ROOT / ".venv-apps/bin/python"))
_SESSIONS = "tests.frameworks.apps.sessions:app"


class RunningApps:
    """Starts an app when it is first asked for, and keeps it until the end."""

    def __init__(self, sites: Sites, directory: Path, stack: contextlib.ExitStack) -> None:
        self._sites = sites
        self._directory = directory
        self._stack = stack
        self._ports: dict[str, int] = {}
        self._project: Path | None = None
        self.servers: dict[str, servers.Server] = {}

    def url(self, name: str, prefix: str = "") -> str:
        """The app's address, to which the LMS's launches go from now on.

        Args:
            name: the app's, or ``sessions`` and a tool's of ``tests/frameworks/apps/sessions.py``;
                with `` x2`` at its end, in two workers.
            prefix: what the names of such a tool's cookies begin with.
        """
        key = prefix + name
        if key not in self.servers:
            self.servers[key] = self._stack.enter_context(self._start(name, prefix))
        url = f"https://{TOOL}:{self.servers[key].port}"
        home = "/notes" if name == "datasette" else "/launch"
        self._sites.sandbox.tool = url + home
        return url

    def _start(self, name: str, prefix: str) -> contextlib.AbstractContextManager[servers.Server]:
        env = self._sites.account_env
        name, _, workers = name.partition(" x")
        serve: dict[str, Any] = {"workers": int(workers or 1)}
        app = _MODULES.get(name, _SESSIONS)
        if name == "datasette":
            env = {**env, "NOTES_DATABASE": str(self._database())}
        if name == "flask-host":
            env = {**env, "SESSION_COOKIE_NAME": "__Host-session"}
        if name == "fastapi-without-script":
            env = {**env, "LTIAAS_INSERT_SCRIPT": "off"}
        if app == _SESSIONS:
            tool, _, variant = name.removeprefix("sessions ").partition("-")
            database = self._directory / f"{prefix}{name}.db"
            env = {**env, "TOOL": tool, "CSRF_IN_SESSION": variant, "PREFIX": prefix}
            env["DATABASE"] = str(database)
        if name.startswith("django"):
            env = {**env, "PYTHONPATH": f"{self._django()}{os.pathsep}{servers.ROOT}"}
        if name == "nicegui":
            env = {**env, "NICEGUI_STORAGE_PATH": str(self._directory / "nicegui")}
        if name.startswith("htmx"):
            env = {**env, "HTMX": name[-1]}
        if name == "drf":
            env = {**env, "DATABASE": str(self._directory / "drf.db")}
        if name in _IN_APPS_GROUP:
            if not _APPS_PYTHON.exists():
                pytest.skip(f"{name} needs the dependency group apps: make browsers")
            serve["python"] = str(_APPS_PYTHON)
        tls = (self._sites.certificates.chain_file,) * 2
        if name in _ASGI:
            return servers.uvicorn(app, env=env, tls=tls, **serve)
        return servers.gunicorn(app, threads=16, env=env, tls=tls, **serve)

    def _database(self) -> Path:
        path = self._directory / "notes.db"
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("create table note (text text)")
            database.execute("insert into note values ('Bring a pencil')")
            database.commit()
        return path

    def _django(self) -> Path:
        """A project as ``django-admin startproject`` and ``startapp`` make it."""
        if self._project is not None:
            return self._project
        project = self._directory / "mysite"
        project.mkdir()
        python = [sys.executable, "-W", "error"]
        self._run([*python, "-m", "django", "startproject", "mysite", "."], project)
        manage = [*python, "manage.py"]
        self._run([*manage, "startapp", "notes"], project)
        for name, place in (
            ("views.py", "notes"),
            ("urls.py", "mysite"),
            ("notes.html", "notes/templates"),
            ("style.css", "notes/static/notes"),
        ):
            (project / place).mkdir(parents=True, exist_ok=True)
            shutil.copy(_HERE / "django_notes" / name, project / place)
        with (project / "mysite" / "settings.py").open("a") as settings:
            settings.write(
                f'\nINSTALLED_APPS += ["notes"]\nALLOWED_HOSTS = ["{TOOL}", "127.0.0.1"]\n'
            )
        for kind in ("wsgi", "asgi"):
            with (project / "mysite" / f"{kind}.py").open("a") as entry:
                entry.write(f"\nfrom ltiaas_middleware.{kind} import LTIAASMiddleware\n")
                entry.write("application = LTIAASMiddleware(application)\n")
        self._run([*manage, "migrate", "--verbosity", "0"], project)
        self._run(
            [*manage, "createsuperuser", "--noinput", "--username", ADMIN, "--email", "s@x.test"],
            project,
        )
        self._project = project
        return project

    @staticmethod
    def _run(command: list[str], directory: Path) -> None:
        env = {**os.environ, "DJANGO_SUPERUSER_PASSWORD": PASSWORD, "PYTHONPATH": str(servers.ROOT)}
        done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def running_apps(sites: Sites, directory: Path) -> Iterator[RunningApps]:
    """The apps, stopped at the end."""
    with contextlib.ExitStack() as stack:
        yield RunningApps(sites, directory, stack)
