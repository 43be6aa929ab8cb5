"""The demo tool: a plain WSGI app that lives inside launches.

It holds nothing between requests: who is there comes from ``require_launch()``, all else from
LTIAAS. Every address on its pages begins with ``SCRIPT_NAME``, into which the middleware has moved
the launch's own path; so two tabs with two launches never get into each other's way.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from werkzeug import Request, Response
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from ...api.content_items import ContentItem
from ...api.exchange import Limits
from ...api.gradebook import Score
from ...api.session import ApiSession
from ...errors import (
    ApiError,
    ApiKeyRejected,
    LaunchExpired,
    LaunchRequired,
    RateLimited,
    ServiceUnavailableForContext,
    UpstreamError,
)
from ...launch import Launch, current_launch, require_launch
from . import pages
from .pages import Form, Gradebook, Roster

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["CONTENT", "DemoTool"]

#: What a teacher can put into a course by deep linking: (key, title).
CONTENT = (
    ("warm-up", "Warm-up: five quick questions"),
    ("reading", "Reading: a chapter with notes"),
    ("exam", "Practice exam"),
)
# The tool's own cookie, which counts the pages of a launch.
_OPENED = "opened"
_URLS = Map(
    [
        Rule("/", endpoint="home", methods=["GET"]),
        Rule("/launch", endpoint="launch", methods=["GET"]),
        Rule("/score", endpoint="score", methods=["POST"]),
        Rule("/content", endpoint="content", methods=["POST"]),
        Rule("/style.css", endpoint="style", methods=["GET"]),
    ],
    merge_slashes=False,
)


class _Request(Request):
    # Forms of a few fields: more is nobody's honest score.
    max_content_length = 65_536
    max_form_memory_size = 65_536


class DemoTool:
    """The tool's WSGI app, to be wrapped in ``wsgi.LTIAASMiddleware``.

    Args:
        lms: the address to send someone to who opens the tool without a launch.
        patience: seconds that one page waits for LTIAAS altogether.
    """

    def __init__(self, lms: str = "", patience: float = 8.0) -> None:
        self._lms = lms
        self._patience = patience

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = _Request(environ)
        try:
            name, _ = _URLS.bind_to_environ(environ).match()
            response: Response = getattr(self, f"_{name}")(request)
        except LaunchRequired:
            raise  # The middleware has the page for it.
        except HTTPException as error:
            text = pages.problem(request.script_root, error.name, error.description or "")
            response = _page(text, error.code or 500)
        return response(environ, start_response)

    def _home(self, request: Request) -> Response:
        if current_launch() is not None:
            return Response("", 303, {"Location": f"{request.script_root}/launch"})
        return _page(pages.home(request.script_root, self._lms))

    def _style(self, request: Request) -> Response:
        headers = {"Cache-Control": "max-age=300", "X-Content-Type-Options": "nosniff"}
        return Response(pages.STYLE, 200, headers, mimetype="text/css")

    def _launch(self, request: Request) -> Response:
        return self._show(request, sent=request.args.get("sent") == "1")

    def _show(
        self, request: Request, form: Form | None = None, status: int = 200, sent: bool = False
    ) -> Response:
        launch = require_launch()
        root = request.script_root
        if launch.id_token.services.deep_linking.available:
            return _page(pages.choose(root, launch, CONTENT, form), status)
        # For both together: a slow LTIAAS makes a page with gaps, not one that never comes.
        until = time.monotonic() + self._patience
        roster = _roster(launch, until)
        gradebook = _gradebook(launch, until)
        opened = _opened_before(request) + 1
        text = pages.activity(root, launch, roster, gradebook, form or Form(sent=sent), opened)
        page = _page(text, status)
        # As most frameworks set a session's cookie: the middleware makes it belong to the launch.
        page.set_cookie(_OPENED, str(opened), httponly=True, samesite="Lax")
        return page

    def _score(self, request: Request) -> Response:
        launch = require_launch()
        given = request.form.get("score", "").strip()
        learner = request.form.get("learner", "")
        comment = request.form.get("comment", "").strip()
        # Whom a score is for is a teacher's to choose; anyone else's form is not even read.
        teaches = launch.has_role("Instructor")
        user_id = (teaches and learner) or launch.user_id
        form = Form(score=given, learner=learner, comment=comment)
        number = _number(given)
        if number is None:
            problem = "A score is a number from 0 to 100."
            return self._show(request, form.with_problem(problem), 400)
        line_item = launch.id_token.services.assignment_and_grades.line_item_id
        if line_item is None:
            problem = "The LMS keeps no grades for this activity."
            return self._show(request, form.with_problem(problem), 409)
        score = Score(
            user_id=user_id, score_given=number, score_maximum=100, comment=comment or None
        )
        try:
            with _api(launch, time.monotonic() + self._patience) as api:
                api.submit_score(line_item, score)
        except ApiError as error:
            return self._show(request, form.with_problem(f"Not saved. {_why(error)}"), 502)
        # So that a reload does not send it again (RFC 9110 section 15.4.4).
        return Response("", 303, {"Location": f"{request.script_root}/launch?sent=1"})

    def _content(self, request: Request) -> Response:
        launch = require_launch()
        titles = dict(CONTENT)
        chosen = request.form.get("item", "")
        if chosen not in titles:
            return self._show(request, Form(problem="Choose one of these."), 400)
        item = ContentItem(title=titles[chosen], url=launch.launch_url(resource=chosen))
        try:
            with _api(launch, time.monotonic() + self._patience) as api:
                made = api.deep_linking_message([item], message=f"{titles[chosen]} was added.")
        except ApiError as error:
            return self._show(request, Form(problem=_why(error)), 502)
        if not made.target.startswith(("https://", "http://")):
            problem = "LTIAAS named no web address to bring the content to."
            return self._show(request, Form(problem=problem), 502)
        root = request.script_root
        text = pages.hand_over(root, launch, titles[chosen], made.target, made.message)
        return _page(text, form_target=made.target)


def _opened_before(request: Request) -> int:
    try:
        return max(0, min(int(request.cookies.get(_OPENED, "0")), 999))
    except ValueError:
        return 0


def _page(text: str, status: int = 200, form_target: str = "") -> Response:
    """A page that an LMS may frame: no ``X-Frame-Options``, no ``frame-ancestors``."""
    policy = (
        "default-src 'none'; style-src 'self' 'unsafe-inline'; base-uri 'none'; "
        f"form-action 'self' {pages.origin(form_target)}"
    )
    return Response(
        text,
        status,
        {
            "Cache-Control": "no-store",
            "Content-Security-Policy": policy.strip(),
            "X-Content-Type-Options": "nosniff",
        },
        mimetype="text/html",
    )


def _api(launch: Launch, until: float) -> ApiSession:
    """``launch.api``, with less patience than a tool should have that nobody looks at."""
    left = until - time.monotonic()
    if left <= 0:
        raise UpstreamError("the calls before took too long")
    return ApiSession(launch.credential, Limits(deadline=left, read_timeout=5, attempts=1))


def _roster(launch: Launch, until: float) -> Roster:
    if not launch.id_token.services.names_and_roles_available:
        return Roster(problem="The LMS does not share its roster with this activity.")
    try:
        with _api(launch, until) as api:
            return Roster(offered=True, members=tuple(api.members()))
    except ApiError as error:
        return Roster(offered=True, problem=f"The roster is not there just now. {_why(error)}")


def _gradebook(launch: Launch, until: float) -> Gradebook:
    grades = launch.id_token.services.assignment_and_grades
    if not grades.available or grades.line_item_id is None:
        return Gradebook(problem="The LMS keeps no grades for this activity.")
    # A learner's page asks for the learner's own result and for nobody else's.
    only = None if launch.has_role("Instructor") else launch.user_id
    try:
        with _api(launch, until) as api:
            results = {
                result.user_id: (result.score, result.maximum)
                for result in api.scores(grades.line_item_id, user_id=only)
            }
    except ApiError as error:
        problem = f"The gradebook is not there just now. {_why(error)}"
        return Gradebook(offered=True, problem=problem)
    return Gradebook(offered=True, results=results)


def _why(error: ApiError) -> str:
    """What went wrong, in words for a teacher (wire.md, "Errors")."""
    if isinstance(error, ServiceUnavailableForContext):
        return "The LMS does not offer this here."
    if isinstance(error, ApiKeyRejected):
        return "LTIAAS does not accept this tool's API key. Please tell who runs the tool."
    if isinstance(error, LaunchExpired):
        return "This launch is over. Open the activity again from your course."
    if isinstance(error, RateLimited):
        return "LTIAAS is asked too much just now. Try again in a moment."
    if isinstance(error, UpstreamError):
        return f"LTIAAS does not answer as it should just now ({error.description})."
    return f"LTIAAS says: {error.description}"


def _number(text: str) -> float | None:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    if not math.isfinite(number) or not 0 <= number <= 100:
        return None
    return int(number) if number.is_integer() else number
