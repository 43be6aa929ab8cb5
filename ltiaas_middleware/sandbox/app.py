"""The sandbox itself: a WSGI app that is an LTIAAS account and an LMS at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

from werkzeug import Request, Response
from werkzeug.exceptions import RequestEntityTooLarge

from . import control, guard, lms
from .api import Api, routes
from .call import Launch, read_body
from .credentials import Credential, read_authorization
from .endpoints.account import AccountEndpoints
from .endpoints.launch import LaunchEndpoints
from .endpoints.services import ServiceEndpoints
from .errors import ApiError
from .faults import Fault, Faults, Gone, Patience, spoiled
from .gradebook import Gradebook
from .journal import Journal, JournalEntry, token_digest
from .launches import Launches
from .platforms import Platforms
from .registrations import Registrations
from .tokens import InvalidToken, Mint
from .world import default_world

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

DEFAULT_API_KEY = "5a4d0b0c-1111-4000-8000-a11ce5a4db0c"
"""The API key of a sandbox that is given none: well known, and worth nothing anywhere else."""

FAULTED = "ltiaas_sandbox.faulted"
"""In `environ` where a fault spoils the answer: its connection is of no more use."""

DEFAULT_TOOL = "http://127.0.0.1:5000/launch"

_MAXIMUM_BODY = 10_000_000
_QUERY_SAFE = "!$%&'()*+,-./:;=?@_~"


class SandboxRequest(Request):
    """A request of bounded size."""

    max_content_length = _MAXIMUM_BODY


class Sandbox:
    """A local LTIAAS account with an LMS. Also a WSGI app, to be served by `SandboxServer`.

    - `tool`: the tool's launch address, to which launches are redirected. May be set at any time.
    - `api_key`: of the account. All signing keys derive from it, so that a restart with the same
      key honours the launches of the run before.
    - `clock`: seconds since the epoch; tests put their own in to reach the end of a launch.
    - `empty`: True starts with an account in which no LMS is registered.
    - `pre_approval`: the tool's page that dynamic registration sends the browser to; None completes
      registrations without one. May be set at any time.

    Everything here may be called from any thread while the sandbox is being served.
    """

    def __init__(
        self,
        *,
        tool: str = DEFAULT_TOOL,
        api_key: str = DEFAULT_API_KEY,
        clock: Callable[[], float] = time.time,
        empty: bool = False,
        pre_approval: str | None = None,
    ) -> None:
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise ValueError("api_key is printable ASCII without spaces")
        self.api_key = api_key
        self.clock = clock
        self.world = default_world()
        self.gradebook = Gradebook(self.world)
        self.journal = Journal(api_key)
        self.faults = Faults()
        self.platforms = Platforms(() if empty else self.world.platforms)
        self.registrations = Registrations(self.platforms)
        self.own_hosts: set[str] = set()
        """What `Host` may say to the LMS and control pages; the server fills it in."""
        self.public_url: str | None = None
        """The origin to put into links, where it is not the one that a request was sent to."""
        self.lms_url: str | None = None
        """The LMS's origin in a browser: another site than the tool's. The server fills it in."""
        self._tool = _checked_url("tool", tool)
        self._pre_approval = pre_approval and _checked_url("pre_approval", pre_approval)
        self._lock = threading.Lock()
        self._content: dict[str, list[dict[str, Any]]] = {}
        self._mint = mint = Mint(api_key)
        self.launches = Launches(self.world, self.platforms, mint, self._now)
        table = routes(
            LaunchEndpoints(self.gradebook, mint, self._now, lambda: self._tool),
            ServiceEndpoints(
                self.gradebook, self._now, lambda course: self.platforms.withholds(course.platform)
            ),
            AccountEndpoints(self.platforms, self.registrations),
        )
        self._api = Api(table, api_key, self.launches.verify, self.launches.course_of)

    @property
    def tool(self) -> str:
        """The tool's launch address. Setting one that is not an http(s) URL raises `ValueError`."""
        return self._tool

    @tool.setter
    def tool(self, address: str) -> None:
        self._tool = _checked_url("tool", address)

    @property
    def pre_approval(self) -> str | None:
        """The tool's pre-approval page. Setting one that is not a URL raises `ValueError`."""
        return self._pre_approval

    @pre_approval.setter
    def pre_approval(self, address: str | None) -> None:
        self._pre_approval = address and _checked_url("pre_approval", address)

    # Launches

    def issue(
        self,
        course: str | None = None,
        activity: str | None = None,
        user: str | None = None,
        deep_linking: bool = False,
    ) -> str:
        """A new ltik, as LTIAAS makes at each launch (`wire.md`, "The launch redirect").

        By default of the first course's instructor in its first activity. Raises `ValueError` for a
        name that the world does not have, listing what there is, and for an LMS whose registration
        is missing or inactive.
        """
        return self.launches.issue(self.world.seat(course, activity, user, deep_linking))

    def launch_url(self, ltik: str, query: str = "") -> str:
        """The tool's address as the launch redirect gives it: its own query kept, then `query`,
        then the ltik.
        """
        # Kept byte for byte, except what may not stand in a URL.
        return _with_query(self._tool, quote(query.lstrip("?"), safe=_QUERY_SAFE), f"ltik={ltik}")

    def pre_approval_url(self, registration_id: str) -> str | None:
        """The pre-approval page's address for a registration; None where there is no such page."""
        if self._pre_approval is None:
            return None
        return _with_query(self._pre_approval, f"registrationId={registration_id}")

    def expire(self, ltik: str) -> None:
        """Put an ltik past its 24 hours. Raises `ValueError` for one that is not this sandbox's."""
        try:
            self.launches.end(ltik)
        except InvalidToken:
            raise ValueError("not an ltik of this sandbox") from None

    def revoke(self, ltik: str) -> None:
        """End a launch before its time. On the wire it cannot be told from an expired one
        (`wire.md`, "Errors").
        """
        self.expire(ltik)

    def verify(self, ltik: str) -> Launch:
        """The launch that an ltik stands for. Raises `InvalidToken` if it is over or never was."""
        return self.launches.verify(ltik)

    # Misbehaviour

    def misbehave(
        self,
        name: str,
        *,
        endpoint: str | None = None,
        times: int | None = None,
        **options: Any,
    ) -> None:
        """Switch a misbehaviour on (`faults.OPTIONS` lists them with their options).

        `endpoint` is a prefix of the path (None: every call to the API), `times` the number of
        requests to spoil (None: until `behave`). Several may be on at once: delays add up, and of
        the rest the one that was switched on first and fits comes first. Raises `ValueError`,
        listing what there is, for an unknown name or option.
        """
        self.faults.switch_on({"name": name, "endpoint": endpoint, "times": times, **options})

    def behave(self) -> None:
        """End all misbehaviour. Requests that are being held up are answered."""
        self.faults.end()

    # The gradebook

    def scores(
        self, activity: str | None = None, *, line_item: str | None = None
    ) -> dict[str, dict[str, Any]]:
        """One column of the gradebook, by user id: the last score submitted (keys as on the wire,
        None where it left one out) and how many there were (`submissions`).

        The column is an activity's first one (by default, the first activity's), or the line item
        with that id. Empty when the column has been deleted. Raises `ValueError` for an activity
        that the world does not have.
        """
        if line_item is not None:
            items = (self.gradebook.item(course, line_item) for course in self.world.courses)
            item = next((found for found in items if found), None)
        else:
            seat = self.world.seat(activity=activity)
            item = self.gradebook.column_of(seat.activity.id) if seat.activity else None
        return self.gradebook.column(item) if item else {}

    # Content added through deep linking

    def content_items(self, course: str) -> list[dict[str, Any]]:
        """What deep linking has added to a course, oldest first."""
        with self._lock:
            return list(self._content.get(course, ()))

    def add_content_items(self, course: str, items: list[dict[str, Any]]) -> None:
        """Add what a deep-linking form brought back."""
        with self._lock:
            self._content.setdefault(course, []).extend(items)

    # WSGI

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = SandboxRequest(environ)
        path = raw_path(environ)
        # The official SDK doubles the slash; so does LTIAAS's answer to it: it serves both.
        path = "/" + path.lstrip("/")
        if path.startswith("/admin/platforms"):
            path = path.replace("/admin/", "/api/", 1)
        if path == "/api" or path.startswith("/api/"):
            response = self._answer_api(request, path)
        else:
            response = self._answer_site(request, path)
        return response(environ, start_response)

    def origin_for(self, request: Request) -> str:
        """The origin to build links with."""
        return self.public_url or request.host_url.rstrip("/")

    def _answer_api(self, request: Request, path: str) -> Response:
        credential = read_authorization(request.environ.get("HTTP_AUTHORIZATION"))
        oversized: Response | None = None
        try:
            body = _journal_body(request)
        except RequestEntityTooLarge:
            body = None
            oversized = ApiError(413, "PAYLOAD_TOO_LARGE", "The body is too large.").response()
        met = self.faults.draw(path)
        answered = self.journal.arrived(
            JournalEntry(
                at=self._now(),
                method=request.method,
                path=raw_path(request.environ),
                query=request.environ["QUERY_STRING"],
                scheme=credential.scheme,
                well_formed=credential.well_formed,
                ltik_id=token_digest(credential.token) if credential.token else None,
                user_agent=request.headers.get("User-Agent"),
                body=body,
                fault="+".join(fault.name for fault in met) or None,
            )
        )
        status: int | None = None
        try:
            patience = Patience.of(request.environ)
            response = oversized or self._held_up(request, path, credential, met, patience)
            status = response.status_code
        except Gone:
            raise
        except Exception:
            status = 500
            raise
        finally:
            answered(status)
        return response

    def _held_up(
        self,
        request: Request,
        path: str,
        credential: Credential,
        met: list[Fault],
        patience: Patience,
    ) -> Response:
        for fault in met:
            if fault.name == "delay":
                patience.wait(fault.options["seconds"], fault)

        def answer() -> Response:
            return self._api.answer(request, path, credential, self.origin_for(request))

        if met and met[-1].name != "delay":
            request.environ[FAULTED] = True
            return spoiled(met[-1], answer, patience)
        return answer()

    def _answer_site(self, request: Request, path: str) -> Response:
        refused = guard.refusal(
            request, self.own_hosts, from_anywhere=path == lms.DEEP_LINKING_RETURN
        )
        if refused is not None:
            return ApiError(403, "NOT_YOUR_SANDBOX", refused).response()
        if path.startswith("/sandbox/"):
            return control.answer(self, request, path)
        return lms.answer(self, request, path)

    def _now(self) -> float:
        return self.clock()


def raw_path(environ: WSGIEnvironment) -> str:
    """The path as it came over the wire, still percent-encoded; an absolute request target loses
    its origin.
    """
    target: str = (
        environ.get("REQUEST_URI") or environ.get("RAW_URI") or quote(environ.get("PATH_INFO", "/"))
    )
    path = target.split("?", 1)[0]
    if not path.startswith("/"):
        path = "/" + path.partition("://")[2].partition("/")[2]
    return path


def _journal_body(request: Request) -> Any:
    try:
        return read_body(request)
    except ApiError:
        return request.get_data(as_text=True)


def _with_query(address: str, *parts: str) -> str:
    scheme, netloc, path, own, fragment = urlsplit(address)
    return urlunsplit((scheme, netloc, path, "&".join(filter(None, [own, *parts])), fragment))


def _checked_url(name: str, address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{name} is an http or https address of your tool's, not {address!r}")
    return address
