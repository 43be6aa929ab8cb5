"""The LMS's web interface: its URLs, and what each does. `pages` and the templates define how it
looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from werkzeug import Request, Response

from . import errors, registering
from .bodies import without_nulls
from .claims import DEEP_LINKING, offers_grades, offers_roster
from .faults import KINDS, value_of
from .pages import found, page, see_other
from .platforms import Unregistered
from .roles import ROLES
from .tokens import InvalidToken
from .urls import kept_query
from .world import Course, Seat

if TYPE_CHECKING:
    from .app import Sandbox
    from .content import Added

DEEP_LINKING_RETURN = "/lms/deep-linking/return"
_HANDSHAKE = "sandbox_launch"


def answer(sandbox: Sandbox, request: Request, path: str) -> Response:
    route = _ROUTES.get((request.method if request.method != "HEAD" else "GET", path))
    if route is None:
        known = any(known_path == path for _, known_path in _ROUTES)
        text = f"The sandbox has no page {path} for {request.method}."
        return page("problem", "Page not found", "", status=405 if known else 404, text=text)
    try:
        return route(sandbox, request)
    except ValueError as error:
        return page("problem", "This cannot be launched", "", status=400, text=str(error))


def _home(sandbox: Sandbox, request: Request) -> Response:
    course = _course(sandbox, request)
    return page(
        "home",
        course.title,
        "/",
        world=sandbox.world,
        course=course,
        chosen=request.args.get("activity"),
        tool=sandbox.tool,
        shelf=sandbox.content.of(course),
        registration=sandbox.platforms.registration_of(course.platform),
        roles=ROLES,
        offered={
            "Roster": offers_roster(course),
            "Grades": offers_grades(course),
            "Deep linking": course.platform.deep_linking,
        },
    )


def _frame(sandbox: Sandbox, request: Request) -> Response:
    seat = _seat(sandbox, request)
    choice = [(name, value) for name, value in request.values.items(multi=True) if value]
    title = seat.activity.title if seat.activity else "Choose content"
    source = "/lms/launch?" + urlencode(choice)
    return page("frame", title, "/", wide=True, seat=seat, source=source)


def _launch(sandbox: Sandbox, request: Request) -> Response:
    seat = _seat(sandbox, request)
    # The LMS opens the content item's own URL; its query is the tool's, and is kept as it is.
    extra = kept_query(request.values.get("query", ""))
    own = seat.activity.query if seat.activity else ""
    handshake = sandbox.launches.handshake(seat, sandbox.origin_for(request))
    query = "&".join(filter(None, [own, extra, f"{_HANDSHAKE}={handshake}"]))
    path = "/lti/legacy/launch" if seat.platform.legacy else "/lti/launch"
    return found(f"{path}?{query}")


def _lti_launch(sandbox: Sandbox, request: Request) -> Response:
    parts = request.environ["QUERY_STRING"].split("&")
    tokens = [part for part in parts if part.startswith(f"{_HANDSHAKE}=")]
    try:
        seat, origin = sandbox.launches.of_handshake(tokens[0].partition("=")[2] if tokens else "")
    except InvalidToken:
        raise ValueError(
            "A launch starts in a course. Open an activity from the LMS's first page."
        ) from None
    query = "&".join(part for part in parts if part not in tokens)
    try:
        ltik = sandbox.launches.issue(seat, origin)
    except Unregistered:
        # As LTIAAS does: raw JSON in the LMS's frame. The tool is never reached.
        return errors.unregistered().response()
    return found(sandbox.launch_url(ltik, query))


def receive_content(sandbox: Sandbox, token: str) -> tuple[Course, list[Added], dict[str, Any]]:
    """Add a deep-linking message's items to its course. Returns the course, the added items, and
    the tool's message. Raises `InvalidToken` for an invalid or expired message.
    """
    message = sandbox.launches.deep_linking_message(token)
    course = sandbox.world.seat(message[f"{DEEP_LINKING}data"]).course
    items: list[dict[str, Any]] = message[f"{DEEP_LINKING}content_items"]
    names = ("msg", "log", "errormsg", "errorlog")
    said = without_nulls({name: message.get(f"{DEEP_LINKING}{name}") for name in names})
    # errormsg and errorlog say that the tool could not complete the choice (`wire.md`).
    rejected = any(name.startswith("error") for name in said)
    return course, [] if rejected else sandbox.content.add(course, items), said


def _deep_linking_return(sandbox: Sandbox, request: Request) -> Response:
    try:
        course, shelf, said = receive_content(sandbox, request.form.get("JWT", ""))
    except InvalidToken:
        text = "The form has no deep-linking message from this sandbox, or one that expired."
        return page("problem", "The LMS rejected this", status=400, text=text)
    return page("deep_linking_return", "Content chosen", course=course, shelf=shelf, said=said)


def _return(sandbox: Sandbox, request: Request) -> Response:
    names = ("lti_msg", "lti_log", "lti_errormsg", "lti_errorlog")
    said = without_nulls({name: request.args.get(name) for name in names})
    return page("returned", "Back in the LMS", said=said)


def _gradebook(sandbox: Sandbox, request: Request) -> Response:
    course, gradebook = _course(sandbox, request), sandbox.gradebook
    columns = [(item.document(), gradebook.column(item)) for item in gradebook.items(course)]
    shown: dict[str, Any] = {"world": sandbox.world, "course": course, "columns": columns}
    return page("gradebook", "Gradebook", "/lms/gradebook", **shown)


def _faults(sandbox: Sandbox, problem: str | None = None) -> Response:
    options: dict[str, list[str]] = {}
    for name, kind in KINDS.items():
        for option in kind.options:
            options.setdefault(option, []).append(name)
    shown: dict[str, Any] = {"active": list(sandbox.faults), "kinds": KINDS, "options": options}
    status = 400 if problem else 200
    return page("faults", "Faults", "/lms/faults", status, problem=problem, **shown)


def _add_fault(sandbox: Sandbox, request: Request) -> Response:
    form = {name: text.strip() for name, text in request.form.items() if text.strip()}
    kind = KINDS.get(form.get("name", ""))
    settings: dict[str, Any] = {name: form[name] for name in ("name", "endpoint") if name in form}
    numbers = ("times", *(kind.options if kind else ()))
    settings |= {name: value_of(form[name]) for name in numbers if name in form}
    try:
        sandbox.faults.switch_on(settings)
    except ValueError as error:
        return _faults(sandbox, str(error))
    return see_other("/lms/faults")


def _end_faults(sandbox: Sandbox, request: Request) -> Response:
    sandbox.faults.end(request.form.get("name") or None)
    return see_other("/lms/faults")


def _api_log(sandbox: Sandbox, request: Request) -> Response:
    entries = list(sandbox.api_log)[::-1]
    return page("api_log", "API log", "/lms/api-log", wide=True, entries=entries)


def _clear_api_log(sandbox: Sandbox, request: Request) -> Response:
    sandbox.api_log.clear()
    return see_other("/lms/api-log")


def _course(sandbox: Sandbox, request: Request) -> Course:
    return sandbox.world.seat(request.args.get("course") or None).course


def _seat(sandbox: Sandbox, request: Request) -> Seat:
    values = request.values
    seat = sandbox.world.seat(
        values.get("course") or None,
        values.get("activity") or None,
        values.get("user") or None,
        values.get("deep_linking", "").lower() in ("1", "true", "on", "yes"),
    )
    roles = " ".join(values.getlist("roles")).replace(",", " ").split()
    custom = {}
    for line in filter(str.strip, values.get("custom", "").splitlines()):
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"Write each custom parameter as a line name=value, not {line!r}.")
        custom[name.strip()] = value.strip()
    return seat.changed(roles or None, custom or None)


_ROUTES = {
    ("GET", "/"): _home,
    ("GET", "/lms/frame"): _frame,
    ("GET", "/lms/launch"): _launch,
    ("POST", "/lms/launch"): _launch,
    ("GET", "/lti/launch"): _lti_launch,
    ("GET", "/lti/legacy/launch"): _lti_launch,
    ("POST", DEEP_LINKING_RETURN): _deep_linking_return,
    ("GET", "/lms/return"): _return,
    ("GET", "/lms/gradebook"): _gradebook,
    ("GET", "/lms/faults"): lambda sandbox, request: _faults(sandbox),
    ("POST", "/lms/faults"): _add_fault,
    ("POST", "/lms/faults/end"): _end_faults,
    ("GET", "/lms/api-log"): _api_log,
    ("POST", "/lms/api-log/clear"): _clear_api_log,
    **registering.ROUTES,
}
