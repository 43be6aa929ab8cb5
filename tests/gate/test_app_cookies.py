"""The app's cookies belong to the launch, whatever they look like."""

from __future__ import annotations

import pytest

from ltiaas_middleware._gate.cookies import for_app, for_launch, split_request, tag_of
from tests.gate.script_cookies import CASES, FRAME, LAUNCH, SHARED, TAG, Case

PAST = "Thu, 01 Jan 1970 00:00:00 GMT"


def test_the_tag_is_the_beginning_of_the_launch_id() -> None:
    assert tag_of(LAUNCH[-22:]) == TAG


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        # Flask and Starlette, as they come.
        ("session=x.y; HttpOnly; Path=/", "session=x.y; Path=%s; HttpOnly"),
        (
            "session=x; path=/; Max-Age=1209600; httponly; samesite=lax",
            "session=x; Path=%s; Max-Age=1209600; HttpOnly",
        ),
        ("a=b; HttpOnly; Path=/lti", "a=b; Path=%s; HttpOnly"),
        ("a=b; HttpOnly; Path=/ltix", "a=b; Path=%s/ltix; HttpOnly"),
        ("a=b; HttpOnly; Path=/admin/", "a=b; Path=%s/admin/; HttpOnly"),
        ("a=b; HttpOnly; Path=/lti/other", "a=b; Path=%s/lti/other; HttpOnly"),
        (f"a=b; HttpOnly; Path={LAUNCH}/admin", "a=b; Path=%s/admin; HttpOnly"),
        (f"a=b; HttpOnly; Path={LAUNCH}B", f"a=b; Path=%s{LAUNCH}B; HttpOnly"),
        ("a=b; HttpOnly; Path=//", "a=b; Path=%s; HttpOnly"),
        # The browser's default, the folder that is answered, may be that of all launches.
        ("a=b; HttpOnly", "a=b; Path=%s; HttpOnly"),
        ("a=b; HttpOnly; Path", "a=b; Path=%s; HttpOnly"),
        ("a=b; HttpOnly; Path=admin", "a=b; Path=%s; HttpOnly"),
        ('a="x; Path=/"; HttpOnly', 'a="x; Path=%s; HttpOnly'),
        # The last one counts.
        ("a=b; Path=/x; HttpOnly; Path=/", "a=b; Path=%s; HttpOnly"),
        ("a=b; Path=/x; HttpOnly; Path=", "a=b; Path=%s; HttpOnly"),
        # What was there of the three attributes goes, in any case and number, and so does Domain.
        (
            "a=b; SECURE; samesite=Strict; SameSite=Lax; partitioned; Domain=.x.example; HttpOnly",
            "a=b; Path=%s; HttpOnly",
        ),
        # What is not known here stays.
        ("a=b ;  hTTPonly;PATH = /; Priority=High", "a=b ; Path=%s; Priority=High; HttpOnly"),
        ("a=b;Path=/; ; HttpOnly;", "a=b; Path=%s; HttpOnly"),
        # Quotes are part of the value, and hold no semicolon together: browsers split there too.
        ('a="x, y"; HttpOnly', 'a="x, y"; Path=%s; HttpOnly'),
        ("a==b=c; HttpOnly", "a==b=c; Path=%s; HttpOnly"),
        ("a=Path=/; HttpOnly", "a=Path=/; Path=%s; HttpOnly"),
        ("a=\xe4\xf6; HttpOnly", "a=\xe4\xf6; Path=%s; HttpOnly"),
        ("nameless; HttpOnly", "=nameless; Path=%s; HttpOnly"),
        # The tag comes first, so that the browser asks for no path of a name's.
        ("__Host-a=b; Path=/; Secure; HttpOnly", "__Host-a=b; Path=%s; HttpOnly"),
        ("__Secure-a=b; Path=/; Secure; HttpOnly", "__Secure-a=b; Path=%s; HttpOnly"),
        ("__HOST-a=b; Secure; Path=/", "__HOST-a=b; Path=%s"),
    ],
)
def test_a_cookie_is_sent_under_the_launchs_own_name(given: str, sent: str) -> None:
    assert for_launch(given, "", LAUNCH) == (TAG + sent.replace("%s", LAUNCH) + FRAME,)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.reached}{case.mount} {case.given}")
def test_what_scripts_set_too(case: Case) -> None:
    """tests/browsers/test_launch_script.py holds the script to the same cases."""
    header, mount = case.given.encode().decode("latin-1"), case.mount
    sent = for_launch(header, mount, mount + LAUNCH, case.reached, (SHARED,))
    assert sent[0].encode("latin-1").decode() == case.becomes


@pytest.mark.parametrize("given", ["", " ; Path=/"])
def test_what_is_no_cookie_stays(given: str) -> None:
    assert for_launch(given, "", LAUNCH) == (given,)


@pytest.mark.parametrize(
    "given",
    [
        f"csrftoken=x; expires=Tue, 23 Nov 2107 05:00:00 GMT; Max-Age=31449600; Path={LAUNCH}",
        f"csrftoken=; expires={PAST}; Max-Age=0; Path={LAUNCH}",
        f"__Secure-a=b; Path={LAUNCH}",
        f"nameless; Path={LAUNCH}",
    ],
)
def test_what_scripts_may_read_they_find_under_its_own_name_too(given: str) -> None:
    tagged, plain = for_launch(given, "", LAUNCH)
    name, path, rest = given.partition(f"; Path={LAUNCH}")
    pair, semicolon, lifetime = name.partition(";")
    ordered = pair + path + semicolon + lifetime + rest + FRAME
    assert plain == ordered
    assert tagged == TAG + ("=" if "=" not in pair else "") + ordered


@pytest.mark.parametrize(
    ("ending", "deletes"),
    [
        ("a=; HttpOnly", True),
        ('a=""; HttpOnly', True),
        ("a=null; Max-Age=0; HttpOnly", True),
        ("a=x; max-age=-1; HttpOnly", True),
        ("a=x; Max-Age=000; HttpOnly", True),
        (f"a=x; Expires={PAST}; HttpOnly", True),
        ("a=x; expires=Thu, 01-Jan-1970 00:00:00 GMT; HttpOnly", True),
        ("a=x; expires=Thu Jan  1 00:00:00 1970; HttpOnly", True),
        (f"a=x; Expires={PAST}; Max-Age=0; HttpOnly", True),
        # Max-Age counts before Expires, the last of each, and neither if it is none.
        (f"a=x; Expires={PAST}; Max-Age=60; HttpOnly", False),
        ("a=x; Max-Age=0; Max-Age=60; HttpOnly", False),
        ("a=x; Expires=Fri, 01 Jan 2107 00:00:00 GMT; HttpOnly", False),
        (f"a=x; Expires={PAST}; Max-Age=soon; HttpOnly", True),
        ("a=x; Expires=soon; HttpOnly", False),
        ("a=x; Expires=Thu, 01 Jan 99999999999 00:00:00 GMT; HttpOnly", False),
        ("a=x; HttpOnly", False),
    ],
)
def test_a_deletion_deletes_what_scripts_could_read_whatever_it_says_of_them(
    ending: str, deletes: bool
) -> None:
    tagged, *plain = for_launch(f"{ending}; Path=/admin", "", LAUNCH)
    assert tagged.startswith(TAG)
    assert plain == [f"a=; Path={LAUNCH}/admin; Max-Age=0{FRAME}"] * deletes


def test_a_shared_cookie_stays_as_it_is() -> None:
    given = "sso=x; Path=/; Domain=.vendor.example; SameSite=Lax"
    assert for_launch(given, "", LAUNCH, shared=("sso",)) == (given,)
    assert len(for_launch(f"x{given}", "", LAUNCH, shared=("sso",))) == 2


@pytest.mark.parametrize(
    "given",
    ["a=b\r\nX-Evil: 1; Path=/", "a=b; Path=/\r\n\r\n<script>", "a=\0b", "\r\n", "a=b; \nPath=/"],
)
@pytest.mark.parametrize("mount", ["", "/tools/quiz"])
def test_no_line_end_comes_through(given: str, mount: str) -> None:
    for reached in ("https", "loopback", "http"):
        for sent in for_launch(given, mount, mount + LAUNCH, reached):
            assert not set(sent) & set("\r\n\0")


@pytest.mark.parametrize(
    ("header", "given"),
    [
        ("", ""),
        ("session=the site's; a=1", ""),
        (f"{TAG}session=mine; session=the site's", "session=mine"),
        (f"session=the site's; {TAG}session=mine", "session=mine"),
        (f"BBBBBBBB.session=another's; {TAG}a=1;{TAG}b=2", "a=1; b=2"),
        # RFC 6265 section 5.4: the first has the longer path.
        (f"{TAG}a=deep; {TAG}b=2; {TAG}a=root", "a=deep; b=2"),
        (f"{TAG}a=1; {TAG}A=2", "a=1; A=2"),
        (f'{TAG}a="x, y"; {TAG}b=c=d', 'a="x, y"; b=c=d'),
        (f"{TAG}__Host-session=x; {TAG}=nameless", "__Host-session=x; nameless"),
        (f"x{TAG}a=1; a={TAG}b=2; {TAG}", ""),
        (
            "; ".join(f"{TAG}n{i}={i}; n{i}=old" for i in range(30)),
            "; ".join(f"n{i}={i}" for i in range(30)),
        ),
        # Headers that a server joined.
        (f"{TAG}a=1, {TAG}b=2,{TAG}c=3; {TAG}d=4", "a=1; b=2; c=3; d=4"),
        (f"a=old,{TAG}a=1,a=old", "a=1"),
        (f"{TAG}a=1,2,{TAG}b=x,y=z", "a=1,2; b=x,y=z"),
    ],
)
def test_the_app_is_given_its_launchs_cookies_alone(header: str, given: str) -> None:
    assert for_app(header, TAG, ()) == given


@pytest.mark.parametrize("between", ["; ", ",", ", "])
def test_the_app_is_given_shared_cookies_as_they_came(between: str) -> None:
    header = between.join(("sso=all", f"{TAG}sso=planted", "a=old", f"{TAG}a=1", "sso=site"))
    assert for_app(header, TAG, ("sso",)).startswith("sso=all")
    assert "planted" not in for_app(header, TAG, ("sso",))
    assert for_app(f"{TAG}sso=planted{between}sso=all", TAG, ("sso",)) == "sso=all"
    assert "a=1" in for_app(header, TAG, ("sso",)).split("; ")


@pytest.mark.parametrize(
    ("header", "given"),
    [
        (f"{TAG}q=x,sso=planted; sso=site", "q=x,sso=planted; sso=site"),
        (f"{TAG}q=x,sso=planted", "q=x,sso=planted"),
        (f"{TAG}filter=a=1,user=2; filter=a=1,user=2; {TAG}user=3", "filter=a=1,user=2; user=3"),
        # A server may still have joined some of them: nobody else knows the tag.
        (f"{TAG}a=1,{TAG}b=2; {TAG}c=3", "a=1; b=2; c=3"),
    ],
)
def test_a_comma_is_part_of_a_value_if_semicolons_separate_the_cookies(
    header: str, given: str
) -> None:
    assert for_app(header, TAG, ("sso",), joined=False) == given


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
        ("a=launch; b=2; a=site", [], "a=launch; b=2; a=site"),
        ("a=1; A=2", [], "a=1; A=2"),
        ("a=1; a =2", [], "a=1; a =2"),
        ("a=1; nameless; nameless", [], "a=1; nameless; nameless"),
        # Headers that a server joined.
        (f"{START}x.y.z,a=1", ["x.y.z"], "a=1"),
        (f"a=1,{START}x.y.z", ["x.y.z"], "a=1"),
        (f"a=1, {START}x.y.z, b=2; c=3", ["x.y.z"], "a=1; b=2; c=3"),
        (f"a=1,2,{START}x.y.z,b=2,3", ["x.y.z"], "a=1,2;b=2,3"),
        (f"{START}one,{START}two", ["one", "two"], ""),
        ("a=1,b=2; a=2", [], "a=1,b=2; a=2"),
    ],
)
def test_a_requests_cookies(header: str, found: list[str], others: str) -> None:
    pairs, rest = split_request(header, (START, OTHER))
    assert [pair.removeprefix(START) for pair in pairs] == found
    assert rest.replace("; ", ";") == others.replace("; ", ";").replace(";;", ";")
