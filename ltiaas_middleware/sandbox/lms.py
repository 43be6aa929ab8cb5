"""The LMS that a browser sees: its addresses, and what each does. How they look is `pages`'
business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from werkzeug import Request, Response

from . import errors, pages, registering
from .faults import OPTIONS
from .platforms import Unregistered
from .tokens import InvalidToken
from .world import Course, Seat

if TYPE_CHECKING:
    from .app import Sandbox

DEEP_LINKING_RETURN = "/lms/deep-linking/return"
_HANDSHAKE = "sandbox_launch"


def answer(sandbox: Sandbox, request: Request, path: str) -> Response:
    """The answer to one request for a page."""
    route = _ROUTES.get((request.method if request.method != "HEAD" else "GET", path))
    if route is None:
        known = any(known_path == path for _, known_path in _ROUTES)
        return page(
            pages.problem(
                "There is no such page",
                f"The sandbox has nothing at {path} for {request.method}.",
            ),
            405 if known else 404,
        )
    try:
        return route(sandbox, request)
    except ValueError as error:
        return page(pages.problem("That cannot be launched", str(error)), 400)


def page(document: str, status: int = 200) -> Response:
    """A page that nobody may cache."""
    return Response(document, status, {"Cache-Control": "no-store"}, mimetype="text/html")


def see_other(location: str) -> Response:
    """On to a page, after a form."""
    return Response("", 303, {"Location": location})


def _home(sandbox: Sandbox, request: Request) -> Response:
    course = _course(sandbox, request)
    content = sandbox.content_items(course.id)
    found = sandbox.platforms.registration_of(course.platform)
    return page(pages.home(sandbox.world, course, sandbox.tool, content, found))


def _frame(sandbox: Sandbox, request: Request) -> Response:
    seat = _seat(sandbox, request)
    return page(pages.frame(seat, "/lms/launch?" + urlencode(_choice(seat, request))))


def _launch(sandbox: Sandbox, request: Request) -> Response:
    seat = _seat(sandbox, request)
    # The LMS opens the content item's own address; its query is the tool's, and is kept as it is.
    origin = sandbox.origin_for(request)
    own = quote(request.values.get("query", "").lstrip("?"), safe="!$%&'()*+,-./:;=?@_~")
    query = "&".join(
        filter(None, [own, f"{_HANDSHAKE}={sandbox.launches.handshake(seat, origin)}"])
    )
    return Response("", 302, {"Location": f"/lti/launch?{query}", "Cache-Control": "no-store"})


def _lti_launch(sandbox: Sandbox, request: Request) -> Response:
    parts = request.environ["QUERY_STRING"].split("&")
    tokens = [part for part in parts if part.startswith(f"{_HANDSHAKE}=")]
    try:
        seat, origin = sandbox.launches.of_handshake(tokens[0].partition("=")[2] if tokens else "")
    except InvalidToken:
        raise ValueError(
            "A launch starts from a course: open an activity on the LMS's first page."
        ) from None
    query = "&".join(part for part in parts if part not in tokens)
    try:
        ltik = sandbox.launches.issue(seat, origin)
    except Unregistered:
        # As LTIAAS does: raw JSON in the LMS's frame. The tool is never reached.
        return errors.unregistered().response()
    location = sandbox.launch_url(ltik, query)
    return Response("", 302, {"Location": location, "Cache-Control": "no-store"})


def _deep_linking_return(sandbox: Sandbox, request: Request) -> Response:
    try:
        message = sandbox.launches.deep_linking_message(request.form.get("JWT", ""))
    except InvalidToken:
        return page(
            pages.problem(
                "The LMS does not accept this",
                "The form carries no deep-linking message of this sandbox, or an old one.",
                embedded=True,
            ),
            400,
        )
    claim = "https://purl.imsglobal.org/spec/lti-dl/claim/"
    course = sandbox.world.seat(message[f"{claim}data"]).course
    items: list[dict[str, Any]] = message[f"{claim}content_items"]
    sandbox.add_content_items(course.id, items)
    said = {
        name: message[f"{claim}{name}"]
        for name in ("msg", "log", "errormsg", "errorlog")
        if f"{claim}{name}" in message
    }
    return page(pages.deep_linking_return(course, items, said))


def _return(sandbox: Sandbox, request: Request) -> Response:
    names = ("lti_msg", "lti_log", "lti_errormsg", "lti_errorlog")
    return page(
        pages.returned({name: request.args[name] for name in names if name in request.args})
    )


def _gradebook(sandbox: Sandbox, request: Request) -> Response:
    course = _course(sandbox, request)
    columns = [
        (item.document(), sandbox.gradebook.column(item))
        for item in sandbox.gradebook.items(course)
    ]
    return page(pages.gradebook(sandbox.world, course, columns))


def _faults(sandbox: Sandbox, request: Request) -> Response:
    return page(pages.faults([fault.document() for fault in sandbox.faults]))


def _add_fault(sandbox: Sandbox, request: Request) -> Response:
    form = request.form
    name = form.get("name", "")
    options: dict[str, Any] = {}
    try:
        for option in OPTIONS.get(name, {}):
            text = form.get(option, "").strip()
            if not text:
                continue
            if option == "location":
                options[option] = text
            else:
                options[option] = int(text) if option == "status" else float(text)
        times = form.get("times", "").strip()
        sandbox.faults.switch_on(
            {
                "name": name,
                "endpoint": form.get("endpoint", "").strip() or None,
                "times": int(times) if times else None,
                **options,
            }
        )
    except ValueError as error:
        active = [fault.document() for fault in sandbox.faults]
        return page(pages.faults(active, problem=str(error)), 400)
    return see_other("/lms/faults")


def _end_faults(sandbox: Sandbox, request: Request) -> Response:
    sandbox.faults.end(request.form.get("name") or None)
    return see_other("/lms/faults")


def _journal(sandbox: Sandbox, request: Request) -> Response:
    return page(pages.journal(list(sandbox.journal)))


def _clear_journal(sandbox: Sandbox, request: Request) -> Response:
    sandbox.journal.clear()
    return see_other("/lms/journal")


def _course(sandbox: Sandbox, request: Request) -> Course:
    return sandbox.world.seat(request.args.get("course") or None).course


def _seat(sandbox: Sandbox, request: Request) -> Seat:
    values = request.values
    return sandbox.world.seat(
        values.get("course") or None,
        values.get("activity") or None,
        values.get("user") or None,
        values.get("deep_linking", "").lower() in ("1", "true", "on", "yes"),
    )


def _choice(seat: Seat, request: Request) -> dict[str, str]:
    choice = {"course": seat.course.id, "user": seat.user.id}
    if seat.activity:
        choice["activity"] = seat.activity.id
    if seat.deep_linking:
        choice["deep_linking"] = "1"
    if request.values.get("query"):
        choice["query"] = request.values["query"]
    return choice


_ROUTES = {
    ("GET", "/"): _home,
    ("GET", "/lms/frame"): _frame,
    ("GET", "/lms/launch"): _launch,
    ("POST", "/lms/launch"): _launch,
    ("GET", "/lti/launch"): _lti_launch,
    ("POST", DEEP_LINKING_RETURN): _deep_linking_return,
    ("GET", "/lms/return"): _return,
    ("GET", "/lms/gradebook"): _gradebook,
    ("GET", "/lms/faults"): _faults,
    ("POST", "/lms/faults"): _add_fault,
    ("POST", "/lms/faults/end"): _end_faults,
    ("GET", "/lms/journal"): _journal,
    ("POST", "/lms/journal/clear"): _clear_journal,
    **registering.ROUTES,
}
