"""Whatever cookies an app sets in a launch come back to it, in that launch alone, on real servers:
behind a proxy that ends TLS, and on a developer's own machine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlencode

import pytest
from websockets.sync.client import connect

from ltiaas_middleware.sandbox import Sandbox

from .. import servers
from .jar import Person

APP = "tests.frameworks.apps.set_cookies"
PAST, FUTURE = "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 01 Jan 2107 00:00:00 GMT"


@pytest.fixture(scope="module")
def port_of(account_env: dict[str, str]) -> Iterator[Callable[[str], int]]:
    ports: dict[str, int] = {}
    with ExitStack() as stack:

        def port_of(kind: str) -> int:
            if kind not in ports:
                start = servers.gunicorn if kind == "wsgi" else servers.uvicorn
                env = {**account_env, "LTIAAS_SHARED_COOKIES": "sso"}
                ports[kind] = stack.enter_context(start(f"{APP}:{kind}", env=env)).port
            return ports[kind]

        yield port_of


@pytest.fixture(params=["wsgi", "asgi"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["tls", "loopback"])
def person(request: pytest.FixtureRequest, kind: str, port_of: Callable[[str], int]) -> Person:
    return Person(port_of(kind), loopback=request.param == "loopback")


class Tab:
    """A launch, or with "" the tool outside of launches."""

    def __init__(self, person: Person, base: str) -> None:
        self.person = person
        self.base = base

    def set(self, *values: str, path: str = "/launch", status: int = 200) -> None:
        query = urlencode([("status", status), *(("set", value) for value in values)])
        assert self.person.ask("GET", f"{self.base}{path}?{query}").status_code == status

    def given(self, path: str = "/launch") -> str:
        """The ``Cookie`` header that the app is given."""
        return str(json.loads(self.person.ask("GET", self.base + path).text))

    def readable(self, path: str = "/launch") -> dict[str, str]:
        """What a script of the app's finds, without what it does not look for."""
        found = self.person.jar.readable(self.base + path)
        return {name: value for name, value in found.items() if not re.match(r".{8}\.", name)}


@pytest.fixture
def tabs(person: Person, sandbox: Sandbox) -> tuple[Tab, Tab]:
    return two_launches(person, sandbox)


def two_launches(person: Person, sandbox: Sandbox) -> tuple[Tab, Tab]:
    bases = []
    for user in ("ada", "ben"):
        path, reply = person.open(f"/launch?ltik={sandbox.issue(user=user)}")
        assert reply.status_code == 200
        bases.append(path.removesuffix("/launch"))
    assert len(set(bases)) == 2
    return Tab(person, bases[0]), Tab(person, bases[1])


@pytest.mark.parametrize("hidden", ["", "; HttpOnly"])
def test_many_of_any_shape_come_back(tabs: tuple[Tab, Tab], hidden: str) -> None:
    ada, ben = tabs
    site = Tab(ada.person, "")
    site.set(f"n1=the site's; Path=/{hidden}", f"other=the site's; Path=/{hidden}")
    pairs = [f"n{number}={number}" for number in range(27)]
    pairs += ['quoted="x, y"', "equal=c=d", "empty-value-of=&"]
    ada.set(*(f"{pair}; Path=/; Expires={FUTURE}{hidden}" for pair in pairs))
    assert sorted(ada.given().split("; ")) == sorted(pairs)
    readable = dict(pair.split("=", 1) for pair in pairs) if not hidden else {}
    assert {name: ada.readable().get(name) for name in readable} == readable
    assert ben.given() == ""
    assert sorted(site.given().split("; ")) == ["n1=the site's", "other=the site's"]


@pytest.mark.parametrize("status", [201, 204, 302, 304, 404, 500])
def test_they_come_back_from_an_answer_of_any_status(tabs: tuple[Tab, Tab], status: int) -> None:
    ada, ben = tabs
    ada.set("a=1; Path=/; HttpOnly", "b=2", status=status)
    assert sorted(ada.given().split("; ")) == ["a=1", "b=2"]
    assert ben.given() == ""


def test_the_longest_path_counts(tabs: tuple[Tab, Tab]) -> None:
    ada, ben = tabs
    for path in ("/", "/deep", "/deep/er"):
        ada.set(f"a={path}; Path={path}")
    ben.set("a=ben; Path=/")
    for path in ("/", "/deep", "/deep/er"):
        assert ada.given(f"{path.rstrip('/')}/page") == f"a={path}"
        assert ada.readable(f"{path.rstrip('/')}/page") == {"a": path}
        assert ben.given(f"{path.rstrip('/')}/page") == "a=ben"


@pytest.mark.parametrize(
    ("path", "value", "ending"),
    [
        ("/", "", "Max-Age=0"),
        ("/deep", "null", f"Expires={PAST}"),
        ("/", "null", f"Expires={PAST}; Max-Age=0"),
    ],
)
def test_a_deletion_leaves_nothing_whatever_it_says_of_scripts(
    tabs: tuple[Tab, Tab], path: str, value: str, ending: str
) -> None:
    ada, ben = tabs
    page = "/deep/page"
    for before in ("", "; HttpOnly"):
        for after in ("", "; HttpOnly"):
            for tab in tabs:
                tab.set(f"a=1; Path={path}{before}")
            assert ada.given(page) == "a=1"
            ada.set(f"a={value}; Path={path}; {ending}{after}")
            assert (ada.given(page), ada.readable(page)) == ("", {})
            assert ben.given(page) == "a=1"


def test_shared_ones_are_every_launchs_and_the_sites(tabs: tuple[Tab, Tab]) -> None:
    ada, ben = tabs
    site = Tab(ada.person, "")
    site.set("sso=site; Path=/; HttpOnly", "session=site; Path=/; HttpOnly")
    assert (ada.given(), ben.given()) == ("sso=site", "sso=site")
    ada.set("sso=ada; Path=/; HttpOnly", "session=ada; Path=/; HttpOnly")
    assert sorted(ada.given().split("; ")) == ["session=ada", "sso=ada"]
    assert ben.given() == "sso=ada"
    assert sorted(site.given().split("; ")) == ["session=site", "sso=ada"]


@pytest.mark.parametrize("path", ["", "/", "/socket"])
def test_a_handshakes_cookies_come_back(
    path: str, port_of: Callable[[str], int], sandbox: Sandbox
) -> None:
    port = port_of("asgi")
    ada, ben = two_launches(Person(port, loopback=True), sandbox)

    def given(tab: Tab, *values: str) -> str:
        """What the app is given in a handshake, in whose answer it sets cookies."""
        where, jar = tab.base + path, tab.person.jar
        url = f"ws://127.0.0.1:{port}{where}?{urlencode([('set', value) for value in values])}"
        with connect(
            url,
            origin=f"http://127.0.0.1:{port}",  # type: ignore[arg-type]
            additional_headers={"Cookie": jar.header(where)},
        ) as socket:
            assert socket.response is not None
            for value in socket.response.headers.get_all("Set-Cookie"):
                jar.keep(value, where)
            return str(socket.recv())

    # Without a path of its own, its default at /lti/<id> is /lti, that of all launches.
    assert given(ada, "a=1", "b=2; HttpOnly", "c=3; Path=/") == ""
    for tab, names in ((ada, ["a=1", "b=2", "c=3"]), (ben, [""])):
        assert sorted(given(tab).split("; ")) == names
        assert sorted(tab.given().split("; ")) == names
