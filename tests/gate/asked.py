"""Requests for the fuzzer: what one is made of, in words, and as it goes over the wire."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from ltiaas_middleware._crypto.one_time_tokens import OneTimeTokens


class Path(NamedTuple):
    """A path below a launch path or at the root, and what the settings of the fuzzer's tools say of
    it.

    Attributes:
        rest: the path, as it is sent.
        outside: whether ``exclude=["/static/"]`` covers it, "wholly" or in "part" of its readings.
        required: whether ``require=["/page"]`` covers it in any reading.
        malformed: whether no browser sends it.
    """

    rest: str
    outside: str = ""
    required: bool = False
    malformed: bool = False


PLAIN = Path("/page", required=True)
PATHS = [
    PLAIN,
    PLAIN,
    PLAIN,
    Path("/"),
    Path(""),
    Path("/ltiaas-one-time-link"),
    Path("/a%2Fb//c"),
    Path("/statics/x"),
    Path("/pages"),
    Path("//PAGE/x", required=True),
    Path("/x/..%2fpage", required=True),
    Path("/%2570age/", required=True),
    Path("/~70age/x", required=True),
    Path("/page.json", required=True),
    Path("/x/../page%23/x", required=True),
    Path("/page-two"),
    Path("/x/~2E~2e/static/x", "part"),
    Path("/static/~7e.css", "wholly"),
    Path("/static/x.css", "wholly"),
    Path("//static/x.css", "wholly"),
    Path("/%5Cstatic", "wholly"),
    Path("/static/../page", "part", required=True),
    Path("/page/../static/x", "part", required=True),
    Path("/x/%2e%2e/static/x", "part"),
    Path("/x/../STATIC/x", "part"),
    Path("/%2573tatic/x", "part"),
    Path("/STATIC/x", "part"),
    Path("/stat%C4%B1c/x", "part"),
    Path("/static.json"),
    Path("/page%0a", malformed=True),
    Path("/static/%ff", malformed=True),
    Path("/caf%C3%A9/%C2%85", malformed=True),
]
# Where no launch is, whatever the path looks like.
REFUSED = "/lti/ltiaas-refused"
SCRIPT = "/lti/ltiaas-launch.js"


class Launch:
    """One launch."""

    def __init__(self, name: str, ltik: str, launch_id: str, *, is_refused: bool = False) -> None:
        self.name = name
        self.ltik = ltik
        self.id = launch_id
        self.is_refused = is_refused

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Asked:
    """One request. A launch stands for its ltik, its path, or its cookie. Of the app's cookies each
    has the launch that it was set in, None outside of launches, its name and its value."""

    place: Launch | str
    path: Path
    method: str
    in_query: tuple[Any, ...]
    legacy: bool
    in_header: Any
    cookies: tuple[tuple[str, Any], ...]
    app_cookies: tuple[tuple[Launch | None, str, str], ...]
    site: str | None
    mode: str | None
    dest: str | None
    origin: str | None
    asks_method: bool
    purpose: str | None
    upgrade: bool
    referer: Any
    accepts_html: bool
    one_time_token: int | None
    token_for: Launch | None
    token_is_valid: bool

    # -- in the words of docs/reference/requests.md -------------------------------------------

    @property
    def is_navigation(self) -> bool:
        if self.method != "GET" or self.is_websocket:
            return False
        return self.mode == "navigate" if self.mode else self.accepts_html

    @property
    def is_websocket(self) -> bool:
        return self.upgrade

    @property
    def is_preflight(self) -> bool:
        # A browser asks no leave for its page's own origin.
        asks = self.origin is not None and self.asks_method and self.site != "same-origin"
        return self.method == "OPTIONS" and asks

    @property
    def wants_page(self) -> bool:
        return self.mode == "navigate" if self.mode else self.accepts_html

    @property
    def is_plain_get(self) -> bool:
        marks = (self.site, self.mode, self.dest)
        return self.method == "GET" and not self.is_websocket and not any(marks)

    @property
    def may_use_one_time_token(self) -> bool:
        return self.purpose is None and (self.is_navigation or self.is_plain_get)

    @property
    def frame_cookies(self) -> list[Any]:
        return [value for name, value in self.cookies if name == "__Secure-ltiaas-launch"]

    @property
    def tab_cookies(self) -> list[Any]:
        return [value for name, value in self.cookies if name == "__Secure-ltiaas-launch-tab"]

    # -- on the wire ------------------------------------------------------------------------------

    def target(self, tokens: list[str]) -> str:
        path = f"/lti/{self.place.id}" if isinstance(self.place, Launch) else self.place
        names = ["legacy-ltik" if self.legacy else "ltik", "ltik"]
        pairs = zip(names, self.in_query, strict=False)
        query = ["a=1", *(f"{name}={_ltik(value)}" for name, value in pairs)]
        if self.one_time_token is not None:
            query.append(f"ltiaas_one_time={tokens[self.one_time_token]}")
        return f"{path}{self.path.rest}?{'&'.join(query)}"

    def headers(self) -> dict[str, str]:
        made = {
            "X-Ltik": None if self.in_header is None else _ltik(self.in_header),
            "Cookie": "; ".join(self._sent_cookies()),
            "Sec-Fetch-Site": self.site,
            "Sec-Fetch-Mode": self.mode,
            "Sec-Fetch-Dest": self.dest,
            "Origin": self.origin,
            "Access-Control-Request-Method": "POST" if self.asks_method else None,
            "Sec-Purpose": self.purpose,
            "Upgrade": "websocket" if self.upgrade else None,
            "Accept": "text/html" if self.accepts_html else None,
            "Referer": f"https://tool.example/lti/{self.referer.id}/page"
            if isinstance(self.referer, Launch)
            else self.referer,
        }
        return {name: value for name, value in made.items() if value}

    def _sent_cookies(self) -> list[str]:
        launches = [f"{name}={_ltik(value)}" for name, value in self.cookies]
        apps = [f"{tag(launch)}{name}={value}" for launch, name, value in self.app_cookies]
        # Browsers send those of longer paths first: the launch's may come before, after or between.
        return apps[:1] + launches + apps[1:]


def tag(launch: Launch | None) -> str:
    """What the names of the app's cookies of a launch begin with."""
    return "" if launch is None else f"{launch.id[:8]}."


def _ltik(value: Any) -> str:
    return value.ltik if isinstance(value, Launch) else str(value)


def one_time_tokens(tokens: OneTimeTokens, launches: list[Launch]) -> list[str]:
    """Two for each launch, and one that is forged."""
    forged = OneTimeTokens(["another secret"], time.time).make(launches[0].id)
    return [*(tokens.make(launch.id) for launch in launches for _ in range(2)), forged]


def pick(number: int, launches: list[Launch]) -> Asked:
    """A request for a number; 0 is the plainest.

    Most requests have most of their parts at odds with each other, so that half of them begin as
    one that means something, of which one part is another.
    """

    def take(*choices: Any) -> Any:
        nonlocal number
        number, index = divmod(number, len(choices))
        return choices[index]

    a, b, refused, _ = launches
    meant = take({}, {}, *_meant(a), *_meant(a))
    other = take(*_PLAIN, *_PLAIN, "nothing")
    drawn = {
        "path": take(*PATHS),
        "place": take(a, a, a, b, refused, launches[3], "", "", "", "/lti/short", REFUSED, SCRIPT),
        "method": take("GET", "GET", "GET", "GET", "POST", "HEAD", "OPTIONS", "DELETE"),
        "in_query": take(*[()] * 8, (a,), (a,), (b,), (refused,), ("junk",), (a, b), (a, a)),
        "legacy": take(False, False, True),
        "in_header": take(*[None] * 6, a, b, "junk"),
        "cookies": take(
            (),
            (),
            ((_FRAME, a),),
            ((_FRAME, a),),
            ((_FRAME, b),),
            ((_FRAME, refused),),
            ((_TAB, a),),
            ((_FRAME, "junk"), ("s", "1"), (_FRAME, a)),
            ((_TAB, a), (_FRAME, "x.y.z")),
            (("ltiaas-launch", a), (f"x{_FRAME}", a)),
            (("x" * len(_FRAME), a),),
            ((_FRAME, a), ("s", "1"), (_TAB, a)),
        ),
        "app_cookies": take(
            (),
            (),
            ((a, "session", "a"),),
            ((None, "session", "site"), (a, "session", "a"), (b, "session", "b")),
            ((b, "session", "b"), (None, "session", "site")),
            ((a, "csrftoken", "a"), (None, "csrftoken", "copy"), (a, "csrftoken", "second")),
            ((None, "__Host-session", "site"), (a, "__Host-session", "a"), (None, "sso", "s,so")),
            ((a, "sso", "a"), (None, "sso", "1"), (b, "sso", "b"), (None, "sso", "2")),
            ((a, "", "nameless"), (a, "x", 'a="b,'), (None, f"x{a.id[:8]}.session", "y")),
        ),
        "site": take(None, "same-origin", "same-origin", "same-site", "cross-site", "none"),
        "mode": take(None, "navigate", "navigate", "cors", "no-cors"),
        "dest": take(None, "document", "iframe", "empty", "image"),
        "origin": take(
            *[None] * 3,
            "https://tool.example",
            "https://TOOL.example:443",
            "https://evil.example",
            "http://tool.example",
            "null",
            "https://app.example",
        ),
        "asks_method": take(False, True),
        "purpose": take(None, None, None, "prefetch", "prefetch;prerender"),
        "upgrade": take(*[False] * 7, True),
        "referer": take(
            None,
            a,
            a,
            b,
            "https://tool.example/page",
            f"https://tool.example/ltx/{a.id}/page?x=/lti/",
        ),
        "accepts_html": take(False, True),
        "one_time_token": take(*[None] * 12, 0, 0, 1, 2, 8),
    }
    if meant:
        kept = drawn.get(other)
        drawn = {**_PLAIN, **meant}
        if other != "nothing":
            drawn[other] = kept
    path = drawn.pop("path") or PLAIN
    place = drawn.pop("place") if drawn["place"] is not None else a
    drawn.pop("place", None)
    if place in (REFUSED, SCRIPT):
        path = Path("")
    elif isinstance(place, str) and (place or not path.rest):
        path = PLAIN if place == "" else Path("/page")
    one_time_token = drawn["one_time_token"]
    return Asked(
        place=place,
        path=path,
        token_for=None
        if one_time_token is None or one_time_token == 8
        else launches[one_time_token // 2],
        token_is_valid=one_time_token != 8,
        **drawn,
    )


def opened(a: Launch) -> list[Asked]:
    """How a browser opens a launch: after these its cookie has come back."""
    more: dict[str, Any] = {"path": PLAIN, "token_for": None, "token_is_valid": True}
    more |= {name: value for name, value in _PLAIN.items() if name not in ("path", "place")}
    captured = more | {"in_query": (a,), "mode": "navigate"}
    followed = more | {"cookies": ((_FRAME, a),), "mode": "navigate"}
    return [Asked(place="", **captured), Asked(place=a, **followed)]


_FRAME = "__Secure-ltiaas-launch"
_TAB = "__Secure-ltiaas-launch-tab"
_PLAIN: dict[str, Any] = {
    "path": None,
    "place": None,
    "method": "GET",
    "in_query": (),
    "legacy": False,
    "in_header": None,
    "cookies": (),
    "app_cookies": (),
    "site": None,
    "mode": None,
    "dest": None,
    "origin": None,
    "asks_method": False,
    "purpose": None,
    "upgrade": False,
    "referer": None,
    "accepts_html": False,
    "one_time_token": None,
}


def _meant(a: Launch) -> list[dict[str, Any]]:
    """What browsers send, and what attackers would."""
    own = {"site": "same-origin", "referer": a}
    cookie = {"cookies": ((_FRAME, a),)}
    return [
        {"place": "", "in_query": (a,), "mode": "navigate"},
        {"place": "", "in_query": (a,), "mode": "navigate", "legacy": True},
        cookie,
        own | cookie | {"mode": "navigate", "dest": "iframe"},
        own | cookie | {"path": Path("")},
        own | {"cookies": ((_FRAME, "x.y.z"),), "mode": "navigate", "dest": "iframe"},
        {"cookies": ((_TAB, a),)},
        own | {"mode": "navigate", "dest": "document"},
        own | {"mode": "cors", "dest": "empty", "place": ""},
        own | {"mode": "navigate", "dest": "iframe", "place": "", "method": "POST"},
        own | {"place": "", "dest": "websocket", "upgrade": True},
        {"one_time_token": 0, "mode": "navigate", "site": "none", "dest": "document"},
        {"one_time_token": 0},
        {"one_time_token": 2},
        {"one_time_token": 8},
        {"one_time_token": 1, "mode": "navigate", "purpose": "prefetch"},
        {"one_time_token": 1, "upgrade": True},
        cookie | {"one_time_token": 1, "mode": "navigate"},
        cookie | {"method": "POST", "origin": "https://evil.example"},
        cookie | {"method": "POST", "origin": "http://tool.example"},
        cookie | {"upgrade": True, "origin": "https://evil.example"},
        cookie | {"method": "POST", "origin": "https://app.example", "site": "cross-site"},
        cookie | {"method": "DELETE", "origin": "https://tool.example", "site": "cross-site"},
        {"method": "POST", "place": "", "in_query": (a,), "origin": "https://evil.example"},
        {"method": "POST", "place": "", "in_query": (a,), "site": "cross-site", "mode": "navigate"},
        {"method": "POST", "in_query": (a,), "in_header": a, "site": "cross-site"},
        {"place": "", "in_query": (a,), "upgrade": True, "origin": "null"},
        {"method": "OPTIONS", "origin": "https://app.example", "asks_method": True},
        {"method": "OPTIONS", "origin": "https://app.example", "asks_method": True, "place": ""},
        {
            "method": "OPTIONS",
            "origin": "https://app.example",
            "asks_method": True,
            "in_query": (a,),
        },
    ]


_MEANT = 2 + 2 * len(_meant(Launch("", "", "")))
#: How many requests there are.
REQUESTS = (
    _MEANT * 35 * len(PATHS) * 11 * 8 * 15 * 27 * 12 * 9 * 6 * 5 * 5 * 9 * 2 * 5 * 8 * 6 * 2 * 17
)
