"""The web app: ``flask --app tests.tools.extra_time.app run``."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from authlib.integrations.flask_client import OAuth, OAuthError
from flask import Blueprint, Flask, current_app, flash, redirect, render_template, request, url_for
from flask_wtf import CSRFProtect
from redis import Redis
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job

from ltiaas_middleware import Launch, require_launch
from ltiaas_middleware.wsgi import LTIAASMiddleware

from . import jobs
from .storage import Storage

TEACHERS = ("Instructor", "TeachingAssistant")
ADMINISTRATORS = (
    "http://purl.imsglobal.org/vocab/lis/v2/institution/person#Administrator",
    "http://purl.imsglobal.org/vocab/lis/v2/system/person#SysAdmin",
)

pages = Blueprint("pages", __name__)
csrf = CSRFProtect()


def create_app() -> Flask:
    """The app, whose settings come from the environment."""
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=os.environ["SECRET_KEY"],
        STORAGE=Storage(os.environ["DATABASE_URL"]),
        REDIS=Redis.from_url(os.environ["REDIS_URL"]),
    )
    # What a browser and what this server call Canvas.
    canvas, back_channel = os.environ["CANVAS_URL"], os.environ["CANVAS_API_URL"]
    oauth = OAuth(app)
    oauth.register(
        "canvas",
        client_id="extra-time",
        client_secret="a secret of the developer key",
        authorize_url=f"{canvas}/login/oauth2/auth",
        access_token_url=f"{back_channel}/login/oauth2/token",
        client_kwargs={"token_endpoint_auth_method": "client_secret_post"},
    )
    app.config["CANVAS"] = oauth.canvas
    csrf.init_app(app)
    app.register_blueprint(pages)
    app.wsgi_app = LTIAASMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, exclude=["/static", "/health"], callbacks=["/oauth/callback"]
    )
    return app


@pages.get("/health")
def health() -> str:
    return "ok"


@pages.get("/launch")
def home() -> Any:
    launch = require_launch()
    if launch.has_role(*TEACHERS):
        return _roster(launch)
    if launch.has_role("Learner"):
        percent = _storage().percent(_course(launch), launch.user_id)
        return render_template("student.html", launch=launch, percent=percent)
    if set(ADMINISTRATORS) & set(launch.id_token.user.roles):
        platform_id = launch.global_user_id.platform_id
        return render_template("admin.html", launch=launch, courses=_storage().courses(platform_id))
    return render_template("nobody.html", launch=launch), 403


def _roster(launch: Launch) -> str:
    given = _storage().given(_course(launch))
    students = [one for one in launch.api.members() if "Learner" in str(one.roles)]
    token = _storage().token(launch.global_user_id)
    return render_template(
        "roster.html", launch=launch, students=students, given=given, is_connected=token is not None
    )


@pages.post("/extensions")
def extend() -> Any:
    """Queue what the teacher chose, and lead to the page that watches the job."""
    launch = require_launch()
    launch.require_role(*TEACHERS)
    percent, users = request.form.get("percent", type=int), request.form.getlist("user")
    if percent is None or not 0 <= percent <= 200 or not users:
        flash("Choose students, and from 0 to 200 percent.")
        return redirect(url_for(".home"))
    if _storage().token(launch.global_user_id) is None:
        flash("Connect to Canvas first.")
        return redirect(url_for(".home"))
    course = launch.id_token.launch.custom["canvas_course_id"]
    arguments = (launch.activity_key, launch.global_user_id, course, users, percent)
    job = _queue().enqueue(jobs.extend, *arguments, meta={"course": _course(launch)})
    return redirect(url_for(".watch", id=job.id))


@pages.get("/jobs/<id>")
def watch(id: str) -> str:
    launch = require_launch()
    launch.require_role(*TEACHERS)
    return render_template("job.html", launch=launch, id=id)


@pages.get("/api/jobs/<id>")
def job(id: str) -> Any:
    """For the script of the job's page, which asks for it by an absolute path."""
    launch = require_launch()
    launch.require_role(*TEACHERS)
    try:
        found = Job.fetch(id, connection=_redis())
    except NoSuchJobError:
        return {"status": "unknown"}, 404
    if found.meta.get("course") != _course(launch):
        return {"status": "unknown"}, 404
    return {"status": found.get_status(), "result": found.return_value()}


@pages.post("/confirm")
def confirm() -> Any:
    launch = require_launch()
    launch.require_role("Learner")
    now = datetime.now(timezone.utc).isoformat()
    _queue().enqueue(jobs.confirm, launch.activity_key, launch.user_id, now)
    flash("Your teacher will see that you have read this.")
    return redirect(url_for(".home"))


@pages.get("/canvas/connect")
def connect() -> Any:
    launch = require_launch()
    launch.require_role(*TEACHERS)
    return current_app.config["CANVAS"].authorize_redirect(launch.outside_url("/oauth/callback"))


@pages.get("/oauth/callback")
def connected() -> Any:
    launch = require_launch()
    try:
        token = current_app.config["CANVAS"].authorize_access_token()
    except OAuthError as error:
        return render_template("nobody.html", launch=launch, problem=error.error), 400
    _storage().keep_token(launch.global_user_id, token)
    flash("You are connected to Canvas.")
    return redirect(url_for(".home"))


def _course(launch: Launch) -> str:
    return "/".join(map(str, launch.activity_key[:2]))


def _storage() -> Storage:
    return current_app.config["STORAGE"]


def _redis() -> Redis:
    return current_app.config["REDIS"]


def _queue() -> Queue:
    return Queue(connection=_redis())
