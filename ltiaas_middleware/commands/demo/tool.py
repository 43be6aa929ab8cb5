"""The demo tool: a plain WSGI app that works inside launches, and stores nothing between requests.

Every URL on its pages begins with ``SCRIPT_NAME``, which has the launch path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from jinja2 import Environment, PackageLoader, select_autoescape
from werkzeug import Request, Response

from ...api.content_items import ContentItem
from ...api.exchange import RetryPolicy
from ...api.scores import Score
from ...api.session import ApiSession
from ...errors import ApiError, LmsError
from ...launch import Launch, current_launch, require_launch

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

T = TypeVar("T")
# What a teacher can add to a course by deep linking: title by key.
_CONTENT = {
    "warm-up": "Warm-up: five quick questions",
    "reading": "Reading: a chapter with notes",
    "exam": "Practice exam",
}
# The tool's own cookie, which counts the pages of a launch.
_OPENED = "opened"
# So short that a fault of the sandbox shows as a message on the page, which a person waits for.
_LIMITS = RetryPolicy(timeout=5, read_timeout=4, attempts=1)
_NO_ROSTER = "The LMS does not share its roster with this activity."
_NO_GRADES = "The LMS does not record grades for this activity."
_HEADERS = {
    "Cache-Control": "no-store",
    # Neither X-Frame-Options nor frame-ancestors: an LMS may show it in an iframe.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; "
    "style-src 'unsafe-inline'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
}
_PAGES = Environment(loader=PackageLoader(__package__), autoescape=select_autoescape(["html"]))


def _page(name: str, status: int = 200, **shown: Any) -> Response:
    text = _PAGES.get_template(name).render(shown)
    return Response(text, status, _HEADERS, mimetype="text/html")


class DemoTool:
    """The tool's WSGI app. It sends users who open it without a launch to ``lms``."""

    def __init__(self, lms: str = "") -> None:
        self._lms = lms

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request."""
        views = {
            "GET /": self._home,
            "GET /launch": self._activity,
            "POST /score": self._score,
            "POST /content": self._content,
        }
        request = Request(environ)
        view = views.get(f"{request.method} {request.path}")
        response = view(request) if view else _page("not_found.html", 404)
        return response(environ, start_response)

    def _home(self, request: Request) -> Response:
        if current_launch() is not None:
            return Response("", 303, {"Location": f"{request.root_path}/launch"})
        return _page("home.html", lms=self._lms)

    def _activity(self, request: Request, problem: str = "", status: int = 200) -> Response:
        launch = require_launch()
        shown = {"root": request.root_path, "problem": problem, "launch": launch}
        if launch.id_token.services.deep_linking.available:
            return _page("choose.html", status, content=_CONTENT, **shown)
        opened = request.cookies.get(_OPENED, 0, type=int) + 1
        shown |= {"form": request.form, "sent": "sent" in request.args, "opened": opened}
        page = _page("activity.html", status, **shown, **_services(launch))
        # As most frameworks set a session's cookie: the middleware makes it belong to the launch.
        page.set_cookie(_OPENED, str(opened), httponly=True, samesite="Lax")
        return page

    def _score(self, request: Request) -> Response:
        launch = require_launch()
        given = request.form.get("score", type=float)
        if given is None or not 0 <= given <= 100:
            return self._activity(request, "The score must be a number from 0 to 100.", 400)
        line_item = launch.id_token.services.assignment_and_grades.line_item_id
        if line_item is None:
            return self._activity(request, _NO_GRADES, 409)
        # A teacher chooses whom a score is for; anyone else's score is their own.
        learner = request.form.get("learner") if launch.has_role("Instructor") else None
        score = Score(
            user_id=learner or launch.user_id,
            score_given=given,
            score_maximum=100,
            comment=request.form.get("comment", "").strip() or None,
        )
        _, problem = _ask(launch, lambda api: api.submit_score(line_item, score))
        if problem:
            return self._activity(request, f"Not saved. {problem}", 502)
        # So that a reload does not send it again (RFC 9110 section 15.4.4).
        return Response("", 303, {"Location": f"{request.root_path}/launch?sent"})

    def _content(self, request: Request) -> Response:
        launch = require_launch()
        chosen = request.form.get("item", "")
        if chosen not in _CONTENT:
            return self._activity(request, "Choose one of these.", 400)
        item = ContentItem(title=_CONTENT[chosen], url=launch.launch_url(resource=chosen))
        made, problem = _ask(launch, lambda api: api.deep_linking_message([item]))
        if made is None:
            return self._activity(request, problem, 502)
        return _page("hand_over.html", launch=launch, item=item, made=made)


def _services(launch: Launch) -> dict[str, Any]:
    """``members`` of the course and ``results`` by user id; or None for them, and a problem."""
    services = launch.id_token.services
    members, results, roster_problem, grades_problem = None, None, _NO_ROSTER, _NO_GRADES
    if services.names_and_roles_available:
        members, roster_problem = _ask(launch, lambda api: list(api.members()))
    line_item = services.assignment_and_grades.line_item_id
    if line_item is not None:
        # A learner's page asks for the learner's own result and for nobody else's.
        only = None if launch.has_role("Instructor") else launch.user_id
        found, grades_problem = _ask(launch, lambda api: list(api.scores(line_item, user_id=only)))
        results = None if found is None else {result.user_id: result for result in found}
    problems = {"roster_problem": roster_problem, "grades_problem": grades_problem}
    return {"members": members, "results": results, "graded": line_item is not None, **problems}


def _ask(launch: Launch, call: Callable[[ApiSession], T]) -> tuple[T | None, str]:
    """What a call gives, or None and the problem."""
    try:
        with ApiSession(launch.credential, _LIMITS) as api:
            return call(api), ""
    except ApiError as error:
        whose = (
            f"The LMS responded with {error.status}" if isinstance(error, LmsError) else "LTIAAS"
        )
        words = error.lms_message or error.description
        return None, f"Not available right now. {whose}: {words}"
