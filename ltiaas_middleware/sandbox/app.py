"""The sandbox itself: a WSGI app that is an LTIAAS account and an LMS at once."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from werkzeug import Request

from . import answering, control, guard, lms
from .answering import BoundedRequest
from .api_log import ApiLog
from .content import Content
from .errors import ApiError
from .faults import Faults, read_faults
from .gradebook import Gradebook, LineItem
from .launches import Launches, changed
from .platforms import Platforms
from .registrations import Registrations
from .tokens import InvalidToken, Mint
from .urls import checked_url, kept_query, raw_path, with_query
from .world import World
from .world_file import default_world

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

DEFAULT_API_KEY = "5a4d0b0c-1111-4000-8000-a11ce5a4db0c"
"""The API key of a sandbox that is given none: well known, and worth nothing anywhere else."""

DEFAULT_TOOL = "http://127.0.0.1:8000/launch"

_MESSAGE = re.compile(r'name="JWT" value="([^"]*)"')


class Sandbox:
    """A local LTIAAS account with an LMS. Also a WSGI app, to be served by `SandboxServer`.

    - `tool`: the tool's launch URL, to which launches are redirected. May be set at any time.
    - `api_key`: of the account. All signing keys derive from it, so after a restart with the same
      key, earlier launches are still valid.
    - `clock`: seconds since the epoch; tests put their own in to reach the end of a launch.
    - `world`: people, courses and platforms, `World.from_toml("school.toml")` for example. The
      sandbox copies it, with its settings for what is not given here.
    - `empty`: True starts with an account in which no LMS is registered.
    - `pre_approval`: the tool's page that dynamic registration sends the browser to; None completes
      registrations without one. May be set at any time.

    Everything here may be called from any thread while the sandbox is being served.
    """

    def __init__(
        self,
        *,
        tool: str | None = None,
        api_key: str = DEFAULT_API_KEY,
        clock: Callable[[], float] = time.time,
        world: World | None = None,
        empty: bool | None = None,
        pre_approval: str | None = None,
    ) -> None:
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise ValueError("api_key is printable ASCII without spaces")
        self.api_key, self.clock = api_key, clock
        self.world = (world or default_world()).copy()
        settings = {"tool": DEFAULT_TOOL, "empty": False, **self.world.settings}
        self.gradebook = Gradebook(self.world)
        self.content = Content(self.gradebook)
        self.api_log = ApiLog(api_key)
        self.faults = Faults()
        for fault in read_faults(settings.get("faults", ())):
            self.faults.switch_on(fault)
        empty = settings["empty"] if empty is None else empty
        self.platforms = Platforms(() if empty else self.world.platforms)
        self.registrations = Registrations(self.platforms)
        self.own_hosts: set[str] = set()
        """What `Host` may say; the server fills it in."""
        self.public_url: str | None = None
        """The origin to put into links, if it is not the one that a request was sent to."""
        self.tool = settings["tool"] if tool is None else tool
        self.pre_approval = pre_approval or settings.get("pre_approval")
        self.mint = Mint(api_key)
        self.launches = Launches(self.world, self.platforms, self.mint, lambda: self.clock())

    @property
    def tool(self) -> str:
        """The tool's launch URL. Setting one that is not an http(s) URL raises `ValueError`."""
        return self._tool

    @tool.setter
    def tool(self, url: str) -> None:
        self._tool = checked_url("tool", url)

    @property
    def pre_approval(self) -> str | None:
        """The tool's pre-approval page. Setting one that is not a URL raises `ValueError`."""
        return self._pre_approval

    @pre_approval.setter
    def pre_approval(self, url: str | None) -> None:
        self._pre_approval = url and checked_url("pre_approval", url)

    # Launches

    def issue(
        self,
        course: str | None = None,
        activity: str | None = None,
        user: str | None = None,
        deep_linking: bool = False,
        *,
        roles: Iterable[str] | None = None,
        custom: Mapping[str, Any] | None = None,
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        """A new ltik, as LTIAAS makes at each launch (`wire.md`, "The launch redirect").

        By default the first course's instructor launches its first activity. `roles` (URIs, or
        short forms such as `Learner` and `Instructor#TeachingAssistant`) are the user's in this
        launch alone, `custom` its custom parameters, and `claims` top-level fields of its ID token;
        one whose name is a URI is a claim of the LMS and is in the raw ID token alone. All three
        are JSON, and part of the ltik. Raises `ValueError` for a name that the world does not have,
        listing what there is, and for an LMS whose registration is missing or inactive.
        """
        roles = roles if roles is None or isinstance(roles, str) else tuple(roles)
        if isinstance(roles, str) or not all(isinstance(role, str) for role in roles or ()):
            raise ValueError("roles is a list of roles, each a URI or a bare name")
        seat = self.world.seat(course, activity, user, deep_linking)
        return self.launches.issue(changed(seat, roles, custom, claims))

    def launch_url(self, ltik: str, query: str | None = None) -> str:
        """The tool's URL as the launch redirect gives it: its own query kept, then `query` (by
        default that of the activity's link), then the ltik under its parameter's name."""
        name, own = "ltik", ""
        try:
            seat = self.launches.seat_of(ltik)
        except InvalidToken:
            pass
        else:
            name = "legacy-ltik" if seat.platform.legacy else "ltik"
            own = seat.activity.query if seat.activity else ""
        query = own if query is None else query
        return with_query(self._tool, kept_query(query), f"{name}={ltik}")

    def pre_approval_url(self, registration_id: str) -> str | None:
        """The pre-approval page's URL for a registration; None if there is no such page."""
        if self._pre_approval is None:
            return None
        return with_query(self._pre_approval, f"registrationId={registration_id}")

    def expire(self, ltik: str) -> None:
        """Put an ltik past its 24 hours. Raises `ValueError` for one that is not this sandbox's."""
        try:
            self.launches.end(ltik)
        except InvalidToken:
            raise ValueError("not an ltik of this sandbox") from None

    # Faults

    def fault(
        self, name: str, *, endpoint: str | None = None, times: int | None = None, **options: Any
    ) -> None:
        """Switch a fault on (`faults.KINDS` lists them with their options).

        `endpoint` is a prefix of the path (None: every call to the API), `times` the number of
        requests to spoil (None: until `clear_faults`). Several may be on at once: delays add up,
        and of the rest the one that was switched on first and fits comes first. Raises
        `ValueError`, listing what there is, for an unknown name or option.
        """
        self.faults.switch_on({"name": name, "endpoint": endpoint, "times": times, **options})

    def clear_faults(self) -> None:
        """End all faults. Requests that are being held up are answered."""
        self.faults.end()

    # The LMS

    def scores(
        self,
        activity: str | None = None,
        *,
        line_item: str | None = None,
        tag: str | None = None,
    ) -> dict[str, dict[str, Any]]:
        """One column of the gradebook, by user id: the last score submitted (keys as on the wire,
        None if the score left one out), how many there were (`submissions`), and the grade that a
        teacher gave by hand (`override`), if any.

        The column is an activity's first one (by default, the first activity's), the line item
        with that id, or the first with that tag. Empty if there is no such column. Raises
        `ValueError` for an activity that the world does not have.
        """
        item = self._column(activity, line_item) if tag is None else self.gradebook.tagged(tag)
        return self.gradebook.column(item) if item else {}

    def override(
        self, user: str, grade: float, activity: str | None = None, *, line_item: str | None = None
    ) -> None:
        """Give a user a grade by hand, as a teacher does, in points of the column (chosen as for
        `scores`). Raises `ValueError` if there is no such column."""
        item = self._column(activity, line_item)
        if item is None:
            raise ValueError("there is no such column")
        now = datetime.fromtimestamp(self.clock(), timezone.utc)
        self.gradebook.override(item, user, grade, now)

    def withdraw(self, user: str, course: str | None = None) -> None:
        """Take a user out of a course (by default, the first): the LMS refuses their scores. Raises
        `ValueError` for a course or a user that does not exist."""
        self.world.seat(course).course.withdraw(user)

    def conclude(self, course: str | None = None) -> None:
        """End a course (by default, the first): the LMS refuses every call to its gradebook. Raises
        `ValueError` for a course that does not exist."""
        self.world.seat(course).course.concluded = True

    def add_content(self, page: str) -> list[str]:
        """What the LMS does when a browser submits a tool's deep-linking form: it adds the items to
        the course. `page` is the HTML with the form. Returns the ids of the new activities, to
        launch. Raises `ValueError` if no deep-linking message of this sandbox is in it.
        """
        found = _MESSAGE.search(page)
        try:
            _, shelf, _ = lms.receive_content(self, found[1] if found else "")
        except InvalidToken:
            raise ValueError("the page has no deep-linking form of this sandbox") from None
        return [added.link for added in shelf if added.link]

    def content_items(self, course: str) -> list[dict[str, Any]]:
        """What deep linking has added to a course, oldest first. Raises `ValueError` for a course
        that does not exist."""
        return [dict(added.item) for added in self.content.of(self.world.seat(course).course)]

    def _column(self, activity: str | None, line_item: str | None) -> LineItem | None:
        if line_item is not None:
            return self.gradebook.find(line_item)
        seat = self.world.seat(activity=activity)
        return self.gradebook.column_of(seat.activity.id) if seat.activity else None

    # WSGI

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = BoundedRequest(environ)
        path = raw_path(environ)
        # The official SDK doubles the slash; so does LTIAAS's answer to it: it serves both.
        path = "/" + path.lstrip("/")
        if path.startswith("/admin/platforms"):
            path = path.replace("/admin/", "/api/", 1)
        refused = guard.refusal(
            request, self.own_hosts, from_anywhere=path == lms.DEEP_LINKING_RETURN
        )
        if refused is not None:
            response = ApiError(403, "NOT_YOUR_SANDBOX", refused).response()
        elif path == "/api" or path.startswith("/api/"):
            response = answering.answer(self, request, path, self.origin_for(request))
        elif path.startswith("/sandbox/"):
            response = control.answer(self, request, path)
        else:
            response = lms.answer(self, request, path)
        return response(environ, start_response)

    def origin_for(self, request: Request) -> str:
        return self.public_url or request.host_url.rstrip("/")
