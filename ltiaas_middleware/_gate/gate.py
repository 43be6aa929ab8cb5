"""What a request carries, and what becomes of it. No I/O: both adapters ask, and do as told.

The rules, which nothing here may break:

- What opens a launch is *proof*: the ltik itself, in the query, in an enabled header, or in the
  launch's own cookie, checked against the launch id in the path. The path alone opens a launch only
  until its cookie has come back once, or where the browser vouches for a new tab of the tool's own.
- What is not of an ltik's shape never leads to a call to LTIAAS, and neither does a header that was
  not enabled.

A request is given as CGI variables (RFC 3875 section 4.1), as WSGI has them; the ASGI adapter
translates. ``decide`` returns ``Serve`` (hand on to the app), an ``Answer`` (do not), None (nothing
of ours: the app has it as it is), or something to wait for, ``Verify`` or ``Blocking``, whose
``resume`` takes what came of it and returns the next decision.

Every request of a tool passes through here, so ``decide`` and what a known launch needs of
``_on_launch_path`` are written to be short at run time: see benchmarks/README.md before a call is
added there.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from hmac import compare_digest
from typing import Any, NamedTuple, Protocol, TypeAlias
from urllib.parse import quote, unquote, urlsplit

from .._crypto import handoffs
from .._crypto.keys import LAUNCH_ID_LENGTH, LaunchIds
from .._verification.authenticator import Authenticator, Outcome
from .._verification.memory import CachedLaunch
from ..errors import ApiError
from ..launch import Account, Launch
from ..origins import is_loopback
from ..refusals import Answer
from .pages import refusal, refusal_for, render

__all__ = [
    "POLICIES",
    "Blocking",
    "Decision",
    "Gate",
    "Serve",
    "Variables",
    "Verify",
]

_log = logging.getLogger("ltiaas_middleware")

# A compact JWS (RFC 7515 section 7.1): three parts of base64url.
_LTIK = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_LAUNCH_ID = re.compile(rf"[A-Za-z0-9_-]{{{LAUNCH_ID_LENGTH}}}")
# Characters that hold an HS256 signature (43) and some of what it signs.
_SIGNATURE = 64
_SECURE = {"https", "wss"}
# What another site's page may ask for with this browser's cookies (RFC 9110 section 9.2.1). A
# websocket is not among it: its handshake is a GET, but what follows is no reading only.
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
# What may stand in a path as it is (RFC 3986 section 3.3).
_PATH_SAFE = "/:@!$&'()*+,;=~-._"
# Less what parts the attributes of a cookie (RFC 6265 section 4.1.1).
_MOUNT_SAFE = _PATH_SAFE.replace(";", "").replace(",", "")
# All that is visible: a query came over the wire as it is and goes back as it came.
_QUERY_SAFE = "/?:@!$&'()*+,;=~-._%[]{}|^`\"<>\\#"


class Variables(Protocol):
    """A request's CGI variables, as in a WSGI ``environ`` (PEP 3333): texts, whose characters stand
    for bytes (latin-1). A websocket's ``wsgi.url_scheme`` is ``ws`` or ``wss``, and its
    ``REQUEST_METHOD`` is ``WEBSOCKET``."""

    def get(self, key: str, default: Any = None, /) -> Any: ...


class Serve(NamedTuple):
    """Hand the request to the app.

    Attributes:
        launch: what it belongs to.
        path: for the app to see.
        prefix: to be moved from the path to the mount point, such as ``/lti/<id>``; or "".
        query: for the app to see; None where it stands as it is.
        cookies: the ``Cookie`` header for the app to see; None where it stands as it is.
        without: other request headers that it is not to see, as CGI variables.
        policy: a response header to be added unless the app sets it.
        set_cookie: a ``Set-Cookie`` for the response, or None.
    """

    launch: Launch
    path: str
    prefix: str
    query: str | None
    cookies: str | None
    without: Sequence[str]
    policy: tuple[str, str]
    set_cookie: str | None


class Verify(NamedTuple):
    """Ask LTIAAS about an ltik, then ``resume`` with the outcome.

    Attributes:
        confirms: whether the ltik came in the launch's cookie, so that the path alone opens nothing
            from the moment on in which the launch is known, whoever is still there to be answered.
    """

    ltik: str
    launch_id: str
    resume: Callable[[Outcome], Decision]
    confirms: bool = False

    def __repr__(self) -> str:
        return f"<Verify {self.launch_id}>"


class Blocking(NamedTuple):
    """Make a call that may wait for a shared store, off the event loop, then ``resume``."""

    call: Callable[[], Any]
    resume: Callable[[Any], Decision]


Decision: TypeAlias = "Serve | Answer | Verify | Blocking"

# ``Serve(...)`` is a call into Python, made for every request of a launch; this is the same in C.
_new = tuple.__new__

# A launch path is no other site's business, and an ltik in the address not even the tool's own
# log's. Not no-referrer: it would turn the Origin of the tool's own forms into "null".
_LAUNCH_PATH_POLICY = ("Referrer-Policy", "same-origin")
_IN_PLACE_POLICY = ("Referrer-Policy", "strict-origin")
#: All that ``Serve.policy`` may be.
POLICIES = (_LAUNCH_PATH_POLICY, _IN_PLACE_POLICY)


class Gate:
    """Decides what becomes of a request.

    Args:
        account: settings, and what launches are made with.
        ids: from an ltik to its launch id.
        authenticator: asked for what is known; it is not asked to fetch.
        variables: makes CGI variables of what the adapter has; by default it has them. A function,
            so that a request that carries nothing does not pay for it.
    """

    def __init__(
        self,
        account: Account,
        ids: LaunchIds,
        authenticator: Authenticator,
        variables: Callable[[Any], Variables] | None = None,
    ) -> None:
        self._account = account
        settings = self._settings = account.settings
        self._ids = ids
        self._authenticator = authenticator
        self._known = authenticator.known
        self._variables = variables
        # NUL stands in no path, so that without launch paths nothing begins with it.
        self._prefix = f"{settings.launch_path}/" if settings.launch_path else "\0"
        self._id_from = len(self._prefix)
        custom = "HTTP_" + settings.header.upper().replace("-", "_") if settings.header else None
        self._sources = tuple(
            source
            for source in ("HTTP_AUTHORIZATION" if settings.bearer else None, custom)
            if source
        )
        self._everywhere = bool(self._sources or settings.require)
        self._secure_cookie = f"__Secure-{settings.cookie_name}="
        self._plain_cookie = f"{settings.cookie_name}="
        self._warned_plain_http = False

    def decide(self, path: str, query: str, request: Any) -> Decision | None:
        """What becomes of a request; None where the app is to have it as it is.

        Args:
            path: decoded, below the mount point; what of it the app is to see is a part of it.
            query: as it arrived.
            request: its variables, or what ``variables`` makes them of.
        """
        launch_id = entry = in_header = None
        if path.startswith(self._prefix):
            first, _, rest = path[self._id_from :].partition("/")
            entry = self._known(first)
            # What is known is of the shape. An address of another shape is the app's own.
            if entry is not None or _LAUNCH_ID.fullmatch(first):
                launch_id, path = first, "/" + rest
        elif not ("ltik" in query or self._everywhere):
            # Most requests carry nothing, and this is all that they pay.
            return None
        environ = request if self._variables is None else self._variables(request)
        if "ltik" in query or self._sources:
            brought = self._brought(environ, query)
            if isinstance(brought, Answer):
                return brought
            if brought is not None:
                ltik, other_query = brought
                if launch_id is None or other_query is not None:
                    return self._with_ltik(environ, ltik, path, launch_id, other_query)
                in_header = ltik
        if launch_id is None:
            return self._without_launch(environ, path)

        offered, other_cookies = self._cookies(environ)
        if in_header is not None:
            offered = (in_header,)
        elif environ.get("HTTP_SEC_FETCH_SITE") == "cross-site" and (
            environ.get("REQUEST_METHOD") not in _SAFE_METHODS or _upgrades(environ)
        ):
            # A change that another site's page asks for with this browser's cookies.
            return self._refuse(environ, "cross_site")
        for proof in offered:
            if entry is None:
                if self._is_of(proof, launch_id):
                    break
            else:
                # In a time that tells nothing of how much of it is right: the end is compared
                # first. It holds the signature (RFC 7515 section 7.1), so that whoever gets past it
                # has nothing left to learn from the rest.
                end = proof[-_SIGNATURE:]
                if (
                    end.isascii()
                    and compare_digest(end, entry.ltik[-_SIGNATURE:])
                    and proof == entry.ltik
                ):
                    break
        else:
            if in_header is not None:
                return self._refuse(environ, "malformed_ltik")
            return self._without_proof(environ, launch_id, path, query, other_cookies, entry)
        # A header proves as much as the cookie, but not that the browser keeps one.
        confirms = in_header is None
        if entry is None or entry.stale:
            return Verify(
                proof,
                launch_id,
                self._opener(environ, launch_id, path, query, other_cookies, confirms=confirms),
                confirms,
            )
        if confirms and not entry.confirmed:
            self._authenticator.confirm(entry)
        return self._open(environ, entry, launch_id, path, query, other_cookies)

    def launch_required(self, environ: Variables) -> Answer:
        """The answer where an app lets ``LaunchRequired`` through."""
        return self._refuse(environ, "launch_required")

    # -- an ltik that the request itself brings ---------------------------------------------------

    def _with_ltik(
        self,
        environ: Variables,
        ltik: str,
        path: str,
        launch_id: str | None,
        other_query: str | None,
    ) -> Decision:
        if launch_id is not None and not self._ids.match(ltik, launch_id):
            if not _captures(environ):
                # A program that names two launches at once means neither for sure.
                return self._refuse(environ, "malformed_ltik")
            launch_id = None

        def resume(outcome: Outcome) -> Decision:
            if isinstance(outcome, ApiError):
                return self._failed(environ, outcome)
            if other_query is not None and self._settings.launch_path and _captures(environ):
                return self._redirect(environ, outcome, other_query)
            return self._serve(environ, outcome, path, launch_id, other_query)

        own_id = launch_id or self._ids.of(ltik)
        entry = self._known(own_id)
        if entry is not None and not entry.stale:
            return resume(entry)
        return Verify(ltik, own_id, resume)

    def _redirect(self, environ: Variables, entry: CachedLaunch, query: str) -> Answer:
        """303 to the launch path, with the cookie and without what opened it."""
        mount = _mount(environ)
        path = _raw_path(environ, mount)
        if path.startswith(self._prefix):
            first, _, rest = path[self._id_from :].partition("/")
            if _LAUNCH_ID.fullmatch(first):
                # The address stands below a launch path already: this launch's, or another one's.
                path = "/" + rest
        location = f"{mount}{self._prefix}{entry.id}{path}"
        if query:
            location += "?" + quote(query, safe=_QUERY_SAFE, encoding="latin-1")
        headers = [
            ("Location", location),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
        ]
        cookie = self._cookie(environ, entry)
        if cookie is not None:
            headers.append(("Set-Cookie", cookie))
        return Answer(303, tuple(headers))

    # -- a launch path ----------------------------------------------------------------------------

    def _opener(
        self,
        environ: Variables,
        launch_id: str,
        path: str,
        query: str,
        other_cookies: str,
        *,
        confirms: bool = False,
        new_tab: bool = False,
    ) -> Callable[[Outcome], Decision]:
        def resume(outcome: Outcome) -> Decision:
            if isinstance(outcome, ApiError):
                return self._failed(environ, outcome)
            if confirms and not outcome.confirmed:
                self._authenticator.confirm(outcome)
            cookie = self._cookie(environ, outcome) if new_tab else None
            return self._open(environ, outcome, launch_id, path, query, other_cookies, cookie)

        return resume

    def _open(
        self,
        environ: Variables,
        entry: CachedLaunch,
        launch_id: str,
        path: str,
        query: str,
        other_cookies: str,
        set_cookie: str | None = None,
        other_query: str | None = None,
    ) -> Decision:
        """The launch is proved: serve it on its path, or lead on to where the address shows no
        handoff."""
        if query and handoffs.PARAMETER in query and _captures(environ):
            tokens, rest = _without(query, handoffs.PARAMETER)
            if tokens:
                return self._hand_off(environ, tokens[0], entry, rest, proved=True)
        prefix = self._prefix + launch_id
        # What carried the ltik is taken away: what the app is not shown, its error reports cannot
        # tell.
        without = self._carriers(environ) if self._sources else ()
        mount = environ.get("SCRIPT_NAME")
        launch = Launch(entry, self._account, _quoted(mount) + prefix if mount else prefix)
        return _new(
            Serve,
            (
                launch,
                path,
                prefix,
                other_query,
                other_cookies,
                without,
                _LAUNCH_PATH_POLICY,
                set_cookie,
            ),
        )

    def _without_proof(
        self,
        environ: Variables,
        launch_id: str,
        path: str,
        query: str,
        other_cookies: str,
        entry: CachedLaunch | None,
    ) -> Decision:
        """The path alone: until its cookie came back, for a handoff, or for a tab of the tool's."""

        def resume(entry: CachedLaunch | None) -> Decision:
            if entry is None:
                return self._refuse(environ, "launch_unknown")
            tokens, other_query = _without(query, handoffs.PARAMETER)
            if tokens and _captures(environ):
                return self._hand_off(environ, tokens[0], entry, other_query, proved=False)
            new_tab = entry.confirmed
            if new_tab and not self._is_own_new_tab(environ, launch_id):
                return self._refuse(environ, "launch_unknown")
            opener = self._opener(environ, launch_id, path, query, other_cookies, new_tab=new_tab)
            if entry.stale:
                return Verify(entry.ltik, launch_id, opener)
            return opener(entry)

        if self._authenticator.shares and (entry is None or not entry.confirmed):
            # Another worker may know the launch, or that its cookie has come back.
            return Blocking(lambda: self._authenticator.recall(launch_id), resume)
        return resume(entry)

    def _hand_off(
        self,
        environ: Variables,
        token: str,
        entry: CachedLaunch,
        other_query: str,
        *,
        proved: bool,
    ) -> Decision:
        """Use a handoff up, and lead on to where the address does not show it. Where the launch is
        ``proved`` without it, it is used up all the same: the address has been seen."""

        def resume(opens: bool) -> Decision:
            if not (opens or proved):
                return self._refuse(environ, "launch_unknown")
            return self._redirect(environ, entry, other_query)

        if not self._account.handoffs.check(token, entry.id):
            return resume(False)
        return Blocking(lambda: self._authenticator.use_once(token), resume)

    def _is_own_new_tab(self, environ: Variables, launch_id: str) -> bool:
        """A top-level navigation that the browser says was begun by a page of this launch.

        ``Referer`` is asked for too: a link to somebody's launch path that stands in another
        launch's page is same-origin as well.
        """
        if (
            self._settings.strict_launch_path
            or environ.get("REQUEST_METHOD") != "GET"
            or environ.get("HTTP_SEC_FETCH_SITE") != "same-origin"
            or environ.get("HTTP_SEC_FETCH_MODE") != "navigate"
            or environ.get("HTTP_SEC_FETCH_DEST") != "document"
        ):
            return False
        referer: str = environ.get("HTTP_REFERER", "")
        try:
            path = urlsplit(referer).path
        except ValueError:
            return False
        return path.startswith(f"{_mount(environ)}{self._prefix}{launch_id}/")

    def _is_of(self, ltik: str, launch_id: str) -> bool:
        """Whether a launch id, of which nothing is known, was made from what was offered."""
        return (
            len(ltik) <= self._settings.max_ltik_length
            and _LTIK.fullmatch(ltik) is not None
            and self._ids.match(ltik, launch_id)
        )

    # -- what the app is given --------------------------------------------------------------------

    def _serve(
        self,
        environ: Variables,
        entry: CachedLaunch,
        path: str,
        launch_id: str | None,
        other_query: str | None,
    ) -> Decision:
        """Hand on to the app what came with an ltik of its own."""
        if launch_id is not None:
            other_cookies = self._cookies(environ)[1]
            return self._open(environ, entry, launch_id, path, "", other_cookies, None, other_query)
        launch = Launch(entry, self._account, _mount(environ))
        without = self._carriers(environ)
        return Serve(launch, path, "", other_query, None, without, _IN_PLACE_POLICY, None)

    def _carriers(self, environ: Variables) -> list[str]:
        """The headers that carry an ltik."""
        return [source for source in self._sources if self._carried(environ, source)]

    def _without_launch(self, environ: Variables, path: str) -> Answer | None:
        require = self._settings.require
        if require is True or (callable(require) and require(path)):
            return self._refuse(environ, "launch_required")
        return None

    # -- what stands in headers -------------------------------------------------------------------

    def _brought(self, environ: Variables, query: str) -> tuple[str, str | None] | Answer | None:
        """An ltik that the request itself brings, and the query without it where it stood there; or
        what to answer where that is not one well-formed ltik."""
        in_query, other_query = _without(query, "ltik")
        in_headers = self._in_headers(environ)
        if not in_query and not in_headers:
            return None
        ltik = (in_query or in_headers)[0]
        if (
            len(in_query) > 1
            or len({*in_query, *in_headers}) > 1
            or len(ltik) > self._settings.max_ltik_length
            or not _LTIK.fullmatch(ltik)
        ):
            return self._refuse(environ, "malformed_ltik")
        return ltik, other_query if in_query else None

    def _in_headers(self, environ: Variables) -> list[str]:
        values = (self._carried(environ, source) for source in self._sources)
        return [value for value in values if value]

    @staticmethod
    def _carried(environ: Variables, source: str) -> str:
        value: str = environ.get(source, "")
        if source != "HTTP_AUTHORIZATION":
            return value.strip()
        scheme, _, token = value.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    def _cookies(self, environ: Variables) -> tuple[Sequence[str], str]:
        """All that came under the launch's cookie's name (a sibling host may have planted more),
        and the header without them."""
        header: str = environ.get("HTTP_COOKIE", "")
        secure = environ.get("wsgi.url_scheme") in _SECURE
        start = self._secure_cookie if secure else self._plain_cookie
        if ";" not in header:
            ltik = header.removeprefix(start)
            return ((ltik,), "") if len(ltik) < len(header) else ((), header)
        found, others = [], []
        for pair in header.split(";"):
            if pair.strip().startswith(start):
                found.append(pair.strip()[len(start) :])
            else:
                others.append(pair)
        return found, ";".join(others).strip()

    def _cookie(self, environ: Variables, entry: CachedLaunch) -> str | None:
        """The launch's cookie; None where no browser would keep it.

        ``SameSite=None`` needs ``Secure``, and a blocked third-party cookie is kept only with
        ``Partitioned`` (wire.md, "Where the browser gets in the way"). On plain http only a tool on
        the developer's own machine has one, and there LMS and tool are one site.
        """
        secure = environ.get("wsgi.url_scheme") in _SECURE
        start = self._secure_cookie if secure else self._plain_cookie
        left = max(0, int(self._authenticator.seconds_left(entry)))
        path = f"{_mount(environ)}{self._prefix}{entry.id}"
        cookie = f"{start}{entry.ltik}; Path={path}; Max-Age={left}; HttpOnly"
        if secure:
            return f"{cookie}; Secure; SameSite=None; Partitioned"
        try:
            host = urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname or ""
        except ValueError:
            host = ""
        if is_loopback(host):
            return f"{cookie}; SameSite=Lax"
        if not self._warned_plain_http:
            self._warned_plain_http = True
            _log.warning(
                "this tool is reached by plain http: no cookie can be set in an LMS's iframe, so "
                "launches are open to whoever knows their address. If TLS ends at a proxy, tell "
                "the app: Werkzeug's ProxyFix around this middleware, uvicorn --proxy-headers."
            )
        return None

    # -- refusals ---------------------------------------------------------------------------------

    def _refuse(self, environ: Variables, code: str) -> Answer:
        refused = refusal(code, wants_html=_is_navigation(environ))
        return render(refused, self._settings.on_refusal)

    def _failed(self, environ: Variables, error: ApiError) -> Answer:
        refused = refusal_for(error, wants_html=_is_navigation(environ))
        return render(refused, self._settings.on_refusal)


def _mount(environ: Variables) -> str:
    """The mount point, percent-encoded, without a slash at its end."""
    path = environ.get("SCRIPT_NAME")
    return _quoted(path) if path else ""


def _quoted(mount: str) -> str:
    """A mount point, percent-encoded, with one slash before it and none at its end: ``//host`` in a
    ``Location`` would be another site (RFC 3986 section 4.2), and it may have come from a header.
    """
    path = mount.strip("/")
    return "/" + quote(path, safe=_MOUNT_SAFE, encoding="latin-1") if path else ""


def _raw_path(environ: Variables, mount: str) -> str:
    """The path below the mount point as it arrived, where the server tells, else encoded anew."""
    path = environ.get("PATH_INFO", "")
    # Neither is part of PEP 3333; most servers give one of them.
    arrived = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    arrived = arrived.partition("?")[0]
    for raw in (arrived.removeprefix(mount), arrived):
        if raw.startswith("/") and unquote(raw, encoding="latin-1") == path:
            return quote(raw, safe=_PATH_SAFE + "%", encoding="latin-1")
    return quote(path, safe=_PATH_SAFE, encoding="latin-1") or "/"


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


def _upgrades(environ: Variables) -> bool:
    """A websocket's handshake where WSGI shows it: a GET (RFC 6455 section 4.1)."""
    upgrade: str = environ.get("HTTP_UPGRADE", "")
    return "websocket" in upgrade.lower() or environ.get("HTTP_SEC_FETCH_MODE") == "websocket"


def _is_navigation(environ: Variables) -> bool:
    """Whether a person will look at the answer (Fetch Metadata; ``Accept`` for older browsers)."""
    if environ.get("REQUEST_METHOD") == "WEBSOCKET":
        return False
    mode = environ.get("HTTP_SEC_FETCH_MODE")
    if mode:
        return mode in ("navigate", "nested-navigate")
    return "text/html" in environ.get("HTTP_ACCEPT", "")


def _captures(environ: Variables) -> bool:
    return environ.get("REQUEST_METHOD") == "GET" and _is_navigation(environ)
