"""The app's cookies belong to the launch, whatever they look like."""

from __future__ import annotations

from http.cookiejar import CookieJar
from typing import Any
from urllib.request import Request
from wsgiref.headers import Headers

import pytest

from ltiaas_middleware._gate.cookies import for_launch, split_request

LAUNCH = "/lti/AAAAAAAAAAAAAAAAAAAAAA"
MOUNTED = f"/tools/quiz{LAUNCH}"
FRAME = "; Secure; SameSite=None; Partitioned"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        # Django, Flask, Starlette, as they come.
        (
            "csrftoken=x; expires=Tue, 23 Nov 2027 05:00:00 GMT; Max-Age=31449600; Path=/; "
            "SameSite=Lax",
            "csrftoken=x; expires=Tue, 23 Nov 2027 05:00:00 GMT; Max-Age=31449600; Path=%s" + FRAME,
        ),
        ("session=x.y; HttpOnly; Path=/", "session=x.y; HttpOnly; Path=%s" + FRAME),
        (
            "session=x; path=/; Max-Age=1209600; httponly; samesite=lax",
            "session=x; path=%s; Max-Age=1209600; httponly" + FRAME,
        ),
        # A deletion deletes what was set.
        (
            'session=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; SameSite=Strict',
            'session=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=%s' + FRAME,
        ),
        # Paths.
        ("a=b; Path=/lti", "a=b; Path=%s" + FRAME),
        ("a=b; Path=/lti/", "a=b; Path=%s" + FRAME),
        ("a=b; Path=/ltix", "a=b; Path=%s/ltix" + FRAME),
        ("a=b; Path=/admin", "a=b; Path=%s/admin" + FRAME),
        ("a=b; Path=/admin/", "a=b; Path=%s/admin/" + FRAME),
        ("a=b; Path=/lti/other", "a=b; Path=%s/lti/other" + FRAME),
        (f"a=b; Path={LAUNCH}", f"a=b; Path={LAUNCH}" + FRAME),
        (f"a=b; Path={LAUNCH}/", f"a=b; Path={LAUNCH}/" + FRAME),
        (f"a=b; Path={LAUNCH}/admin", f"a=b; Path={LAUNCH}/admin" + FRAME),
        (f"a=b; Path={LAUNCH}B", f"a=b; Path=%s{LAUNCH}B" + FRAME),
        ("a=b; Path=//", "a=b; Path=%s" + FRAME),
        # Without one, or with one that is none, the browser takes the folder that is answered.
        ("a=b", "a=b" + FRAME),
        ("a=b; Path", "a=b; Path" + FRAME),
        ("a=b; Path=", "a=b; Path=" + FRAME),
        ("a=b; Path=admin", "a=b; Path=admin" + FRAME),
        # The last one counts.
        ("a=b; Path=/x; Path=/", "a=b; Path=%s/x; Path=%s" + FRAME),
        # What was there of the three attributes goes, in any case and number.
        (
            "a=b; SECURE; samesite=Strict; SameSite=Lax; partitioned; Path=/",
            "a=b; Path=%s" + FRAME,
        ),
        ("a=b; Secure=yes; Path=/", "a=b; Path=%s" + FRAME),
        ("a=b; SameSite; Path=/", "a=b; Path=%s" + FRAME),
        # Everything else stays: order, spaces, case, what is not known here.
        (
            "a=b ;  hTTPonly;PATH = / ; Priority=High;Domain=.example.com",
            "a=b ;  hTTPonly;PATH =%s; Priority=High;Domain=.example.com" + FRAME,
        ),
        ("a=b;Path=/;", "a=b;Path=%s" + FRAME),
        ("a=b; Path=/; ; ;", "a=b; Path=%s" + FRAME),
        # Quotes are part of the value, and hold no semicolon together: browsers split there too.
        ('a="x, y"; Path=/', 'a="x, y"; Path=%s' + FRAME),
        ('a="x; Path=/"', 'a="x; Path=/"' + FRAME),
        ('a="x\\073y"; Path=/', 'a="x\\073y"; Path=%s' + FRAME),
        ("a==b=c; Path=/", "a==b=c; Path=%s" + FRAME),
        ("a=; Path=/", "a=; Path=%s" + FRAME),
        ("a=Path=/; Path=/", "a=Path=/; Path=%s" + FRAME),
        ("Secure=1; Path=/", "Secure=1; Path=%s" + FRAME),
        ("a=\xe4\xf6; Path=/", "a=\xe4\xf6; Path=%s" + FRAME),
        # Names that promise something.
        ("__Secure-a=b; Path=/; Secure", "__Secure-a=b; Path=%s" + FRAME),
        ("__Host-a=b; Path=/; Secure; SameSite=Lax", "__Host-a=b; Path=/" + FRAME),
        ("__HOST-a=b; Secure; Path=/", "__HOST-a=b; Path=/" + FRAME),
        # No cookie at all.
        ("", ""),
        (" ; Path=/", " ; Path=/"),
        ("no equals sign; Path=/", "no equals sign; Path=%s" + FRAME),
    ],
)
def test_at_the_root(given: str, sent: str) -> None:
    assert for_launch(given, "", LAUNCH) == (sent.replace("%s", LAUNCH),)


@pytest.mark.parametrize(
    ("path", "becomes"),
    [
        ("/", MOUNTED),
        ("/tools", MOUNTED),
        ("/tools/", MOUNTED),
        ("/tools/quiz", MOUNTED),
        ("/tools/quiz/", MOUNTED),
        ("/tools/quiz/lti", MOUNTED),
        ("/tools/quiz/admin", f"{MOUNTED}/admin"),
        (MOUNTED, MOUNTED),
        (f"{MOUNTED}/x/", f"{MOUNTED}/x/"),
    ],
)
def test_below_a_mount_point(path: str, becomes: str) -> None:
    (sent,) = for_launch(f"a=b; Path={path}; HttpOnly", "/tools/quiz", MOUNTED)
    assert sent == f"a=b; Path={becomes}; HttpOnly{FRAME}"


@pytest.mark.parametrize("path", ["/tools/quizzes", "/other", "/tool", "/lti"])
def test_a_cookie_for_another_app_stays_as_it_is(path: str) -> None:
    given = f"a=b; Path={path}; SameSite=Strict"
    assert for_launch(given, "/tools/quiz", MOUNTED) == (given,)
    # The last path is what counts.
    (sent,) = for_launch(f"{given}; Path=/", "/tools/quiz", MOUNTED)
    assert sent.endswith(f"; Path={MOUNTED}{FRAME}")


@pytest.mark.parametrize("path", ["/t%C3%B6%C3%B6l", "/t\xc3\xb6\xc3\xb6l", "/t%c3%b6\xc3\xb6l"])
def test_a_mount_point_is_known_in_any_encoding(path: str) -> None:
    mount = "/t%C3%B6%C3%B6l"
    for below in ("", "/admin"):
        assert for_launch(f"a=b; Path={path}{below}", mount, mount + LAUNCH) == (
            f"a=b; Path={mount}{LAUNCH}{below}{FRAME}",
        )


@pytest.mark.parametrize(
    "given",
    ["a=b\r\nX-Evil: 1; Path=/", "a=b; Path=/\r\n\r\n<script>", "a=\0b", "\r\n", "a=b; \nPath=/"],
)
@pytest.mark.parametrize("mount", ["", "/tools/quiz"])
def test_no_line_end_comes_through(given: str, mount: str) -> None:
    for reached in ("https", "loopback", "http"):
        for sent in for_launch(given, mount, mount + LAUNCH, reached):
            assert not set(sent) & set("\r\n\0")


def test_twice_is_as_once() -> None:
    for given in ("a=b; Path=/", "a=b; Path=/admin; SameSite=Lax", "a=b", "__Host-a=b; Path=/"):
        (once,) = for_launch(given, "", LAUNCH)
        assert for_launch(once, "", LAUNCH) == (once,)


class TestPlainHttp:
    GIVEN = "a=b; Path=/; SameSite=Lax; HttpOnly"

    def test_elsewhere_keeps_the_attributes_that_a_browser_takes_there(self) -> None:
        assert for_launch(self.GIVEN, "", LAUNCH, "http") == (
            f"a=b; Path={LAUNCH}; SameSite=Lax; HttpOnly",
        )

    def test_on_loopback_is_for_browsers_as_https_and_for_clients_as_it_was(self) -> None:
        assert for_launch(self.GIVEN, "", LAUNCH, "loopback") == (
            f"a=b; Path={LAUNCH}; HttpOnly{FRAME}",
            f"a=b; Path={LAUNCH}; SameSite=Lax; HttpOnly",
        )

    def test_on_loopback_a_client_that_takes_no_secure_cookie_keeps_the_other(self) -> None:
        jar = CookieJar()
        headers = Headers([])
        for value in for_launch(self.GIVEN, "", LAUNCH, "loopback"):
            headers.add_header("Set-Cookie", value)
        headers.get_all = lambda name, default=None: Headers.get_all(headers, name) or default  # type: ignore[method-assign]

        class Response:
            @staticmethod
            def info() -> Any:
                return headers

        address = f"http://localhost:5000{LAUNCH}/page"
        jar.extract_cookies(Response(), Request(address))  # type: ignore[arg-type]
        again = Request(address)
        jar.add_cookie_header(again)
        assert again.get_header("Cookie") == "a=b"


START = "__Secure-ltiaas-launch="
OTHER = "__Secure-ltiaas-launch-tab="


@pytest.mark.parametrize(
    ("header", "found", "others"),
    [
        ("", [], ""),
        ("a=1", [], "a=1"),
        (f"{START}x.y.z; a=1", ["x.y.z"], "a=1"),
        (f"a=1; {START}x.y.z;b=2", ["x.y.z"], "a=1;b=2"),
        (f"{START}one; {START}two", ["one", "two"], ""),
        # RFC 6265 section 5.4: the first has the longer path.
        ("a=launch; b=2; a=site", [], "a=launch; b=2"),
        ("a=1; A=2", [], "a=1; A=2"),
        ("a=1; a =2", [], "a=1; a =2"),
        ("a=1; nameless; nameless", [], "a=1; nameless; nameless"),
        # Headers that a server joined.
        (f"{START}x.y.z,a=1", ["x.y.z"], "a=1"),
        (f"a=1,{START}x.y.z", ["x.y.z"], "a=1"),
        (f"a=1, {START}x.y.z, b=2; c=3", ["x.y.z"], "a=1; b=2; c=3"),
        (f"a=1,2,{START}x.y.z,b=2,3", ["x.y.z"], "a=1,2;b=2,3"),
        (f"{START}one,{START}two", ["one", "two"], ""),
        ("a=1,b=2; a=2", [], "a=1,b=2"),
    ],
)
def test_a_requests_cookies(header: str, found: list[str], others: str) -> None:
    pairs, rest = split_request(header, (START, OTHER), first_only=True)
    assert [pair.removeprefix(START) for pair in pairs] == found
    assert rest.replace("; ", ";") == others.replace("; ", ";").replace(";;", ";")


def test_several_of_one_name_stay_where_the_frame_is_the_apps() -> None:
    assert split_request("a=1; a=2", (START,), first_only=False) == ([], "a=1; a=2")
