"""What a request carries, and what becomes of it. No I/O: both adapters ask, and do as told.

The rules, which nothing here may break:

- What opens a launch is *proof*: the ltik itself, in the query, in an enabled header, or in the
  launch's own cookie, checked against the launch id in the path. The path alone opens a launch only
  until its cookie has come back once, or where the browser vouches for a new tab of the tool's own.
- What is not of an ltik's shape never leads to a call to LTIAAS, and neither does a header that was
  not enabled.

``decide`` returns ``Serve`` (hand on to the app), an ``Answer`` (do not), or something to wait for,
``Verify`` or ``Blocking``, whose ``resume`` takes what came of it and returns the next decision.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from hmac import compare_digest
from typing import Any, NamedTuple, Protocol, TypeAlias
from urllib.parse import quote, unquote, urlsplit

from . import handoffs
from .authenticator import Authenticator, Outcome
from .cache import CachedLaunch
from .errors import ApiError
from .keys import LAUNCH_ID_LENGTH, LaunchIds
from .launch import Account, Launch
from .refusals import Answer, Refusal, refusal, refusal_for, render
from .settings import is_loopback

__all__ = [
    "Blocking",
    "Gate",
    "HeaderName",
    "Request",
    "Serve",
    "Verify",
    "mount_path",
    "raw_path",
]

_log = logging.getLogger("ltiaas_middleware")

# A compact JWS (RFC 7515 section 7.1): three parts of base64url.
_LTIK = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_LAUNCH_ID = re.compile(rf"[A-Za-z0-9_-]{{{LAUNCH_ID_LENGTH}}}")
_SECURE = ("https", "wss")
# RFC 9110 section 9.2.1.
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
# What may stand in a path as it is (RFC 3986 section 3.3).
_PATH_SAFE = "/:@!$&'()*+,;=~-._"
# All that is visible: a query came over the wire as it is and goes back as it came.
_QUERY_SAFE = "/?:@!$&'()*+,;=~-._%[]{}|^`\"<>\\#"


class HeaderName(NamedTuple):
    """A request header by the names that WSGI and ASGI know it by."""

    wsgi: str
    asgi: bytes

    @classmethod
    def of(cls, name: str) -> HeaderName:
        return cls("HTTP_" + name.upper().replace("-", "_"), name.lower().encode("ascii"))


_ACCEPT = HeaderName.of("Accept")
_AUTHORIZATION = HeaderName.of("Authorization")
_COOKIE = HeaderName.of("Cookie")
_HOST = HeaderName.of("Host")
_FETCH_DEST = HeaderName.of("Sec-Fetch-Dest")
_FETCH_MODE = HeaderName.of("Sec-Fetch-Mode")
_FETCH_SITE = HeaderName.of("Sec-Fetch-Site")


class Request(Protocol):
    """What the gate asks of a request; each adapter has one."""

    @property
    def method(self) -> str:
        """``"GET"``; of a websocket too, whose handshake is one (RFC 6455 section 4.1)."""

    @property
    def websocket(self) -> bool: ...

    @property
    def scheme(self) -> str:
        """That the browser used, as far as the server knows: http, https, ws, wss."""

    @property
    def path(self) -> str:
        """Decoded, below the mount point."""

    @property
    def query(self) -> str:
        """As it arrived, latin-1."""

    @property
    def mount(self) -> str:
        """The mount point (``SCRIPT_NAME``, ``root_path``), encoded, no slash at its end."""

    def raw_path(self) -> str:
        """The path below the mount point, percent-encoded: as it arrived, where that is known."""

    def header(self, name: HeaderName) -> str:
        """A header's value, several joined by commas (cookies: semicolons); "" where missing."""


class Serve(NamedTuple):
    """Hand the request to the app.

    Attributes:
        launch: what it belongs to, or None.
        path: for the app to see.
        prefix: to be moved from the path to the mount point, such as ``/lti/<id>``; or "".
        query: for the app to see; None where it stands as it is.
        headers: request headers as the app is to see them, without the ltik: (name, value), where
            "" takes the header away.
        set_cookie: a ``Set-Cookie`` for the response, or None.
    """

    launch: Launch | None
    path: str
    prefix: str = ""
    query: str | None = None
    headers: Sequence[tuple[HeaderName, str]] = ()
    set_cookie: str | None = None

    def response_headers(self, *, has_policy: bool) -> list[tuple[str, str]]:
        """What the launch adds to the app's response headers.

        A ``Referrer-Policy`` unless the app set one: a launch path is no other site's business, and
        an ltik in the address not even the tool's own log's.

        Args:
            has_policy: whether the app set a ``Referrer-Policy``.
        """
        added = []
        if not has_policy:
            added.append(_SAME_ORIGIN if self.prefix else _STRICT_ORIGIN)
        if self.set_cookie is not None:
            added.append(("Set-Cookie", self.set_cookie))
        return added


class Verify(NamedTuple):
    """Ask LTIAAS about an ltik, then ``resume`` with the outcome."""

    ltik: str
    launch_id: str
    resume: Callable[[Outcome], Decision]


class Blocking(NamedTuple):
    """Make a call that may wait for a shared store, off the event loop, then ``resume``."""

    call: Callable[[], Any]
    resume: Callable[[Any], Decision]


Decision: TypeAlias = "Serve | Answer | Verify | Blocking"

_SAME_ORIGIN = ("Referrer-Policy", "same-origin")
_STRICT_ORIGIN = ("Referrer-Policy", "strict-origin")


class Gate:
    """Decides what becomes of a request.

    Args:
        account: settings, and what launches are made with.
        ids: from an ltik to its launch id.
        authenticator: asked for what is known; it is not asked to fetch.
    """

    def __init__(self, account: Account, ids: LaunchIds, authenticator: Authenticator) -> None:
        self._account = account
        settings = self._settings = account.settings
        self._ids = ids
        self._authenticator = authenticator
        self._known = authenticator.known
        # NUL stands in no path, so that without launch paths nothing begins with it.
        self._prefix = f"{settings.launch_path}/" if settings.launch_path else "\0"
        self._id_from = len(self._prefix)
        self._id_to = self._id_from + LAUNCH_ID_LENGTH
        self._sources = tuple(
            ([_AUTHORIZATION] if settings.bearer else [])
            + ([HeaderName.of(settings.header)] if settings.header else [])
        )
        self._everywhere = bool(self._sources or settings.require)
        self._cookie_names = {
            scheme: ("__Secure-" if scheme in _SECURE else "") + settings.cookie_name
            for scheme in ("http", "https", "ws", "wss")
        }
        self._warned_plain_http = False

    def concerns(self, path: str, query: str) -> bool:
        """Whether a request has to be looked at. Most have not, and this is all that they pay."""
        return "ltik" in query or path.startswith(self._prefix) or self._everywhere

    def decide(self, request: Request) -> Decision:
        """What becomes of a request that ``concerns`` says yes to."""
        path = request.path
        launch_id = None
        if path.startswith(self._prefix):
            launch_id, path = self._launch_path(path)
        in_query: list[str] = []
        in_headers: list[str] = []
        if "ltik" in request.query:
            in_query, query = _without(request.query, "ltik")
        if self._sources:
            carried = (self._carried(request, source) for source in self._sources)
            in_headers = [value for value in carried if value]
        if in_query or in_headers:
            if len(in_query) > 1 or len({*in_query, *in_headers}) > 1:
                return self._refuse(request, "malformed_ltik")
            ltik = (in_query or in_headers)[0]
            if len(ltik) > self._settings.max_ltik_length or not _LTIK.fullmatch(ltik):
                return self._refuse(request, "malformed_ltik")
            if in_query:
                return self._with_ltik(request, ltik, path, launch_id, query)
            if launch_id is None:
                return self._with_ltik(request, ltik, path, None, None)
        if launch_id is not None:
            return self._on_launch_path(request, launch_id, path, in_headers)
        return self._without_launch(request, path)

    # -- an ltik that the request itself brings ---------------------------------------------------

    def _with_ltik(
        self, request: Request, ltik: str, path: str, launch_id: str | None, query: str | None
    ) -> Decision:
        if launch_id is not None and not self._ids.match(ltik, launch_id):
            if not _captures(request):
                # A program that names two launches at once means neither for sure.
                return self._refuse(request, "malformed_ltik")
            launch_id = None

        def resume(outcome: Outcome) -> Decision:
            if isinstance(outcome, ApiError):
                return self._failed(request, outcome)
            if query is not None and self._settings.launch_path and _captures(request):
                return self._redirect(request, outcome, path, query)
            return self._serve(request, outcome, path, launch_id, query)

        own_id = launch_id or self._ids.of(ltik)
        entry = self._known(own_id)
        if entry is not None and not self._authenticator.needs_asking(entry):
            return resume(entry)
        return Verify(ltik, own_id, resume)

    def _redirect(self, request: Request, entry: CachedLaunch, path: str, query: str) -> Answer:
        """303 to the launch path, with the cookie and without what opened it."""
        raw_path = request.raw_path()
        if path is not request.path:
            # The address stands below a launch path already: this launch's, or another one's.
            raw_path = raw_path[self._id_to :] if raw_path.startswith(self._prefix) else ""
        location = f"{request.mount}{self._prefix}{entry.id}{raw_path or '/'}"
        if query:
            location += "?" + quote(query, safe=_QUERY_SAFE, encoding="latin-1")
        headers = [
            ("Location", location),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
        ]
        cookie = self._cookie(request, entry)
        if cookie is not None:
            headers.append(("Set-Cookie", cookie))
        return Answer(303, tuple(headers))

    # -- a launch path ----------------------------------------------------------------------------

    def _launch_path(self, path: str) -> tuple[str | None, str]:
        """(launch id, rest of the path); an address of another shape is the app's own."""
        launch_id, rest = path[self._id_from : self._id_to], path[self._id_to :]
        if _LAUNCH_ID.fullmatch(launch_id) and (not rest or rest[0] == "/"):
            return launch_id, rest or "/"
        return None, path

    def _on_launch_path(
        self, request: Request, launch_id: str, path: str, in_headers: list[str]
    ) -> Decision:
        if not in_headers and _is_forged(request):
            return self._refuse(request, "cross_site")
        entry = self._known(launch_id)
        proof = self._proof(in_headers or self._cookies(request), launch_id, entry)
        if proof is None:
            if in_headers:
                return self._refuse(request, "malformed_ltik")
            return self._without_proof(request, launch_id, path, entry)
        # A header proves as much as the cookie, but not that the browser keeps one.
        confirms = not in_headers
        if entry is None or self._authenticator.needs_asking(entry):
            return Verify(proof, launch_id, self._opener(request, launch_id, path, confirms))
        if confirms and not entry.confirmed:
            self._authenticator.confirm(entry)
        return self._open(request, entry, path, launch_id)

    def _opener(
        self, request: Request, launch_id: str, path: str, confirms: bool
    ) -> Callable[[Outcome], Decision]:
        def resume(outcome: Outcome) -> Decision:
            if isinstance(outcome, ApiError):
                return self._failed(request, outcome)
            if confirms and not outcome.confirmed:
                self._authenticator.confirm(outcome)
            return self._open(request, outcome, path, launch_id)

        return resume

    def _open(self, request: Request, entry: CachedLaunch, path: str, launch_id: str) -> Decision:
        """The launch is proved: serve it, or lead on to where the address shows no handoff."""
        if handoffs.PARAMETER in request.query and _captures(request):
            query = _without(request.query, handoffs.PARAMETER)[1]
            return self._redirect(request, entry, path, query)
        return self._serve(request, entry, path, launch_id, None)

    def _without_proof(
        self, request: Request, launch_id: str, path: str, entry: CachedLaunch | None
    ) -> Decision:
        """The path alone: until its cookie came back, for a handoff, or for a tab of the tool's."""

        def resume(entry: CachedLaunch | None) -> Decision:
            if entry is None:
                return self._refuse(request, "launch_unknown")
            tokens = _without(request.query, handoffs.PARAMETER)[0]
            if tokens and _captures(request):
                return self._hand_off(request, tokens[0], entry, path)
            new_tab = entry.confirmed
            if new_tab and (self._settings.strict_launch_path or not _is_own_new_tab(request)):
                return self._refuse(request, "launch_unknown")
            if self._authenticator.needs_asking(entry):
                return Verify(
                    entry.ltik, launch_id, self._opener(request, launch_id, path, confirms=False)
                )
            cookie = self._cookie(request, entry) if new_tab else None
            return self._serve(request, entry, path, launch_id, None, cookie)

        if self._authenticator.shares and (entry is None or not entry.confirmed):
            # Another worker may know the launch, or that its cookie has come back.
            return Blocking(lambda: self._authenticator.recall(launch_id), resume)
        return resume(entry)

    def _hand_off(self, request: Request, token: str, entry: CachedLaunch, path: str) -> Decision:
        if not self._account.handoffs.check(token, entry.id):
            return self._refuse(request, "launch_unknown")

        def resume(first_use: bool) -> Decision:
            if not first_use:
                return self._refuse(request, "launch_unknown")
            query = _without(request.query, handoffs.PARAMETER)[1]
            return self._redirect(request, entry, path, query)

        return Blocking(lambda: self._authenticator.use_once(token), resume)

    def _serve(
        self,
        request: Request,
        entry: CachedLaunch,
        path: str,
        launch_id: str | None,
        query: str | None,
        set_cookie: str | None = None,
    ) -> Serve:
        """Hand on to the app, without what carried the ltik: what the app is not shown, its error
        reports cannot tell."""
        headers: list[tuple[HeaderName, str]] = []
        for source in self._sources:
            if self._carried(request, source):
                headers.append((source, ""))
        prefix = ""
        if launch_id is not None:
            prefix = self._prefix + launch_id
            cookies = request.header(_COOKIE)
            if cookies:
                headers.append((_COOKIE, self._other_cookies(request, cookies)))
        launch = Launch(entry, self._account, request.mount + prefix)
        return Serve(launch, path, prefix, query, headers, set_cookie)

    def _proof(self, offered: list[str], launch_id: str, entry: CachedLaunch | None) -> str | None:
        """The one of the offered ltiks that this launch id was made from."""
        for ltik in offered:
            if entry is not None:
                if ltik.isascii() and compare_digest(ltik, entry.ltik):
                    return ltik
            elif (
                len(ltik) <= self._settings.max_ltik_length
                and _LTIK.fullmatch(ltik)
                and self._ids.match(ltik, launch_id)
            ):
                return ltik
        return None

    # -- what stands in headers -------------------------------------------------------------------

    def _carried(self, request: Request, source: HeaderName) -> str:
        value = request.header(source)
        if source is not _AUTHORIZATION:
            return value.strip()
        scheme, _, token = value.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    def _cookies(self, request: Request) -> list[str]:
        """All that came under the cookie's name: a sibling host may have planted more."""
        header = request.header(_COOKIE)
        if not header:
            return []
        start = self._cookie_names[request.scheme] + "="
        pairs = (pair.strip() for pair in header.split(";"))
        return [pair[len(start) :] for pair in pairs if pair.startswith(start)]

    def _other_cookies(self, request: Request, header: str) -> str:
        """A ``Cookie`` header without the launch's own."""
        start = self._cookie_names[request.scheme] + "="
        if ";" not in header:
            return "" if header.startswith(start) else header
        pairs = header.split(";")
        return ";".join(pair for pair in pairs if not pair.lstrip().startswith(start)).strip()

    def _cookie(self, request: Request, entry: CachedLaunch) -> str | None:
        """The launch's cookie; None where no browser would keep it.

        ``SameSite=None`` needs ``Secure``, and a blocked third-party cookie is kept only with
        ``Partitioned`` (wire.md, "Where the browser gets in the way"). On plain http only a tool on
        the developer's own machine has one, and there LMS and tool are one site.
        """
        name = self._cookie_names[request.scheme]
        left = max(0, int(self._authenticator.seconds_left(entry)))
        path = f"{request.mount}{self._prefix}{entry.id}"
        cookie = f"{name}={entry.ltik}; Path={path}; Max-Age={left}; HttpOnly"
        if request.scheme in _SECURE:
            return f"{cookie}; Secure; SameSite=None; Partitioned"
        try:
            host = urlsplit(f"//{request.header(_HOST)}").hostname or ""
        except ValueError:
            host = ""
        if is_loopback(host):
            return f"{cookie}; SameSite=Lax"
        if not self._warned_plain_http:
            self._warned_plain_http = True
            _log.warning(
                "this tool is reached by plain http: no cookie can be set in an LMS's iframe, so "
                "launches are open to whoever knows their address. If TLS ends at a proxy, tell "
                "the app (Werkzeug's ProxyFix, uvicorn --proxy-headers)."
            )
        return None

    # -- the rest ---------------------------------------------------------------------------------

    def _without_launch(self, request: Request, path: str) -> Serve | Answer:
        require = self._settings.require
        if require is True or (callable(require) and require(path)):
            return self._refuse(request, "launch_required")
        return Serve(None, request.path)

    def _refuse(self, request: Request, code: str) -> Answer:
        return self.answer(refusal(code, wants_html=_is_navigation(request)))

    def _failed(self, request: Request, error: ApiError) -> Answer:
        return self.answer(refusal_for(error, wants_html=_is_navigation(request)))

    def launch_required(self, request: Request) -> Answer:
        """The answer where an app lets ``LaunchRequired`` through."""
        return self._refuse(request, "launch_required")

    def answer(self, refused: Refusal) -> Answer:
        """The answer for a refusal."""
        return render(refused, self._settings.on_refusal)


def mount_path(path: str, encoding: str) -> str:
    """A mount point, percent-encoded, as ``Request.mount`` gives it.

    With one slash before it: ``//host`` in a ``Location`` would be another site (RFC 3986
    section 4.2), and a mount point may have come from a header.
    """
    path = path.strip("/")
    return "/" + quote(path, safe=_PATH_SAFE, encoding=encoding) if path else ""


def raw_path(arrived: str, mount: str, path: str, encoding: str) -> str:
    """The path below the mount point as it arrived, if that is known, else encoded anew.

    Args:
        arrived: the request's whole path, percent-encoded, or "".
        mount: as ``Request.mount`` gives it.
        path: decoded, below the mount point.
        encoding: that ``path`` was decoded with.
    """
    for raw in (arrived.removeprefix(mount), arrived):
        if raw.startswith("/") and unquote(raw, encoding=encoding) == path:
            return quote(raw, safe=_PATH_SAFE + "%", encoding="latin-1")
    return quote(path, safe=_PATH_SAFE, encoding=encoding)


def _without(query: str, parameter: str) -> tuple[list[str], str]:
    """A parameter's values in a query, and the query without them, every other byte kept."""
    if parameter not in query:
        return [], query
    found, rest = [], []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name == parameter:
            found.append(unquote(value) if "%" in value else value)
        else:
            rest.append(part)
    return found, "&".join(rest)


def _is_navigation(request: Request) -> bool:
    """Whether a person will look at the answer (Fetch Metadata; ``Accept`` for older browsers)."""
    if request.websocket:
        return False
    mode = request.header(_FETCH_MODE)
    if mode:
        return mode in ("navigate", "nested-navigate")
    return "text/html" in request.header(_ACCEPT)


def _captures(request: Request) -> bool:
    return request.method == "GET" and _is_navigation(request)


def _is_own_new_tab(request: Request) -> bool:
    """A top-level navigation that the browser says was begun by the tool's own page."""
    return (
        request.method == "GET"
        and request.header(_FETCH_SITE) == "same-origin"
        and request.header(_FETCH_MODE) == "navigate"
        and request.header(_FETCH_DEST) == "document"
    )


def _is_forged(request: Request) -> bool:
    """A change that another site's page asks for with this browser's cookies."""
    return (request.method not in _SAFE_METHODS or request.websocket) and request.header(
        _FETCH_SITE
    ) == "cross-site"
