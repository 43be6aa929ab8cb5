"""Decides how to handle a request. Nothing here blocks.

No code here may break these three rules:

- *Proof* opens a launch: the ltik itself, in the query, in an enabled header, or in the launch's
  cookie, checked against the launch id in the path. The path alone opens a launch only until the
  browser has sent the cookie back once. After that, it needs a one-time link.
- If the browser adds the proof by itself, or another page put it into the URL, another origin's
  page must not be able to change anything with it.
- A value that does not have the format of an ltik never causes a call to LTIAAS, and neither does a
  header that is not enabled.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, AnyStr

from .._crypto import one_time_tokens
from .._crypto.keys import LAUNCH_ID_LENGTH, LaunchIds
from .._verification.authenticator import Authenticator, Outcome
from .._verification.launches import CachedLaunch, Verification
from ..errors import ApiError
from ..launch import Account, Launch
from ..responses import Response
from .authentication import Authentication, CookieAuthentication
from .callbacks import Callbacks
from .cross_origin import CrossOrigin
from .decisions import Decision, Flow, Refused, Serve
from .frame import AppAnswers
from .insertion import Insertions
from .launch_cookie import LaunchCookie
from .launch_path import LaunchPath, is_launch_id
from .launch_script import LaunchScript
from .ltiks import Ltiks, RequestLtik
from .outside import OutsideRequests
from .pages import ErrorPages
from .paths import Paths, is_malformed
from .request import Request, Variables, without_parameters
from .serving import Serving

__all__ = ["Gate"]


class Gate:
    """Decides how to handle a request. It looks up known launches in ``authenticator``, and never
    tells it to fetch."""

    def __init__(self, account: Account, ids: LaunchIds, authenticator: Authenticator) -> None:
        self._account = account
        settings = self._settings = account.settings
        self._ids = ids
        self._authenticator = authenticator
        self._peek = authenticator.peek
        self._use = authenticator.use
        paths = self._launch_path = LaunchPath(settings)
        self._cookie = LaunchCookie(settings, paths)
        self._ltiks = Ltiks(settings, ids)
        uses_redis = settings.cache not in ("auto", "memory")
        self._cookies = CookieAuthentication(self._cookie, self._ltiks, uses_redis=uses_redis)
        self._cross_origin = CrossOrigin(settings)
        self._excluded = Paths(settings.exclude)
        # Frameworks also serve /staff as /staff.json, and cut off what looks like a fragment.
        self._required = Paths(settings.require, ends="/.;?#")
        self._outside = OutsideRequests(self._launch_path)
        self._callbacks = Callbacks(settings, self._launch_path, self._excluded)
        names = settings.tool_name, settings.support_url
        self._pages = ErrorPages(settings.on_error, *names, paths.of_refusals)
        self._script = LaunchScript(settings)
        self._own_paths = (paths.of_refusals, self._script.path)
        self._prefix, self._id_from = paths.prefix, len(paths.prefix)
        self._id_to = self._id_from + LAUNCH_ID_LENGTH
        self._serving = Serving(account, self._launch_path, self._cookie, self._ltiks)
        self._serve = self._serving.on_its_path
        self._may_hold_ltik = self._ltiks.may_hold
        self._looks_in_headers = bool(self._ltiks.sources)
        self._looks_everywhere = self._looks_in_headers or self._required.anything

    def decide(self, path: str, query: str, variables: Variables) -> Serve | Flow | None:
        """Decide how to handle a request. ``Serve`` passes it to the app as described there, and
        None passes it unchanged. A ``Flow`` returns one of these, or a ``Response`` to send without
        calling the app.

        Args:
            path: decoded, as text, under the mount point.
            query: as received.
            variables: its CGI variables.
        """
        launch_id = entry = None
        is_ours = not (path.isascii() and path.isprintable() and path[:1] == "/")
        if is_ours:
            is_ours = is_malformed(path)
        if not is_ours and path.startswith(self._prefix):
            first, rest = path[self._id_from : self._id_to], path[self._id_to :]
            entry = self._peek(first)
            # A path of another form belongs to the app.
            if (entry is not None or is_launch_id(first)) and rest[:1] in ("", "/"):
                launch_id, path = first, rest
            is_ours = launch_id is not None or path in self._own_paths
        if not (
            is_ours
            or (query and (self._may_hold_ltik(query) or path in self._callbacks.paths))
            or self._looks_everywhere
            or self._prefix in variables.get("HTTP_REFERER", "")
        ):
            # Most requests end here, so this is all that they cost.
            return None
        request = Request(variables, path, query, launch_id)
        try:
            if launch_id is None:
                decision = self._elsewhere(request)
            else:
                decision = self._on_launch_path(request, launch_id, entry)
        except Refused as error:
            decision = self._refuse(request, error)
        if decision is None or type(decision) is Serve:
            return decision
        return self._flow(request, decision)

    def app_answers(self, kind: type[AnyStr]) -> AppAnswers[AnyStr]:
        """Adapts the app's response headers, which are ``str`` or ``bytes`` in the adapter."""
        return AppAnswers(kind, self._settings, self._callbacks, self._excluded.any)

    def insertions(self, kind: type[AnyStr]) -> Insertions[AnyStr]:
        """Inserts the script into the app's documents; ``kind`` as for ``app_answers``."""
        return Insertions(kind, self._script)

    def answer_for_app(self, code: str, launch: Launch | None, variables: Variables) -> Response:
        """The response to a request for which the app raised a ``RequestRefused``."""
        path = (variables.get("PATH_INFO") or "").encode("latin-1").decode("utf-8", "replace")
        request = Request(variables, path, variables.get("QUERY_STRING") or "", None)
        answer = None
        if launch is not None:
            request.error_launch_id = launch.id
        elif not self._excluded.any(path):
            answer = self._into_launch(request, required=True)
        answer = answer or self._refuse(request, Refused(code))
        return self._cross_origin.readable(answer, request)

    def _flow(self, request: Request, decision: Decision) -> Flow:
        """Carry on with a decision until there is nothing left to wait for."""
        try:
            if isinstance(decision, Generator):
                decision = yield from decision
        except (Refused, ApiError) as error:
            decision = self._refuse(request, error)
        if isinstance(decision, Response):
            return self._cross_origin.readable(decision, request)
        return decision

    # -- outside a launch path --------------------------------------------------------------------

    def _elsewhere(self, request: Request) -> Decision:
        path = request.path
        if path == self._script.path:
            return self._script.response(request)
        self._refuse_path(request)
        paths = request.paths
        required = any(map(self._required.any, paths)) and not all(map(self._excluded.all, paths))
        if required and request.is_preflight:
            return self._preflight(request)
        if not self._excluded.any(path):
            found = self._ltiks.in_request(request)
            if found is not None:
                return self._with_ltik(request, found)
            answer = self._into_launch(request, required=required)
            if answer is not None:
                return answer
        if required:
            raise Refused("launch_required")
        return None

    def _into_launch(self, request: Request, *, required: bool) -> Response | None:
        # The redirect proves nothing: the launch path requires proof.
        answer = self._callbacks.into_launch(request)
        return answer or self._outside.into_launch(request, required=required)

    def _refuse_path(self, request: Request) -> None:
        path = request.path
        if path == self._launch_path.of_refusals:
            raise Refused("cross_site")
        is_server_wide = path == "*" and request.get("REQUEST_METHOD") == "OPTIONS"
        if is_malformed(path) and not is_server_wide:
            raise Refused("malformed_path")

    def _preflight(self, request: Request) -> Response:
        answer = self._cross_origin.preflight(request)
        if answer is None:
            raise Refused("cross_site")
        return answer

    def _with_ltik(self, request: Request, found: RequestLtik) -> Flow:
        """The request has an ltik, which decides, whatever the path says."""
        ltik, request.app_query = found
        if request.is_preflight:
            # It goes to the app, because the path needs no launch, but without the ltik.
            return self._serving.in_place(request, None)
        if not self._ltiks.carriers(request):
            # A page of another origin can put an ltik into a URL, but not into a header.
            self._refuse_cross_origin(request)
        if request.launch_id is not None and not self._ids.match(ltik, request.launch_id):
            if not request.captures:
                # The program names two launches, so it is unclear which one it means.
                raise Refused("malformed_ltik")
            request.launch_id = None
        launch_id = request.error_launch_id = request.launch_id or self._ids.of(ltik)
        entry = self._peek(launch_id)
        entry = None if entry is None else self._use(entry)
        if entry is None:
            entry = yield from self._verified(request, Authentication(ltik), launch_id)
        if request.app_query is not None and self._settings.launch_path and request.captures:
            cookies = self._serving.cookies(request, entry)
            return self._serving.redirect(request, entry, request.app_query, cookies)
        if request.launch_id is None:
            return self._serving.in_place(request, entry)
        self._cookie.extract(request)
        return self._serve(request, entry)

    # -- on a launch path -------------------------------------------------------------------------

    def _on_launch_path(
        self, request: Request, launch_id: str, entry: CachedLaunch | None
    ) -> Decision:
        path = request.path
        is_own_page = request.site == "same-origin"
        if not is_own_page and request.is_preflight:
            return self._preflight(request)
        if self._excluded.anything and self._excluded.any(path):
            return self._serving.excluded(request)
        found = None
        if self._looks_in_headers or (request.query and self._may_hold_ltik(request.query)):
            found = self._ltiks.in_request(request)
            if found is not None and found.other_query is not None:
                return self._with_ltik(request, found)
        if not path and not request.is_websocket:
            # Relative links on a page without the slash would leave the launch.
            location = self._launch_path.location(request, launch_id, request.query)
            return self._serving.moved(location, for_good=entry is not None)
        if request.query and one_time_tokens.PARAMETER in request.query:
            self._extract_one_time_token(request)
        if found is not None:
            return self._with_header(request, launch_id, entry, found.ltik)
        if not is_own_page:
            self._refuse_cross_origin(request)
        by = self._cookies.of(request, launch_id, entry)
        if by is None:
            return self._url_only(request, launch_id, entry)
        return self._authenticated(request, launch_id, entry, by)

    def _with_header(
        self, request: Request, launch_id: str, entry: CachedLaunch | None, ltik: str
    ) -> Decision:
        """A header authenticates like the cookie, but does not show that the browser keeps
        cookies."""
        self._cookie.extract(request)
        if self._ltiks.matching((ltik,), launch_id, entry) is None:
            raise Refused("malformed_ltik")
        return self._authenticated(request, launch_id, entry, Authentication(ltik))

    def _refuse_cross_origin(self, request: Request) -> None:
        if request.may_change_something and not self._cross_origin.allows(request):
            raise Refused("cross_site")

    def _authenticated(
        self, request: Request, launch_id: str, entry: CachedLaunch | None, by: Authentication
    ) -> Decision:
        used = None if entry is None else self._use(entry, by.binds)
        if used is not None and request.one_time_token is None:
            return self._serve(request, used)
        return self._once_verified(request, launch_id, used, by)

    def _once_verified(
        self, request: Request, launch_id: str, used: CachedLaunch | None, by: Authentication
    ) -> Flow:
        if used is None:
            used = yield from self._verified(request, by, launch_id)
        if request.one_time_token is not None:
            # Use it up although it was not needed, because others may have seen the URL.
            yield from self._opens(request.one_time_token, used)
            if not request.is_plain_get:
                return self._serving.redirect(request, used, request.app_query or "", ())
        return self._serve(request, used)

    def _url_only(self, request: Request, launch_id: str, entry: CachedLaunch | None) -> Flow:
        """The path alone opens a launch until its cookie has come back. After that, only a one-time
        link does."""
        token = request.one_time_token
        entry, jar = yield from self._opened(request, launch_id, entry)
        if token is not None and not request.is_plain_get:
            cookies = self._serving.cookies(request, entry, tab=True)
            return self._serving.redirect(request, entry, request.app_query or "", cookies)
        used = self._use(entry)
        if used is None:
            used = yield from self._verified(request, Authentication(entry.ltik), launch_id)
            if token is None:
                # The cookie may have come back meanwhile.
                jar = (yield from self._opened(request, launch_id, used))[1]
        if token is None:
            keep = partial(self._authenticator.change_jar, used)
            return (yield from self._serving.with_jar(request, used, jar, keep))
        # A webview loses cookies across a redirect. A tab's cookies say nothing about the iframe's.
        request.set_cookies = self._serving.cookies(request, used, tab=True)
        return self._serve(request, used)

    def _opened(
        self, request: Request, launch_id: str, entry: CachedLaunch | None
    ) -> Generator[Callable[[], Any], Any, tuple[CachedLaunch, bytes | None]]:
        """A launch that its path or the request's one-time token opens, and its jar."""
        token, jar = request.one_time_token, None
        if entry is None or not entry.cookie_bound:
            # Another worker may know the launch, or know that its cookie has come back.
            look = partial(self._authenticator.recall_with_jar, launch_id)
            entry, jar = (yield look) if self._authenticator.shares else look()
        if entry is None:
            raise self._cookies.refusal(request, launch_id, is_bound=False)
        opens = not entry.cookie_bound if token is None else (yield from self._opens(token, entry))
        if not opens:
            raise self._cookies.refusal(request, launch_id, is_bound=token is None)
        return entry, jar

    def _extract_one_time_token(self, request: Request) -> None:
        """Hide a one-time token from the app, and keep it if this request may use it."""
        found, rest = without_parameters(request.query, (one_time_tokens.PARAMETER,))
        if found:
            request.app_query = rest
            request.one_time_token = found[0][1] if request.may_use_one_time_token else None

    def _opens(self, token: str, entry: CachedLaunch) -> Generator[Callable[[], bool], bool, bool]:
        """Use up a one-time link. Returns whether it opens the launch."""
        at = self._account.one_time_tokens.check(token, entry.id)
        return at is not None and (yield partial(self._authenticator.use_once, token, at))

    def _verified(
        self, request: Request, by: Authentication, launch_id: str
    ) -> Generator[Verification, Outcome, CachedLaunch]:
        """Verify a launch with LTIAAS. Raises ``ApiError``."""
        authenticated = request.launch_id == launch_id
        # Only a GET can become a page that reloads itself.
        page, address = request.captures, request.get("REMOTE_ADDR") or ""
        ltik, binds = by
        outcome = yield Verification(ltik, launch_id, binds, authenticated, page, address)
        if isinstance(outcome, ApiError):
            raise outcome
        return outcome

    def _refuse(self, request: Request, error: Refused | ApiError) -> Response:
        return self._pages.response(error.code if isinstance(error, Refused) else error, request)
