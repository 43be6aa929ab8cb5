"""What docs/reference/requests.md says becomes of a request, written from its section "The
rules" and what that links to, and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from tests.gate.asked import REFUSED, SCRIPT, Asked, Launch, tag

OWN_ORIGINS = {"https://tool.example", "https://TOOL.example:443"}
TRUSTED = "https://app.example"
SHARED = "sso"
#: What the fuzzer's apps set, and what is sent in its place below a launch path (section "Cookies
#: of the app"): one for scripts, too, has its plain copy.
_FRAMED = "; Secure; SameSite=None; Partitioned"
APP_SETS = {
    "session=1; Path=/; HttpOnly": (f"{{tag}}session=1; Path={{path}}; HttpOnly{_FRAMED}",),
    "csrftoken=2; Path=/x; Secure": (
        f"{{tag}}csrftoken=2; Path={{path}}/x{_FRAMED}",
        f"csrftoken=2; Path={{path}}/x{_FRAMED}",
    ),
    "__Host-s=3; Path=/; Secure; Max-Age=60": (
        f"{{tag}}__Host-s=3; Path={{path}}; Max-Age=60{_FRAMED}",
    ),
    "sso=4; Domain=tool.example": ("sso=4; Domain=tool.example",),
}


@dataclass(frozen=True)
class Expected:
    """An answer, or what the app is to see.

    Attributes:
        status: 200 where the app answers.
        app: whether it does.
        launch: the launch that the app, or a redirect, is about.
        cookie: "frame" or "tab" where one is set.
        asks: whether LTIAAS may be asked.
        jar: whether the app is given what it has set before, because the browser keeps no cookies.
    """

    status: int
    app: bool = False
    launch: Launch | None = None
    cookie: str | None = None
    asks: bool = False
    jar: bool = False


@dataclass
class Oracle:
    """One worker, and what it remembers.

    Attributes:
        require: whether every path needs a launch, none, or those that ``Path.required`` says.
    """

    require: bool | None
    header: bool
    known: set[Launch] = field(default_factory=set)
    cookie_bound: set[Launch] = field(default_factory=set)
    used: set[int] = field(default_factory=set)
    jars: set[Launch] = field(default_factory=set)

    def forget(self) -> None:
        """Another worker."""
        self.known.clear()
        self.cookie_bound.clear()

    def expect(self, asked: Asked) -> Expected:
        on = asked.place if isinstance(asked.place, Launch) else None
        if asked.path.malformed:
            return Expected(400)
        if asked.place == REFUSED:
            return _refused(asked)
        if asked.place == SCRIPT:
            return Expected(200 if asked.method in ("GET", "HEAD") else 405)
        needs_launch = on is not None or self._requires(asked)
        if asked.is_preflight and needs_launch:
            return Expected(204) if asked.origin == TRUSTED else Expected(403)
        if asked.path.outside:
            if on is not None:
                return Expected(308)
            return Expected(401) if needs_launch else Expected(200, app=True)

        in_header = [asked.in_header] if self.header and asked.in_header is not None else []
        brought = [*asked.in_query, *in_header]
        repeats = len(asked.in_query) > 1 and not asked.legacy
        if repeats or len(set(brought)) > 1 or "junk" in brought:
            return Expected(400)
        if asked.in_query or (in_header and on is None):
            return self._with_ltik(asked, brought[0], on, in_header)
        if on is not None:
            return self._on_launch_path(asked, on, in_header[0] if in_header else None)
        return self._elsewhere(asked, needs_launch)

    def _requires(self, asked: Asked) -> bool:
        if asked.path.outside == "wholly":
            return False
        return asked.path.required if self.require is None else self.require

    def _with_ltik(
        self, asked: Asked, ltik: Launch, on: Launch | None, in_header: list[Launch]
    ) -> Expected:
        if asked.is_preflight:
            return Expected(200, app=True)
        if not in_header and _is_foreign(asked):
            return _refused(asked)
        leads = bool(asked.in_query) and asked.is_navigation
        if on is not None and ltik is not on and not leads:
            return Expected(400)
        if not self._verify(ltik):
            return Expected(401, asks=True)
        if leads:
            return Expected(303, launch=ltik, cookie="frame", asks=True)
        return self._served(asked, ltik, asks=True)

    def _on_launch_path(self, asked: Asked, on: Launch, in_header: Launch | None) -> Expected:
        if not asked.path.rest and not asked.is_websocket:
            return Expected(308) if on in self.known else Expected(307, launch=on)
        if in_header is not None:
            if in_header is not on:
                return Expected(400)
            return self._proved(asked, on)
        if _is_foreign(asked):
            return _refused(asked)
        if on in asked.frame_cookies or on in asked.tab_cookies:
            return self._proved(asked, on, binds=on in asked.frame_cookies)
        if on not in self.known:
            return Expected(401)
        if asked.one_time_token is not None and asked.may_use_one_time_token:
            return self._by_one_time_token(asked, on)
        if on in self.cookie_bound:
            return Expected(401)
        served = self._served(asked, on)
        if served.app:
            served = replace(served, jar=on in self.jars)
            self.jars.add(on)
        return served

    def _proved(self, asked: Asked, on: Launch, *, binds: bool = False) -> Expected:
        if not self._verify(on):
            return Expected(401, asks=True)
        if binds:
            self.cookie_bound.add(on)
            self.jars.discard(on)
        if asked.one_time_token is not None and asked.may_use_one_time_token:
            if asked.token_for is on and asked.token_is_valid:
                self.used.add(asked.one_time_token)
            if not asked.is_plain_get:
                return Expected(303, launch=on, asks=True)
        return self._served(asked, on, asks=True)

    def _by_one_time_token(self, asked: Asked, on: Launch) -> Expected:
        assert asked.one_time_token is not None
        opens = asked.token_for is on and asked.token_is_valid
        if not opens or asked.one_time_token in self.used:
            return Expected(401)
        self.used.add(asked.one_time_token)
        if asked.is_plain_get:
            return self._served(asked, on, cookie="tab")
        return Expected(303, launch=on, cookie="tab")

    def _elsewhere(self, asked: Asked, needs_launch: bool) -> Expected:
        if asked.is_preflight:
            return Expected(200, app=True)
        wants = asked.dest in ("document", "iframe", "frame", "empty") or needs_launch
        if (
            asked.site == "same-origin"
            and isinstance(asked.referer, Launch)
            and wants
            and not asked.is_websocket
        ):
            return Expected(307, launch=asked.referer)
        return Expected(401) if needs_launch else Expected(200, app=True)

    def _verify(self, launch: Launch) -> bool:
        if launch.is_refused:
            return False
        self.known.add(launch)
        return True

    @staticmethod
    def _served(
        asked: Asked, launch: Launch, *, cookie: str | None = None, asks: bool = False
    ) -> Expected:
        if asked.path.rest == "/ltiaas-one-time-link" and isinstance(asked.place, Launch):
            return Expected(400 if asked.method == "POST" else 405, asks=asks)
        return Expected(200, app=True, launch=launch, cookie=cookie, asks=asks)


def _is_foreign(asked: Asked) -> bool:
    """Whether another origin's page may have sent it to change something."""
    if asked.method in ("GET", "HEAD", "OPTIONS", "TRACE") and not asked.is_websocket:
        return False
    if asked.site == "same-origin" or asked.origin == TRUSTED or asked.origin in OWN_ORIGINS:
        return False
    return asked.origin is not None or asked.site not in (None, "none")


def _refused(asked: Asked) -> Expected:
    # A form, which is answered by a page that can be reloaded.
    return Expected(303 if asked.method == "POST" and asked.wants_page else 403)


def app_sees(asked: Asked, launch: Launch | None, *, jar: bool = False) -> list[str]:
    """The app's own cookies that it is given; below a launch path, those that this launch's
    responses have set."""
    if launch is None or asked.place is not launch:
        return [f"{tag(of)}{name}={value}" for of, name, value in asked.app_cookies]
    own: dict[str, str] = {}
    if jar:
        if f"{unquote(asked.path.rest)}/".startswith("/x/"):
            own["csrftoken"] = "2"
        own |= {"session": "1", "__Host-s": "3"}
    for of, name, value in asked.app_cookies:
        if (of is None) if name == SHARED else (of is launch):
            own.setdefault(name, value)
    return [f"{name}={value}" if name else value for name, value in own.items()]


def app_sets(asked: Asked, launch: Launch | None) -> list[str]:
    """The app's own cookies that the browser gets."""
    if launch is None or asked.place is not launch:
        return list(APP_SETS)
    words = {"tag": tag(launch), "path": f"/lti/{launch.id}"}
    return [form.format(**words) for forms in APP_SETS.values() for form in forms]
