"""What docs/launch-paths.md says becomes of a request, written from its section "What becomes of a
request" and what that links to, and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.gate.asked import Asked, Launch

OWN_ORIGINS = {"https://tool.example", "https://TOOL.example:443"}
TRUSTED = "https://app.example"


@dataclass(frozen=True)
class Expected:
    """An answer, or what the app is to see.

    Attributes:
        status: 200 where the app answers.
        app: whether it does.
        launch: the launch that the app, or a redirect, is about.
        cookie: "frame" or "tab" where one is set.
        asks: whether LTIAAS may be asked.
    """

    status: int
    app: bool = False
    launch: Launch | None = None
    cookie: str | None = None
    asks: bool = False


@dataclass
class Oracle:
    """One worker, and what it remembers."""

    require: bool
    strict: bool
    header: bool
    known: set[Launch] = field(default_factory=set)
    confirmed: set[Launch] = field(default_factory=set)
    used: set[int] = field(default_factory=set)

    def forget(self) -> None:
        """Another worker."""
        self.known.clear()
        self.confirmed.clear()

    def expect(self, asked: Asked) -> Expected:
        on = asked.place if isinstance(asked.place, Launch) else None
        if asked.is_outside:
            return Expected(200, app=True) if on is None else Expected(308)

        in_header = [asked.in_header] if self.header and asked.in_header is not None else []
        brought = [*asked.in_query, *in_header]
        if len(asked.in_query) > 1 or len(set(brought)) > 1 or "junk" in brought:
            return Expected(400)
        if asked.in_query or (in_header and on is None):
            return self._with_ltik(asked, brought[0], on)
        if on is not None:
            return self._on_launch_path(asked, on, in_header[0] if in_header else None)
        return self._elsewhere(asked)

    def _with_ltik(self, asked: Asked, ltik: Launch, on: Launch | None) -> Expected:
        if asked.is_preflight:
            return Expected(200, app=True)
        leads = bool(asked.in_query) and asked.is_navigation
        if on is not None and ltik is not on and not leads:
            return Expected(400)
        if not self._verify(ltik):
            return Expected(401, asks=True)
        if leads:
            return Expected(303, launch=ltik, cookie="frame", asks=True)
        return self._served(asked, ltik, asks=True)

    def _on_launch_path(self, asked: Asked, on: Launch, in_header: Launch | None) -> Expected:
        if not asked.rest and not asked.is_websocket and not asked.is_preflight:
            return Expected(308)
        if asked.rest == "/ltiaas-new-tabs.js":
            return Expected(200 if asked.method in ("GET", "HEAD") else 405)
        if in_header is not None:
            if in_header is not on:
                return Expected(400)
            return self._proved(asked, on)
        if self._is_foreign(asked):
            return Expected(403)
        if on in asked.frame_cookies or on in asked.tab_cookies:
            return self._proved(asked, on, confirms=on in asked.frame_cookies)
        if asked.is_preflight:
            return Expected(200, app=True)
        if on not in self.known:
            return Expected(401)
        if asked.handoff is not None and asked.may_use_handoff:
            return self._by_handoff(asked, on)
        if on not in self.confirmed:
            return self._served(asked, on)
        if not self.strict and asked.is_new_tab_of(on):
            return self._served(asked, on, cookie="frame")
        return Expected(401)

    def _proved(self, asked: Asked, on: Launch, *, confirms: bool = False) -> Expected:
        if not self._verify(on):
            return Expected(401, asks=True)
        if confirms:
            self.confirmed.add(on)
        if asked.handoff is not None and asked.may_use_handoff:
            if asked.handoff_for is on and asked.handoff_is_valid:
                self.used.add(asked.handoff)
            if not asked.is_plain_get:
                return Expected(303, launch=on, asks=True)
        return self._served(asked, on, asks=True)

    def _by_handoff(self, asked: Asked, on: Launch) -> Expected:
        assert asked.handoff is not None
        opens = asked.handoff_for is on and asked.handoff_is_valid
        if not opens or asked.handoff in self.used:
            return Expected(401)
        self.used.add(asked.handoff)
        if asked.is_plain_get:
            return self._served(asked, on, cookie="tab")
        return Expected(303, launch=on, cookie="tab")

    def _elsewhere(self, asked: Asked) -> Expected:
        if asked.is_preflight:
            return Expected(200, app=True)
        wants = asked.dest in ("document", "iframe", "frame", "empty") or self.require
        if (
            asked.site == "same-origin"
            and isinstance(asked.referer, Launch)
            and wants
            and not asked.is_websocket
        ):
            return Expected(307, launch=asked.referer)
        return Expected(401) if self.require else Expected(200, app=True)

    def _is_foreign(self, asked: Asked) -> bool:
        if asked.method in ("GET", "HEAD", "OPTIONS", "TRACE") and not asked.is_websocket:
            return False
        if asked.origin == TRUSTED:
            return False
        if asked.site is not None:
            return asked.site not in ("same-origin", "none")
        return asked.origin is not None and asked.origin not in OWN_ORIGINS

    def _verify(self, launch: Launch) -> bool:
        if launch.is_refused:
            return False
        self.known.add(launch)
        return True

    @staticmethod
    def _served(
        asked: Asked, launch: Launch, *, cookie: str | None = None, asks: bool = False
    ) -> Expected:
        if asked.rest == "/ltiaas-handoff" and isinstance(asked.place, Launch):
            return Expected(400 if asked.method == "POST" else 405, asks=asks)
        return Expected(200, app=True, launch=launch, cookie=cookie, asks=asks)
