"""The sandbox itself: a WSGI app that is both an LTIAAS account and an LMS."""

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
from .faults import Faults
from .gradebook import Gradebook, LineItem
from .launches import Launches
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
    """A local LTIAAS account with an LMS. It is also a WSGI app, which `SandboxServer` serves.

    - `tool`: the tool's launch URL, to which launches redirect. You can set it at any time.
    - `api_key`: the account's API key. All signing keys derive from it, so after a restart with the
      same key, earlier launches are still valid.
    - `clock`: returns seconds since the epoch. Tests replace it to reach the end of a launch.
    - `world`: people, courses and platforms, such as `World.from_toml("school.toml")`. The sandbox
      copies it. Its settings apply to what you do not pass here.
    - `empty`: if True, the account starts without a registered LMS.
    - `pre_approval`: the tool's page to which dynamic registration sends the browser. With None,
      registrations complete without such a page. You can set it at any time.

    You can call every method from any thread while the server runs.
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
            raise ValueError("api_key must be printable ASCII without spaces")
        self.api_key, self.clock = api_key, clock
        self.world = (world or default_world()).copy()
        settings = {"tool": DEFAULT_TOOL, "empty": False, **self.world.settings}
        self.gradebook = Gradebook(self.world)
        self.content = Content(self.gradebook)
        self.api_log = ApiLog(api_key)
        self.faults = Faults()
        self.faults.begin(settings.get("faults", ()))
        empty = settings["empty"] if empty is None else empty
        self.platforms = Platforms(() if empty else self.world.platforms)
        self.registrations = Registrations(self.platforms)
        self.own_hosts: set[str] = set()
        """What `Host` may say; the server fills it in."""
        self.public_url: str | None = None
        """The origin to put into links, if it is not the one that a request was sent to."""
        self.tool = settings["tool"] if tool is None else tool
        self.pre_approval = pre_approval or settings.get("pre_approval")
        self.mint = Mint(api_key, lambda: self.clock())
        self.launches = Launches(self.world, self.platforms, self.mint)

    @property
    def tool(self) -> str:
        """The tool's launch URL. Setting a value that is not an http(s) URL raises `ValueError`."""
        return self._tool

    @tool.setter
    def tool(self, url: str) -> None:
        self._tool = checked_url("tool", url)

    @property
    def pre_approval(self) -> str | None:
        """The tool's pre-approval page. Setting a value that is not a URL raises `ValueError`."""
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
        """Create an ltik, as LTIAAS does for each launch (`wire.md`, "The launch redirect").

        By default, the first course's instructor launches its first activity. `roles` (URIs, or
        short forms such as `Learner` and `Instructor#TeachingAssistant`) are the user's roles in
        this launch only. `custom` contains custom parameters, and `claims` top-level fields of the
        ID token. A claim whose name is a URI comes from the LMS and is only in the raw ID token.
        All three are JSON, and part of the ltik. Raises `ValueError` for a name that is not in the
        world, with a list of valid names, and for an LMS whose registration is missing or inactive.
        """
        roles = roles if roles is None or isinstance(roles, str) else tuple(roles)
        if isinstance(roles, str) or not all(isinstance(role, str) for role in roles or ()):
            raise ValueError("roles must be a list, each item a URI or a bare name")
        seat = self.world.seat(course, activity, user, deep_linking)
        return self.launches.issue(seat.changed(roles, custom, claims))

    def launch_url(self, ltik: str, query: str | None = None) -> str:
        """The tool's URL as in the launch redirect: with its own query, then `query` (by default
        that of the activity's link), then the ltik."""
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
        """The URL of the pre-approval page for a registration, or None if there is no such page."""
        if self._pre_approval is None:
            return None
        return with_query(self._pre_approval, f"registrationId={registration_id}")

    def expire(self, ltik: str) -> None:
        """End an ltik's 24 hours now. Raises `ValueError` for an ltik from another sandbox."""
        try:
            self.launches.end(ltik)
        except InvalidToken:
            raise ValueError("not an ltik from this sandbox") from None

    # Faults

    def fault(
        self, name: str, *, endpoint: str | None = None, times: int | None = None, **options: Any
    ) -> None:
        """Turn on a fault (`faults.KINDS` lists the faults with their options).

        `endpoint` is a prefix of the path (None for all calls), and `times` is how many requests
        the fault affects (None for all until `clear_faults`). Several faults can be on at the same
        time. Delays add up. Of the other faults, the oldest one that matches the request applies.
        Raises `ValueError` for an unknown name or option, with a list of valid ones.
        """
        self.faults.switch_on({"name": name, "endpoint": endpoint, "times": times, **options})

    def clear_faults(self) -> None:
        """Turn off all faults. Delayed requests get their responses."""
        self.faults.end()

    # The LMS

    def scores(
        self,
        activity: str | None = None,
        *,
        line_item: str | None = None,
        tag: str | None = None,
    ) -> dict[str, dict[str, Any]]:
        """One gradebook column, by user id: the last submitted score (with the keys that LTIAAS
        uses, and None for missing ones), the number of scores (`submissions`), and the grade that a
        teacher entered (`override`), if any.

        The column is an activity's first one (by default, that of the first activity), the line
        item with that id, or the first one with that tag. Empty if there is no such column. Raises
        `ValueError` for an activity that is not in the world.
        """
        item = self._column(activity, line_item, tag)
        return self.gradebook.column(item) if item else {}

    def override(
        self, user: str, grade: float, activity: str | None = None, *, line_item: str | None = None
    ) -> None:
        """Enter a grade for a user, as a teacher does, in points of the column (which you choose as
        for `scores`). Raises `ValueError` if there is no such column."""
        item = self._column(activity, line_item)
        if item is None:
            raise ValueError("there is no such column")
        now = datetime.fromtimestamp(self.clock(), timezone.utc)
        self.gradebook.override(item, user, grade, now)

    def withdraw(self, user: str, course: str | None = None) -> None:
        """Remove a user from a course (by default, the first one), so that the LMS refuses their
        scores. Raises `ValueError` if the course or the user does not exist."""
        self.world.seat(course).course.withdraw(user)

    def conclude(self, course: str | None = None) -> None:
        """End a course (by default, the first one), so that the LMS refuses every call to its
        gradebook. Raises `ValueError` if the course does not exist."""
        self.world.seat(course).course.concluded = True

    def add_content(self, page: str) -> list[str]:
        """Add the items of a tool's deep-linking form to the course, as the LMS does when a browser
        submits the form. `page` is the HTML with the form. Returns the ids of the new activities,
        which you can launch. Raises `ValueError` if the page does not contain a deep-linking
        message for this sandbox.
        """
        found = _MESSAGE.search(page)
        try:
            _, shelf, _ = lms.receive_content(self, found[1] if found else "")
        except InvalidToken:
            raise ValueError("the page has no deep-linking form for this sandbox") from None
        return [added.link for added in shelf if added.link]

    def content_items(self, course: str) -> list[dict[str, Any]]:
        """The items that deep linking has added to a course, oldest first. Raises `ValueError` if
        the course does not exist."""
        return [dict(added.item) for added in self.content.of(self.world.seat(course).course)]

    def _column(
        self, activity: str | None, line_item: str | None, tag: str | None = None
    ) -> LineItem | None:
        if tag is not None:
            return next(iter(self.gradebook.items(tag=tag)), None)
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
