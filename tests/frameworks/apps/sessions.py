"""Tools that keep a user, notes and messages in cookies, as their frameworks' tutorials have it.

The environment's ``TOOL`` names one; ``PREFIX`` begins the names of its cookies. Outside a launch,
``/landing`` signs "the site" in. ``/launch`` signs the launch's user in unless somebody is, and
``/notes`` says as JSON who that is, what they wrote, and what a form (``fields``, ``headers``) and
a script (the ``cookie`` that it reads, the ``header`` that it sends) need to write more.
"""

from __future__ import annotations

import os
import secrets
from typing import Any

from ltiaas_middleware import require_launch
from ltiaas_middleware.asgi import LTIAASMiddleware as AsyncMiddleware
from ltiaas_middleware.wsgi import LTIAASMiddleware

PREFIX = os.environ.get("PREFIX", "")
SITE, KEY = "the site", "a key of the tests"
ADMIN, PASSWORD = "staff", "a password of the tests"


def who() -> str:
    return require_launch().id_token.user.name or "nobody"


def flask() -> Any:
    """Session, flashed messages, Flask-Login, a Flask-WTF form, and a double submit as axios
    makes it."""
    from flask import (
        Flask,
        flash,
        get_flashed_messages,
        jsonify,
        redirect,
        request,
        session,
        url_for,
    )
    from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
    from flask_wtf import FlaskForm
    from wtforms import StringField
    from wtforms.validators import DataRequired

    class User(UserMixin):
        def __init__(self, name: str) -> None:
            self.id = name

    class NoteForm(FlaskForm):
        note = StringField(validators=[DataRequired()])

    tool = Flask("tool")
    tool.config.update(
        SECRET_KEY=KEY,
        SESSION_COOKIE_NAME=f"{PREFIX}session",
        SESSION_COOKIE_SECURE=bool(PREFIX),
    )
    LoginManager(tool).user_loader(User)
    token = f"{PREFIX}XSRF-TOKEN"

    def write(note: str) -> None:
        session["notes"] = [*session.get("notes", []), note]
        flash(f"{current_user.id} saved {note}")

    @tool.after_request
    def with_token(response: Any) -> Any:
        if token not in request.cookies:
            response.set_cookie(token, secrets.token_urlsafe(), secure=bool(PREFIX))
        return response

    @tool.get("/landing")
    def landing() -> Any:
        login_user(User(SITE))
        session["notes"] = [SITE]
        return "welcome"

    @tool.get("/launch")
    def launch() -> Any:
        if not current_user.is_authenticated:
            login_user(User(who()))
        return redirect(url_for("notes"))

    @tool.route("/notes", methods=["GET", "POST"])
    @login_required
    def notes() -> Any:
        form = NoteForm()
        if request.method == "POST":
            if not form.validate_on_submit():
                return form.errors, 403
            write(form.note.data)
            return redirect(url_for("notes"))
        return jsonify(
            user=current_user.id,
            notes=session.get("notes", []),
            messages=get_flashed_messages(),
            fields={"csrf_token": form.csrf_token.current_token},
            headers={},
            script={"cookie": token, "header": "X-XSRF-TOKEN"},
        )

    @tool.post("/api/notes")
    @login_required
    def api() -> Any:
        if request.headers.get("X-XSRF-TOKEN") != request.cookies.get(token, secrets.token_hex()):
            return "no token", 403
        write(request.form["note"])
        return "saved"

    return tool


def starlette() -> Any:
    """SessionMiddleware, and starlette-csrf's token, which scripts read."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.sessions import SessionMiddleware
    from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse
    from starlette.routing import Route
    from starlette_csrf import CSRFMiddleware

    token = f"{PREFIX}csrftoken"

    async def landing(request: Any) -> Any:
        request.session.update(user=SITE, notes=[SITE])
        return PlainTextResponse("welcome")

    async def launch(request: Any) -> Any:
        request.session.setdefault("user", who())
        return RedirectResponse(request.url_for("notes"))

    async def notes(request: Any) -> Any:
        return JSONResponse(
            {
                "user": request.session["user"],
                "notes": request.session.get("notes", []),
                "messages": request.session.pop("messages", []),
                "script": {"cookie": token, "header": "x-csrftoken"},
            }
        )

    async def api(request: Any) -> Any:
        note = (await request.form())["note"]
        request.session["notes"] = [*request.session.get("notes", []), note]
        request.session["messages"] = [f"{request.session['user']} saved {note}"]
        return PlainTextResponse("saved")

    return Starlette(
        routes=[
            Route("/landing", landing),
            Route("/launch", launch),
            Route("/notes", notes, name="notes"),
            Route("/api/notes", api, methods=["POST"]),
        ],
        middleware=[
            Middleware(
                SessionMiddleware,
                secret_key=KEY,
                session_cookie=f"{PREFIX}session",
                https_only=bool(PREFIX),
            ),
            Middleware(CSRFMiddleware, secret=KEY, cookie_name=token, cookie_secure=bool(PREFIX)),
        ],
    )


def fastapi() -> Any:
    """SessionMiddleware, and fastapi-csrf-protect with its token in a header, as its README."""
    from fastapi import Depends, FastAPI, Form, Request
    from fastapi.responses import JSONResponse, RedirectResponse
    from fastapi_csrf_protect import CsrfProtect
    from fastapi_csrf_protect.exceptions import CsrfProtectError
    from starlette.middleware.sessions import SessionMiddleware

    tool = FastAPI()
    tool.add_middleware(
        SessionMiddleware,
        secret_key=KEY,
        session_cookie=f"{PREFIX}session",
        https_only=bool(PREFIX),
    )
    protection = [
        ("secret_key", KEY),
        ("cookie_key", f"{PREFIX}fastapi-csrf-token"),
        ("cookie_secure", bool(PREFIX)),
    ]
    CsrfProtect.load_config(lambda: protection)
    tool.add_exception_handler(
        CsrfProtectError, lambda request, error: JSONResponse({"detail": str(error)}, 403)
    )

    async def landing(request: Any) -> str:
        request.session.update(user=SITE, notes=[SITE])
        return "welcome"

    async def launch(request: Any) -> Any:
        request.session.setdefault("user", who())
        return RedirectResponse(request.url_for("notes"))

    async def notes(request: Any, protect: Any = Depends(CsrfProtect)) -> Any:  # noqa: B008
        token, signed = protect.generate_csrf_tokens()
        response = JSONResponse(
            {
                "user": request.session["user"],
                "notes": request.session.get("notes", []),
                "messages": request.session.pop("messages", []),
                "fields": {},
                "headers": {"X-CSRF-Token": token},
            }
        )
        protect.set_csrf_cookie(signed, response)
        return response

    async def save(
        request: Any,
        note: str = Form(),
        protect: Any = Depends(CsrfProtect),  # noqa: B008
    ) -> Any:
        await protect.validate_csrf(request)
        request.session["notes"] = [*request.session.get("notes", []), note]
        request.session["messages"] = [f"{request.session['user']} saved {note}"]
        response = RedirectResponse(request.url_for("notes"), 303)
        protect.unset_csrf_cookie(response)  # To prevent token reuse, as its README has it.
        return response

    for view in (landing, launch, notes, save):
        # FastAPI looks for annotations among the module's names, and it is imported here.
        view.__annotations__["request"] = Request
    tool.get("/landing")(landing)
    tool.get("/launch")(launch)
    tool.get("/notes", name="notes")(notes)
    tool.post("/notes")(save)
    return tool


def django() -> Any:
    """Database sessions, CSRF tokens, messages, the admin, and a view of Django REST framework's.
    ``CSRF_IN_SESSION`` keeps the token in the session."""
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application

    in_session = bool(os.environ.get("CSRF_IN_SESSION"))
    settings.configure(
        SECRET_KEY=KEY,
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="tests.frameworks.apps.sessions_django",
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "rest_framework",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        # In memory only for a server with one process and one thread, whose database that is.
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": os.environ.get("DATABASE", ":memory:"),
            }
        },
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        SESSION_COOKIE_NAME=f"{PREFIX}sessionid",
        SESSION_COOKIE_SECURE=bool(PREFIX),
        CSRF_COOKIE_NAME=f"{PREFIX}csrftoken",
        CSRF_COOKIE_SECURE=bool(PREFIX),
        CSRF_USE_SESSIONS=in_session,
        STATIC_URL="/static/",
        USE_TZ=True,
    )
    django.setup()
    application = get_wsgi_application()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    User.objects.create_superuser(ADMIN, "s@x.test", PASSWORD)
    return application


_TOOL = os.environ.get("TOOL")
if _TOOL in ("flask", "django"):
    app: Any = LTIAASMiddleware({"flask": flask, "django": django}[_TOOL]())
elif _TOOL:
    app = AsyncMiddleware({"starlette": starlette, "fastapi": fastapi}[_TOOL]())
