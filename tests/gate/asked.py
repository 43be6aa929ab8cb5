"""Requests for the fuzzer: what one is made of, in words, and as it goes over the wire."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ltiaas_middleware._crypto.handoffs import Handoffs

# Below a launch path or at the root, and whether it is outside of all launches.
PATHS: list[tuple[str, bool]] = [
    ("/page", False),
    ("/page", False),
    ("/page", False),
    ("/", False),
    ("", False),
    ("/ltiaas-new-tabs.js", False),
    ("/ltiaas-handoff", False),
    ("/a%2Fb//c", False),
    ("/statics/x", False),
    ("/static/x.css", True),
    ("//static/x.css", True),
    ("/x/%2e%2e/static/x", True),
    ("/x/../STATIC/x", True),
    ("/%2573tatic/x", True),
    ("/%5Cstatic", True),
]


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
    """One request. A launch stands for its ltik, its path, or its cookie."""

    place: Launch | str
    rest: str
    is_outside: bool
    method: str
    in_query: tuple[Any, ...]
    in_header: Any
    cookies: tuple[tuple[str, Any], ...]
    site: str | None
    mode: str | None
    dest: str | None
    origin: str | None
    asks_method: bool
    purpose: str | None
    upgrade: bool
    referer: Any
    accepts_html: bool
    handoff: int | None
    handoff_for: Launch | None
    handoff_is_valid: bool

    # -- in the words of docs/launch-paths.md -----------------------------------------------------

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
        return self.method == "OPTIONS" and self.origin is not None and self.asks_method

    @property
    def is_plain_get(self) -> bool:
        marks = (self.site, self.mode, self.dest)
        return self.method == "GET" and not self.is_websocket and not any(marks)

    @property
    def may_use_handoff(self) -> bool:
        return self.purpose is None and (self.is_navigation or self.is_plain_get)

    @property
    def frame_cookies(self) -> list[Any]:
        return [value for name, value in self.cookies if name == "__Secure-ltiaas-launch"]

    @property
    def tab_cookies(self) -> list[Any]:
        return [value for name, value in self.cookies if name == "__Secure-ltiaas-launch-tab"]

    def is_new_tab_of(self, launch: Launch) -> bool:
        return (
            self.method == "GET"
            and self.site == "same-origin"
            and self.mode == "navigate"
            and self.dest == "document"
            and self.referer is launch
        )

    # -- on the wire ------------------------------------------------------------------------------

    def target(self, tokens: list[str]) -> str:
        path = f"/lti/{self.place.id}" if isinstance(self.place, Launch) else self.place
        query = ["a=1", *(f"ltik={_ltik(value)}" for value in self.in_query)]
        if self.handoff is not None:
            query.append(f"ltiaas_handoff={tokens[self.handoff]}")
        return f"{path}{self.rest}?{'&'.join(query)}"

    def headers(self) -> dict[str, str]:
        made = {
            "X-Ltik": None if self.in_header is None else _ltik(self.in_header),
            "Cookie": "; ".join(f"{name}={_ltik(value)}" for name, value in self.cookies),
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


def _ltik(value: Any) -> str:
    return value.ltik if isinstance(value, Launch) else str(value)


def handoff_tokens(handoffs: Handoffs, launches: list[Launch]) -> list[str]:
    """Two for each launch, and one that is forged."""
    forged = Handoffs(["another secret"], time.time).make(launches[0].id)
    return [*(handoffs.make(launch.id) for launch in launches for _ in range(2)), forged]


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
        "place": take(a, a, a, b, refused, launches[3], "", "", "/lti/short", "/ltix"),
        "method": take("GET", "GET", "GET", "GET", "POST", "HEAD", "OPTIONS", "DELETE"),
        "in_query": take(*[()] * 8, (a,), (a,), (b,), (refused,), ("junk",), (a, b), (a, a)),
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
        "handoff": take(*[None] * 12, 0, 0, 1, 2, 8),
    }
    if meant:
        kept = drawn.get(other)
        drawn = {**_PLAIN, **meant}
        if other != "nothing":
            drawn[other] = kept
    rest, is_outside = drawn.pop("path") or PATHS[0]
    place = drawn.pop("place") if drawn["place"] is not None else a
    drawn.pop("place", None)
    if isinstance(place, str):
        # Only a path of the app's own is looked up in ``PATHS``.
        rest, is_outside = (rest, is_outside) if place == "" and rest else ("/page", False)
        if rest.startswith("//"):
            rest = "/static/x.css"
    handoff = drawn["handoff"]
    return Asked(
        place=place,
        rest=rest,
        is_outside=is_outside,
        handoff_for=None if handoff is None or handoff == 8 else launches[handoff // 2],
        handoff_is_valid=handoff != 8,
        **drawn,
    )


def opened(a: Launch) -> list[Asked]:
    """How a browser opens a launch: after these its cookie has come back."""
    more: dict[str, Any] = {"is_outside": False, "handoff_for": None, "handoff_is_valid": True}
    more |= {name: value for name, value in _PLAIN.items() if name not in ("path", "place")}
    captured = more | {"in_query": (a,), "mode": "navigate"}
    followed = more | {"cookies": ((_FRAME, a),), "mode": "navigate"}
    return [Asked(place="", rest="/page", **captured), Asked(place=a, rest="/page", **followed)]


_FRAME = "__Secure-ltiaas-launch"
_TAB = "__Secure-ltiaas-launch-tab"
_PLAIN: dict[str, Any] = {
    "path": None,
    "place": None,
    "method": "GET",
    "in_query": (),
    "in_header": None,
    "cookies": (),
    "site": None,
    "mode": None,
    "dest": None,
    "origin": None,
    "asks_method": False,
    "purpose": None,
    "upgrade": False,
    "referer": None,
    "accepts_html": False,
    "handoff": None,
}


def _meant(a: Launch) -> list[dict[str, Any]]:
    """What browsers send, and what attackers would."""
    own = {"site": "same-origin", "referer": a}
    cookie = {"cookies": ((_FRAME, a),)}
    return [
        {"place": "", "in_query": (a,), "mode": "navigate"},
        cookie,
        own | cookie | {"mode": "navigate", "dest": "iframe"},
        own | cookie | {"path": ("", False)},
        own | {"cookies": ((_FRAME, "x.y.z"),), "mode": "navigate", "dest": "iframe"},
        {"cookies": ((_TAB, a),)},
        own | {"mode": "navigate", "dest": "document"},
        own | {"mode": "cors", "dest": "empty", "place": ""},
        own | {"mode": "navigate", "dest": "iframe", "place": "", "method": "POST"},
        own | {"place": "", "dest": "websocket", "upgrade": True},
        {"handoff": 0, "mode": "navigate", "site": "none", "dest": "document"},
        {"handoff": 0},
        {"handoff": 2},
        {"handoff": 8},
        {"handoff": 1, "mode": "navigate", "purpose": "prefetch"},
        {"handoff": 1, "upgrade": True},
        cookie | {"handoff": 1, "mode": "navigate"},
        cookie | {"method": "POST", "origin": "https://evil.example"},
        cookie | {"method": "POST", "origin": "http://tool.example"},
        cookie | {"upgrade": True, "origin": "https://evil.example"},
        cookie | {"method": "POST", "origin": "https://app.example", "site": "cross-site"},
        cookie | {"method": "DELETE", "origin": "https://tool.example", "site": "cross-site"},
        {"method": "OPTIONS", "origin": "https://app.example", "asks_method": True},
        {
            "method": "OPTIONS",
            "origin": "https://app.example",
            "asks_method": True,
            "in_query": (a,),
        },
    ]


#: How many requests there are.
REQUESTS = 50 * 33 * 15 * 10 * 8 * 15 * 9 * 12 * 6 * 5 * 5 * 9 * 2 * 5 * 8 * 6 * 2 * 17
