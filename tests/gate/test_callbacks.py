"""Signing in elsewhere: a launch goes to an OAuth provider and comes back in ``state``, through
both adapters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from ltiaas_middleware import require_launch, testing
from tests.both_adapters import Tool
from tests.gate.test_app_answers import Launched

CALLBACK = "/oauth/callback"
OWN = "https://tool.example"
PROVIDER = "https://provider.example/authorize"
SECRETS = ["the-first-secret-0123456789", "the-second-secret-0123456789"]


@pytest.fixture
def tool(make_tool: Callable[..., Tool]) -> Tool:
    return make_tool(callbacks=[CALLBACK])


def authorize(
    state: str | None = "a%2Fb+c~", to: str = PROVIDER, redirect_uri: str | None = OWN + CALLBACK
) -> str:
    parts = ["client_id=x%20y"]
    parts += [] if state is None else [f"state={state}"]
    parts += [] if redirect_uri is None else [f"redirect_uri={quote(redirect_uri, safe='')}"]
    return f"{to}?{'&'.join(parts)}&scope=a+b#top"


def sent_to(launched: Launched, location: str) -> str:
    try:
        return launched.get(("Location", location), path="/connect")["Location"]
    finally:
        launched.tool.app_headers = []


def state_of(location: str) -> str:
    (state,) = parse_qs(urlsplit(location).query)["state"]
    return state


def come_back(tool: Tool, query: str, method: str = "GET", **ask: Any) -> Any:
    marks = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site", "Accept": "text/html"}
    return tool.ask(method, f"{CALLBACK}?{query}", marks, **ask)


@pytest.mark.parametrize("mount", ["", "/tools/quiz"])
@pytest.mark.parametrize("iframe_support", [True, False])
def test_there_and_back(make_tool: Callable[..., Tool], mount: str, iframe_support: bool) -> None:
    tool = make_tool(callbacks=[CALLBACK], iframe_support=iframe_support, require=True)
    launched = Launched(tool, mount=mount)
    location = authorize(redirect_uri=f"{OWN}{mount}{CALLBACK}")
    sent = sent_to(launched, location)
    state = state_of(sent)
    assert sent == location.replace("state=a%2Fb+c~", f"state={state}")
    assert quote(state, safe="") == state
    for spelled in (state, "".join(f"%{ord(char):02X}" for char in state)):
        reply = come_back(tool, f"code=4%2F0+x;y&state={spelled}&iss=https://p/", mount=mount)
        query = "code=4%2F0+x;y&state=a%2Fb+c~&iss=https://p/"
        assert reply.status == 303
        assert reply["Location"] == f"{launched.path}{CALLBACK}?{query}"
        assert reply.all("Set-Cookie") == []
    seen = launched.get(path=f"{CALLBACK}?{query}").seen
    assert (seen["path"].removeprefix(mount), seen["query"]) == (CALLBACK, query)
    assert seen["launch_path"] == launched.path


def test_the_redirect_authenticates_nothing(tool: Tool) -> None:
    launched = Launched(tool)
    assert launched.get().reached_app
    back = come_back(tool, f"code=1&state={state_of(sent_to(launched, authorize()))}")
    assert tool.navigate(back["Location"]).status == 401
    other = Launched(tool)
    assert tool.navigate(back["Location"], other.cookie).status == 401
    assert tool.navigate(back["Location"], launched.cookie).reached_app


def altered(state: str, other: str) -> list[str]:
    return [
        *(state[:at] + ("A" if state[at] != "A" else "B") + state[at + 1 :] for at in (0, 30, 44)),
        *(state + "A", state[:-1], state[:44], state[:22], "", "a%2Fb", "\u00e4", "x" * 60),
        # One launch's id with another's signature.
        other[:22] + state[22:],
    ]


@pytest.mark.parametrize("require", [True, False])
def test_a_state_that_is_not_the_middlewares_changes_nothing(
    make_tool: Callable[..., Tool], require: bool
) -> None:
    tool = make_tool(callbacks=[CALLBACK], require=require)
    state, other = (state_of(sent_to(Launched(tool), authorize())) for _ in range(2))
    good = come_back(tool, f"state={state}")
    assert good.status == 303
    queries = [f"state={quote(each, safe='%')}&code=1" for each in altered(state, other)]
    queries += ["code=1", f"state={state}&state={other}", f"x={state}", f"State={state}"]
    for query in queries:
        reply = come_back(tool, query)
        if require:
            assert reply.status == 401, query
        else:
            assert (reply.seen["query"], reply.seen["launch"]) == (query, None)


def test_another_tools_state_is_not_this_ones(make_tool: Callable[..., Tool]) -> None:
    theirs = make_tool(callbacks=[CALLBACK], secrets=SECRETS[0])
    state = state_of(sent_to(Launched(theirs), authorize()))
    assert come_back(make_tool(callbacks=[CALLBACK]), f"state={state}").reached_app


def test_a_state_outlives_the_rotation_of_a_secret(make_tool: Callable[..., Tool]) -> None:
    before = make_tool(callbacks=[CALLBACK], secrets=SECRETS[0])
    after = make_tool(callbacks=[CALLBACK], secrets=SECRETS[::-1])
    state = state_of(sent_to(Launched(before), authorize()))
    assert come_back(after, f"state={state}").status == 303


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT"])
def test_only_a_get_is_redirected(tool: Tool, method: str) -> None:
    state = state_of(sent_to(Launched(tool), authorize()))
    reply = come_back(tool, f"state={state}", method)
    assert reply.reached_app
    assert reply.get("Location") is None


def test_another_path_is_not_redirected(tool: Tool) -> None:
    state = state_of(sent_to(Launched(tool), authorize()))
    for path in ("/oauth/callback/", "/oauth", "/OAuth/callback", "/"):
        assert tool.navigate(f"{path}?state={state}").reached_app


@pytest.mark.parametrize(
    "location",
    [
        authorize(state=None),
        authorize(redirect_uri=None),
        authorize(redirect_uri=OWN + "/oauth/other"),
        authorize(redirect_uri=OWN + CALLBACK + "/more"),
        authorize(redirect_uri="https://other.example" + CALLBACK),
        authorize(redirect_uri="https://tool.example.evil" + CALLBACK),
        authorize(redirect_uri=f"https://[{CALLBACK}"),
        authorize().replace("#", "&state=again#"),
        authorize().replace("#", "&redirect_uri=again#"),
        authorize(to="myapp://authorize"),
        "https://provider.example/",
    ],
)
def test_any_other_redirect_is_untouched(tool: Tool, location: str) -> None:
    assert sent_to(Launched(tool), location) == location


@pytest.mark.parametrize("to", [f"{OWN}/authorize", "/authorize", "authorize"])
def test_a_redirect_within_the_tool_keeps_its_state(tool: Tool, to: str) -> None:
    assert "state=a%2Fb+c~&" in sent_to(Launched(tool), authorize(to=to))


@pytest.mark.parametrize(
    "options",
    [{}, {"callbacks": ["/other"]}, {"callbacks": [CALLBACK], "exclude": ["/oauth"]}],
)
def test_what_is_no_callback_or_excluded_is_as_without(
    tool: Tool, make_tool: Callable[..., Tool], options: dict[str, Any]
) -> None:
    other = make_tool(**options)
    assert sent_to(Launched(other), authorize()) == authorize()
    state = state_of(sent_to(Launched(tool), authorize()))
    assert come_back(other, f"state={state}").reached_app


def test_without_launch_paths_there_is_nowhere_to_go_back_to(
    tool: Tool, make_tool: Callable[..., Tool]
) -> None:
    state = state_of(sent_to(Launched(tool), authorize()))
    in_place = make_tool(callbacks=[CALLBACK], launch_path=None)
    assert come_back(in_place, f"state={state}").reached_app


# -- the redirect URL that the library is given ----------------------------------------------------


class Asking:
    """An app that answers with the callback's URL, behind either adapter."""

    def wsgi(self, environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [self.url()]

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.url()})

    @staticmethod
    def url() -> bytes:
        try:
            return require_launch().outside_url(CALLBACK).encode()
        except ValueError as error:
            return str(error).encode()


def asking(tool: Tool) -> Tool:
    tool.middleware.app = getattr(Asking(), tool.kind)
    return tool


@pytest.mark.parametrize("mount", ["", "/tools/quiz"])
@pytest.mark.parametrize(
    ("ask", "origin"),
    [
        ({}, OWN),
        ({"scheme": "http", "host": "localhost:5000"}, "http://localhost:5000"),
    ],
)
def test_the_app_gets_the_fixed_url(
    tool: Tool, ask: dict[str, Any], origin: str, mount: str
) -> None:
    launched = Launched(asking(tool), mount=mount, **ask)
    assert launched.get().body.decode() == f"{origin}{mount}{CALLBACK}"


@pytest.mark.parametrize("callbacks", [(), ["/other"]])
def test_a_path_that_is_no_callback_has_no_fixed_url(
    make_tool: Callable[..., Tool], callbacks: Any
) -> None:
    launched = Launched(asking(make_tool(callbacks=callbacks)))
    assert b"the setting callbacks" in launched.get().body


def test_a_launch_of_a_test_has_one_too() -> None:
    with testing.launch() as launch:
        assert launch.outside_url(CALLBACK) == "https://testserver" + CALLBACK
