"""What becomes of a cookie in a launch, whether the app sets it by a header or a script by
``document.cookie``: the cases that hold ``cookies.py`` and ``launch.js`` to the same rules."""

from __future__ import annotations

from typing import Literal, NamedTuple

LAUNCH = "/lti/AAAAAAAAAAAAAAAAAAAAAA"
TAG = "AAAAAAAA."
SHARED = "sso"
FRAME = "; Secure; SameSite=None; Partitioned"
#: Where the page is, for each way to reach it.
PAGES = {
    "https": "https://tool.example",
    "loopback": "http://localhost:8000",
    "http": "http://tool.example",
}


class Case(NamedTuple):
    """One cookie.

    Attributes:
        given: as the app or its script sets it.
        sent: what the browser gets, without the tag; None if that is the same.
        mount: the mount point.
        reached: how the browser reaches the tool.
    """

    given: str
    sent: str | None
    mount: str = ""
    reached: Literal["https", "loopback", "http"] = "https"

    @property
    def becomes(self) -> str:
        """What the browser gets."""
        if self.sent is None:
            return self.given
        frame = "" if self.reached == "http" else FRAME
        return TAG + self.sent.replace("%s", self.mount + LAUNCH) + frame


QUIZ, TOOL = "/tools/quiz", "/t%C3%B6%C3%B6l"
CASES = [
    Case("a=b", "a=b; Path=%s"),
    Case("a=b; Path=/; SameSite=Lax; SECURE; partitioned", "a=b; Path=%s"),
    Case(
        "a=b; path = /x/ ;max-age=60; Priority=High", "a=b; Path=%s/x/; max-age=60; Priority=High"
    ),
    Case("a=b; Domain=.vendor.example; ; =c", "a=b; Path=%s"),
    Case("a==b=c; Path=/x=y", "a==b=c; Path=%s/x=y"),
    Case("nameless", "=nameless; Path=%s"),
    Case("", None),
    Case(" ; Path=/", None),
    Case(f"{SHARED}=x; Path=/; SameSite=Lax", None),
    Case(SHARED, f"={SHARED}; Path=%s"),
    # The last one counts, and one that does not begin with a slash is none.
    Case("a=b; Path=/x; Path=/y", "a=b; Path=%s/y"),
    Case("a=b; Path=/x; Path=", "a=b; Path=%s"),
    Case("a=b; Path", "a=b; Path=%s"),
    Case("a=b; Path=x", "a=b; Path=%s"),
    Case('a=b; Path=/x"', "a=b; Path=%s"),
    Case("a=b; Path=//", "a=b; Path=%s"),
    Case("a=b; Path=/lti", "a=b; Path=%s"),
    Case("a=b; Path=/ltix", "a=b; Path=%s/ltix"),
    Case(f"a=b; Path={LAUNCH}/x", "a=b; Path=%s/x"),
    Case(f"a=b; Path={LAUNCH}/", "a=b; Path=%s/"),
    Case(f"a=b; Path={LAUNCH}B", f"a=b; Path=%s{LAUNCH}B"),
    *(
        Case(f"a=b; Path={path}", "a=b; Path=%s", QUIZ)
        for path in ("/", "/tools", "/tools/quiz/", "/tools/quiz/lti", QUIZ + LAUNCH)
    ),
    Case("a=b; Path=/tools/quiz/x", "a=b; Path=%s/x", QUIZ),
    Case("a=b", "a=b; Path=%s", QUIZ),
    # Beside the mount point it is another app's.
    *(Case(f"a=b; Path={path}", None, QUIZ) for path in ("/tools/quizzes", "/tool", "/x", "/lti")),
    Case("a=b; SameSite=Strict; Path=/x; Secure", None, QUIZ, "http"),
    *(Case(f"a=b; Path={path}/x", "a=b; Path=%s/x", TOOL) for path in (TOOL, "/t\xf6\xf6l")),
    Case("a=b; Path=/t%c3%b6\xf6l", "a=b; Path=%s", TOOL),
    Case("a=b; Path=/%ff%/x", "a=b; Path=%s/%ff%/x"),
    Case("a=b; Path=/; SameSite=Lax", "a=b; Path=%s", "", "loopback"),
    # Over plain http browsers take no Secure cookie: what the app says stays.
    Case("a=b; Path=/x; SameSite=Lax", "a=b; Path=%s/x; SameSite=Lax", "", "http"),
    Case("a=b; secure; max-age=1", "a=b; Path=%s; max-age=1; secure", "", "http"),
]
