"""What becomes of a request. No I/O: both adapters ask, and do as they are told.

Two rules that nothing here may break:

- What opens a launch is *proof*: the ltik itself, in the query, in an enabled header, or in the
  launch's own cookie, checked against the launch id in the path. The path alone opens a launch only
  until its cookie has come back once, or where the browser vouches for a new tab of the tool's own.
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
from ..launch import Account, Launch
from ..refusals import Answer
from .decisions import Blocking, Decision, Serve, Verify
from .launch_cookie import LaunchCookie
from .launch_path import LaunchPath, is_launch_id
from .ltiks import Brought, Ltiks, MalformedLtik
from .pages import refusal, refusal_for, render
from .request import Request, Variables, quoted_mount, without_parameter

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
        variables: Callable[[Any], Variables] | None = None,
    ) -> None:
        self._account = account
        settings = self._settings = account.settings
        self._ids = ids
        self._authenticator = authenticator
        self._peek = authenticator.peek
        self._use = authenticator.use
        self._variables = variables
        self._launch_path = LaunchPath(settings)
        self._cookie = LaunchCookie(settings, self._launch_path)
        self._ltiks = Ltiks(settings, ids)
        self._prefix = self._launch_path.prefix
        self._id_from = len(self._prefix)
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
            first, _, rest = path[self._id_from :].partition("/")
            entry = self._peek(first)
            # An address of another shape is the app's own.
            if entry is not None or is_launch_id(first):
                launch_id, path = first, "/" + rest
        elif not ("ltik" in query or self._looks_everywhere):
            # Most requests carry nothing, and this is all that they pay.
            return None
        variables = source if self._variables is None else self._variables(source)
        request = Request(variables, path, query, launch_id)
        brought = None
        if "ltik" in query or self._looks_in_headers:
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
        require = self._settings.require
        if require is True or (callable(require) and require(request.path)):
            return self._refuse(request, "launch_required")
        return None

    def _with_ltik(self, request: Request, brought: Brought) -> Decision:
        """The request itself brings an ltik: that decides, whatever its path says."""
        ltik, request.app_query = brought
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
        return Verify(ltik, launch_id, partial(self._verified, request, self._capture))

    def _capture(self, request: Request, entry: CachedLaunch) -> Decision:
        """The ltik is good: lead a browser to the launch's path, serve everyone else in place."""
        if request.app_query is not None and self._settings.launch_path and request.captures:
            return self._redirect(request, entry, request.app_query)
        if request.launch_id is not None:
            self._cookie.take(request)
            return self._serve(request, entry)
        launch = Launch(entry, self._account, request.mount)
        serve = Serve(launch, request.path, "")
        serve.query = request.app_query
        serve.without = self._ltiks.carriers(request)
        return serve

    # -- on a launch path -------------------------------------------------------------------------

    def _on_launch_path(
        self, request: Request, launch_id: str, entry: CachedLaunch | None, brought: Brought | None
    ) -> Decision:
        offered = self._cookie.take(request)
        if brought is not None:
            # A header proves as much as the cookie, but not that the browser keeps cookies.
            offered = (brought.ltik,)
        elif request.get("HTTP_SEC_FETCH_SITE") == "cross-site" and request.may_change_something:
            return self._refuse(request, "cross_site")
        proof = self._ltiks.proof(offered, launch_id, entry)
        if proof is None:
            if brought is not None:
                return self._refuse(request, "malformed_ltik")
            return self._without_proof(request, launch_id, entry)
        confirms = brought is None
        if entry is not None:
            entry = self._use(entry, confirms=confirms)
        if entry is None:
            resume = partial(self._verified, request, self._proved)
            return Verify(proof, launch_id, resume, confirms)
        return self._proved(request, entry)

    def _proved(self, request: Request, entry: CachedLaunch) -> Decision:
        """The request may have the launch that its path names."""
        query = request.query
        if query and handoffs.PARAMETER in query and request.captures:
            tokens, rest = without_parameter(query, handoffs.PARAMETER)
            if tokens:
                return self._hand_off(request, entry, tokens[0], rest, proved=True)
        return self._serve(request, entry)

    def _without_proof(
        self, request: Request, launch_id: str, entry: CachedLaunch | None
    ) -> Decision:
        """The path is all there is."""
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
        tokens, other_query = without_parameter(request.query, handoffs.PARAMETER)
        if tokens and request.captures:
            return self._hand_off(request, entry, tokens[0], other_query, proved=False)
        then = self._proved
        if entry.confirmed:
            if self._settings.strict_launch_path or not self._launch_path.is_own_new_tab(
                request, launch_id
            ):
                return self._refuse(request, "launch_unknown")
            then = self._open_new_tab
        used = self._use(entry)
        if used is None:
            return Verify(entry.ltik, launch_id, partial(self._verified, request, then))
        return then(request, used)

    def _open_new_tab(self, request: Request, entry: CachedLaunch) -> Decision:
        """A new tab has a cookie jar of its own, and gets a cookie for it."""
        request.set_cookies = self._cookies_for(request, entry)
        return self._proved(request, entry)

    def _hand_off(
        self, request: Request, entry: CachedLaunch, token: str, other_query: str, *, proved: bool
    ) -> Decision:
        """Use up a handoff and lead on to the address without it. Where the launch is ``proved``
        anyway it is used up all the same: the address has been seen."""

        def resume(opens: bool) -> Decision:
            if not (opens or proved):
                return self._refuse(request, "launch_unknown")
            return self._redirect(request, entry, other_query)

        if not self._account.handoffs.check(token, entry.id):
            return resume(False)
        return Blocking(partial(self._authenticator.use_once, token), resume)

    # -- what the adapter is given ----------------------------------------------------------------

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

    def _serve(self, request: Request, entry: CachedLaunch) -> Serve:
        """Serve a launch on its path."""
        prefix = f"{self._prefix}{request.launch_id}"
        mount = request.get("SCRIPT_NAME")
        launch = Launch(entry, self._account, quoted_mount(mount) + prefix if mount else prefix)
        serve = Serve(launch, request.path, prefix)
        serve.query = request.app_query
        serve.cookies = request.app_cookies
        serve.set_cookies = request.set_cookies
        if self._looks_in_headers:
            # The app's error reports cannot show what it never saw.
            serve.without = self._ltiks.carriers(request)
        return serve

    def _redirect(self, request: Request, entry: CachedLaunch, query: str) -> Answer:
        """303 to the launch path, with the cookie and without what opened it."""
        headers = [
            ("Location", self._launch_path.address(request, entry.id, query)),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
        ]
        headers += [("Set-Cookie", cookie) for cookie in self._cookies_for(request, entry)]
        return Answer(303, tuple(headers))

    def _cookies_for(self, request: Request, entry: CachedLaunch) -> tuple[str, ...]:
        return self._cookie.make(request, entry, self._authenticator.seconds_left(entry))

    def _refuse(self, request: Request, code: str) -> Answer:
        refused = refusal(code, wants_html=request.is_navigation)
        return render(refused, self._settings.on_refusal)
