"""What becomes of a request. No I/O: both adapters ask, and do as they are told.

Three rules that nothing here may break:

- What opens a launch is *proof*: the ltik itself, in the query, in an enabled header, or in the
  launch's own cookie, checked against the launch id in the path. The path alone opens a launch only
  until its cookie has come back once, with a handoff, or (``strict_launch_path=False``) where the
  browser vouches for a new tab of the tool's own.
- Where the browser adds the proof by itself, another origin's page may not change anything with it.
- What does not have the shape of an ltik never leads to a call to LTIAAS, and neither does a header
  that was not enabled.

``Gate.decide`` returns ``Serve`` (hand the request to the app), an ``Answer`` (do not), None
(nothing of ours: the app has it as it is), or something to wait for, ``Verify`` or ``Blocking``,
whose ``resume`` takes the result and returns the next decision.

Every request of a tool passes through here, so ``decide`` and ``_on_launch_path`` are written to be
short at run time: see benchmarks/README.md before adding a call there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .._crypto import handoffs
from .._crypto.keys import LaunchIds
from .._verification.authenticator import Authenticator, Outcome
from .._verification.launches import CachedLaunch
from ..errors import ApiError
from ..launch import Account
from ..refusals import Answer
from .cross_origin import CrossOrigin
from .decisions import Blocking, Decision, Verify
from .hits import Hits
from .launch_cookie import LaunchCookie
from .launch_path import LaunchPath, is_launch_id
from .ltiks import Brought, Ltiks, MalformedLtik
from .new_tabs import SCRIPT_PATH, script_answer
from .outside import Outside
from .pages import refusal, refusal_for, render
from .request import Request, Translator, Variables, without_parameter
from .serving import Serving
from .stray import Strays

__all__ = ["Gate"]


class Gate:
    """Decides what becomes of a request.

    Args:
        account: settings, and what launches are made with.
        ids: from an ltik to its launch id.
        authenticator: asked for what is known; it is not asked to fetch.
        variables: makes CGI variables of what the adapter has; None where it has them. A function,
            so that a request that carries nothing does not pay for it.
    """

    def __init__(
        self,
        account: Account,
        ids: LaunchIds,
        authenticator: Authenticator,
        variables: Translator | None = None,
    ) -> None:
        self._account = account
        settings = self._settings = account.settings
        self._ids = ids
        self._authenticator = authenticator
        self._peek = authenticator.peek
        self._use = authenticator.use
        self._variables = variables
        self._referer = _referer if variables is None else variables.referer
        self._launch_path = LaunchPath(settings)
        self._cookie = LaunchCookie(settings, self._launch_path)
        self._ltiks = Ltiks(settings, ids)
        self._cross_origin = CrossOrigin(settings)
        self._outside = Outside(settings.outside)
        self._strays = Strays(self._launch_path)
        self._prefix = self._launch_path.prefix
        self._id_from = len(self._prefix)
        self._serving = Serving(
            account, authenticator, self._launch_path, self._cookie, self._ltiks
        )
        self._hits = Hits(account, authenticator, self._prefix, self._cookie)
        self._serve = self._serving.on_its_path
        self._looks_in_headers = bool(self._ltiks.sources)
        self._looks_everywhere = bool(self._ltiks.sources or settings.require)

    def decide(self, path: str, query: str, source: Any) -> Decision | None:
        """What becomes of a request; None where the app is to have it as it is.

        Args:
            path: decoded, below the mount point.
            query: as it arrived.
            source: its CGI variables, or what ``variables`` makes them from.
        """
        launch_id = entry = None
        if path.startswith(self._prefix):
            first, slash, rest = path[self._id_from :].partition("/")
            entry = self._peek(first)
            # An address of another shape is the app's own.
            if entry is not None or is_launch_id(first):
                launch_id, path = first, slash + rest
        if (
            launch_id is None
            and not ("ltik" in query or self._looks_everywhere)
            and self._prefix not in self._referer(source)
        ):
            # Most requests carry nothing, and this is all that they pay.
            return None
        variables = source if self._variables is None else self._variables(source)
        if self._outside.anything and self._outside.covers(path):
            if launch_id is None:
                return None
            return self._serving.outside(Request(variables, path, query, launch_id))
        may_bring = "ltik" in query or self._looks_in_headers
        if entry is not None and not may_bring:
            hit = self._hits.serve(entry, path, query, variables.get)
            if hit is not None:
                return hit
        request = Request(variables, path, query, launch_id)
        brought = None
        if may_bring:
            try:
                brought = self._ltiks.brought(request)
            except MalformedLtik:
                return self._refuse(request, "malformed_ltik")
        if brought is not None and (launch_id is None or brought.other_query is not None):
            return self._with_ltik(request, brought)
        if launch_id is None:
            return self._without_launch(request)
        return self._on_launch_path(request, launch_id, entry, brought)

    def launch_required(self, variables: Variables) -> Answer:
        """The answer where an app lets ``LaunchRequired`` through."""
        return self._refuse(Request(variables, "", "", None), "launch_required")

    # -- outside a launch path --------------------------------------------------------------------

    def _without_launch(self, request: Request) -> Answer | None:
        if request.is_preflight:
            return None
        require = self._settings.require
        required = require is True or (callable(require) and require(request.path))
        stray_of = self._strays.launch_of(request, required=required)
        if stray_of is not None:
            # 307 keeps method and body. It proves nothing: the proof is asked for where it leads.
            location = self._launch_path.address(request, stray_of, request.query)
            return Answer(307, (("Location", location),))
        return self._refuse(request, "launch_required") if required else None

    def _with_ltik(self, request: Request, brought: Brought) -> Decision:
        """The request itself brings an ltik: that decides, whatever its path says."""
        ltik, request.app_query = brought
        if request.is_preflight:
            return self._serving.without_launch(request)
        if request.launch_id is not None and not self._ids.match(ltik, request.launch_id):
            if not request.captures:
                # A program that names two launches at once means neither for sure.
                return self._refuse(request, "malformed_ltik")
            request.launch_id = None
        launch_id = request.launch_id or self._ids.of(ltik)
        entry = self._peek(launch_id)
        if entry is not None:
            entry = self._use(entry)
        if entry is not None:
            return self._capture(request, entry)
        return self._verify(request, ltik, launch_id, self._capture)

    def _capture(self, request: Request, entry: CachedLaunch) -> Decision:
        """The ltik is good: lead a browser to the launch's path, serve everyone else in place."""
        if request.app_query is not None and self._settings.launch_path and request.captures:
            cookies = self._serving.cookies(request, entry)
            return self._serving.redirect(request, entry, request.app_query, cookies)
        if request.launch_id is not None:
            self._cookie.take(request)
            return self._serve(request, entry)
        return self._serving.in_place(request, entry)

    # -- on a launch path -------------------------------------------------------------------------

    def _on_launch_path(
        self, request: Request, launch_id: str, entry: CachedLaunch | None, brought: Brought | None
    ) -> Decision:
        if not request.path and not (request.is_preflight or request.is_websocket):
            # A page there would have its relative links beside the launch.
            return self._serving.moved(self._launch_path.address(request, launch_id, request.query))
        if request.path == SCRIPT_PATH:
            return script_answer(request)
        if handoffs.PARAMETER in request.query:
            self._take_handoff(request)
        offered = self._cookie.take(request)
        if brought is not None:
            # A header proves as much as the cookie, but not that the browser keeps cookies.
            return self._with_header(request, launch_id, entry, brought.ltik)
        site = request.get("HTTP_SEC_FETCH_SITE")
        if (
            site != "same-origin"
            and request.may_change_something
            and not self._cross_origin.allows(request)
        ):
            return self._refuse(request, "cross_site")
        proof = self._ltiks.proof(offered.frame, launch_id, entry)
        confirms = proof is not None
        if proof is None and offered.tab:
            proof = self._ltiks.proof(offered.tab, launch_id, entry)
        if proof is None:
            return self._without_proof(request, launch_id, entry)
        return self._with_proof(request, launch_id, entry, proof, confirms=confirms)

    def _with_header(
        self, request: Request, launch_id: str, entry: CachedLaunch | None, ltik: str
    ) -> Decision:
        proof = self._ltiks.proof((ltik,), launch_id, entry)
        if proof is None:
            return self._refuse(request, "malformed_ltik")
        return self._with_proof(request, launch_id, entry, proof, confirms=False)

    def _with_proof(
        self,
        request: Request,
        launch_id: str,
        entry: CachedLaunch | None,
        proof: str,
        *,
        confirms: bool,
    ) -> Decision:
        """Serve the launch that the path names, once it is known.

        Args:
            confirms: whether the proof shows that the frame keeps cookies.
        """
        if entry is not None:
            entry = self._use(entry, confirms=confirms)
        if entry is None:
            return self._verify(request, proof, launch_id, self._proved, confirms=confirms)
        return self._proved(request, entry)

    def _proved(self, request: Request, entry: CachedLaunch) -> Decision:
        """The request may have the launch that its path names."""
        if request.handoff is None:
            return self._serve(request, entry)
        # It is used up although it was not needed: the address has been seen.
        return self._use_handoff(
            request, entry, request.handoff, partial(self._led_on, request, entry)
        )

    def _led_on(self, request: Request, entry: CachedLaunch, opens: bool) -> Decision:
        if request.is_plain_get:
            return self._serve(request, entry)
        return self._serving.redirect(request, entry, request.app_query or "", ())

    def _without_proof(
        self, request: Request, launch_id: str, entry: CachedLaunch | None
    ) -> Decision:
        """The path is all there is."""
        if request.is_preflight:
            return self._serving.without_launch(request)
        if self._authenticator.shares and (entry is None or not entry.confirmed):
            # Another worker may know the launch, or that its cookie has come back.
            recall = partial(self._authenticator.recall, launch_id)
            return Blocking(recall, partial(self._by_path_alone, request, launch_id))
        return self._by_path_alone(request, launch_id, entry)

    def _by_path_alone(
        self, request: Request, launch_id: str, entry: CachedLaunch | None
    ) -> Decision:
        """The path alone opens a launch until its cookie has come back, and after that with a
        handoff, or for a new tab of the tool's own."""
        if entry is None or self._authenticator.seconds_left(entry) <= 0:
            return self._refuse(request, "launch_unknown")
        if request.handoff is not None:
            return self._use_handoff(
                request, entry, request.handoff, partial(self._handed_off, request, entry)
            )
        then = self._proved
        if entry.confirmed:
            if self._settings.strict_launch_path or not self._launch_path.is_own_new_tab(
                request, launch_id
            ):
                return self._refuse(request, "launch_unknown")
            then = self._open_own_tab
        return self._known_or_verify(request, entry, then)

    def _known_or_verify(
        self,
        request: Request,
        entry: CachedLaunch,
        then: Callable[[Request, CachedLaunch], Decision],
    ) -> Decision:
        used = self._use(entry)
        if used is None:
            return self._verify(request, entry.ltik, entry.id, then)
        return then(request, used)

    # -- new tabs ---------------------------------------------------------------------------------

    def _take_handoff(self, request: Request) -> None:
        """The app does not see a handoff; whether one may be used up now is another question."""
        tokens, rest = without_parameter(request.query, handoffs.PARAMETER)
        if tokens:
            request.app_query = rest
            request.handoff = tokens[0] if request.may_use_handoff else None

    def _use_handoff(
        self,
        request: Request,
        entry: CachedLaunch,
        token: str,
        then: Callable[[bool], Decision],
    ) -> Decision:
        """Use a handoff up, and go on with whether it opens the launch."""
        request.handoff = None
        if not self._account.handoffs.check(token, entry.id):
            return then(False)
        return Blocking(partial(self._authenticator.use_once, token), then)

    def _handed_off(self, request: Request, entry: CachedLaunch, opens: bool) -> Decision:
        if not opens:
            return self._refuse(request, "launch_unknown")
        if not request.is_plain_get:
            cookies = self._serving.cookies(request, entry, tab=True)
            return self._serving.redirect(request, entry, request.app_query or "", cookies)
        # A webview's download manager keeps no cookie over a redirect.
        return self._known_or_verify(request, entry, self._open_tab)

    def _open_own_tab(self, request: Request, entry: CachedLaunch) -> Decision:
        """A new tab has a cookie jar of its own, and gets a cookie for it."""
        request.set_cookies = self._serving.cookies(request, entry)
        return self._serve(request, entry)

    def _open_tab(self, request: Request, entry: CachedLaunch) -> Decision:
        """The same by a handoff, which says nothing about the frame's cookies."""
        request.set_cookies = self._serving.cookies(request, entry, tab=True)
        return self._serve(request, entry)

    # -- what the adapter is given ----------------------------------------------------------------

    def _verify(
        self,
        request: Request,
        ltik: str,
        launch_id: str,
        then: Callable[[Request, CachedLaunch], Decision],
        *,
        confirms: bool = False,
    ) -> Verify:
        """Ask LTIAAS about a launch, and go on with it."""
        return Verify(
            ltik,
            launch_id,
            partial(self._verified, request, then),
            confirms,
            # A page that reloads itself does so by GET.
            request.captures,
            request.get("REMOTE_ADDR") or "",
        )

    def _verified(
        self,
        request: Request,
        then: Callable[[Request, CachedLaunch], Decision],
        outcome: Outcome,
    ) -> Decision:
        """Go on with a launch that LTIAAS was asked about."""
        if isinstance(outcome, ApiError):
            refused = refusal_for(outcome, wants_html=request.is_navigation)
            return render(refused, self._settings.on_refusal)
        return then(request, outcome)

    def _refuse(self, request: Request, code: str) -> Answer:
        refused = refusal(code, wants_html=request.is_navigation)
        return render(refused, self._settings.on_refusal)


def _referer(variables: Variables) -> str:
    return variables.get("HTTP_REFERER") or ""
