"""The gate, through both adapters, against an oracle written from docs/reference/requests.md.

``make test`` asks a few thousand requests; ``make fuzz`` a million, or as many as ``DECISIONS``
says. A failure is shrunk to few and plain requests, and printed.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from ltiaas_middleware.errors import LaunchExpired
from tests.both_adapters import Reply, Tool
from tests.gate.asked import REFUSED, REQUESTS, Asked, Launch, one_time_tokens, opened, pick
from tests.gate.oracle import APP_SETS, SHARED, TRUSTED, Expected, Oracle, app_sees, app_sets
from tests.tokens import ltik
from tests.upstream import Upstream

DECISIONS = int(os.environ.get("DECISIONS", "4000"))
# Enough for every request to be about as likely as any other.
_BYTES = REQUESTS.bit_length() // 8 + 3
# Requests of one example, on average.
TOGETHER = 6
# Bytes, because Hypothesis draws them evenly; of large integers it likes the small ones best.
_NUMBERS = st.binary(min_size=_BYTES, max_size=_BYTES)
_ANOTHER_WORKER = 243
CONFIGURATIONS: list[dict[str, Any]] = [
    {"require": require, "header": header}
    for require in (False, True, None)
    for header in (False, True)
]
EXAMPLES = settings(
    max_examples=max(1, DECISIONS // TOGETHER // 2),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


class World:
    """One tool for each configuration, kept: its launches are new for each example."""

    def __init__(self, make_tool: Any, upstream: Upstream) -> None:
        self._tools = [
            make_tool(
                exclude=["/static/"],
                trusted_origins=[TRUSTED],
                shared_cookies=[SHARED],
                require=["/page"] if configuration["require"] is None else configuration["require"],
                ltik_headers=["X-Ltik"] if configuration["header"] else [],
            )
            for configuration in CONFIGURATIONS
        ]
        for tool in self._tools:
            tool.app_headers = [("Set-Cookie", value) for value in APP_SETS]
        self.upstream = upstream

    def run(self, configuration: int, is_open: bool, numbers: list[bytes]) -> None:
        tool = self._tools[configuration]
        oracle = Oracle(**CONFIGURATIONS[configuration])
        parts = tool.middleware._gate
        launches = []
        for name in ("a", "b", "refused", "unknown"):
            token = ltik()
            launch = Launch(name, token, parts._ids.of(token), is_refused=name == "refused")
            launches.append(launch)
            if launch.is_refused:
                error = LaunchExpired("Invalid or expired ltik.", status=401)
                self.upstream.errors[token] = error
        tokens = one_time_tokens(parts._account.one_time_tokens, launches)
        try:
            for asked in opened(launches[0]) if is_open else ():
                self._ask(tool, oracle, asked, launches, tokens)
            for number in numbers:
                if number[0] > _ANOTHER_WORKER:
                    note("another worker")
                    oracle.forget()
                    tool.middleware._authenticator._launches._entries.clear()
                else:
                    asked = pick(int.from_bytes(number, "big"), launches)
                    self._ask(tool, oracle, asked, launches, tokens)
        finally:
            self.upstream.errors.clear()

    def _ask(
        self, tool: Tool, oracle: Oracle, asked: Asked, launches: list[Launch], tokens: list[str]
    ) -> None:
        note(repr(asked))
        before = len(self.upstream.asked)
        reply = tool.ask(asked.method, asked.target(tokens), asked.headers())
        expected = oracle.expect(asked)
        note(f"  {expected}\n  {reply.status} {reply.headers}")
        check(reply, expected, asked, launches)
        if expected.app:
            sees_its_cookies(reply, expected, asked)
            if expected.launch is not None:
                hides(reply, asked, launches, has_header=oracle.header)
        if not expected.asks:
            assert len(self.upstream.asked) == before, "what proved nothing led to a call"
        for launch in launches:
            entry = tool.middleware._authenticator.peek(launch.id)
            assert (entry is not None) is (launch in oracle.known)
            assert (entry is not None and entry.cookie_bound) is (launch in oracle.cookie_bound)


def check(reply: Reply, expected: Expected, asked: Asked, launches: list[Launch]) -> None:
    """Whether an answer is what it was to be."""
    assert reply.reached_app is expected.app
    assert reply.status == expected.status
    cookies = reply.all("Set-Cookie")
    if expected.app:
        of_the_app = app_sets(asked, expected.launch)
        assert cookies[: len(of_the_app)] == of_the_app
        del cookies[: len(of_the_app)]
    if expected.cookie is None:
        assert cookies == []
    else:
        assert expected.launch is not None
        end = {"frame": "", "tab": "-tab"}[expected.cookie]
        start = (
            f"__Secure-ltiaas-launch{end}={expected.launch.ltik}; Path=/lti/{expected.launch.id};"
        )
        (cookie,) = cookies
        assert cookie.startswith(start)
        assert cookie.endswith("; HttpOnly; Secure; SameSite=None; Partitioned")
    secrets = [launch.ltik for launch in launches]
    location = reply.get("Location")
    if expected.status in (303, 307, 308):
        assert location is not None
        assert re.match(r"/(?![/\\])", location), "it leads to another site"
        assert not any(secret in location for secret in secrets if expected.status != 307)
        if expected.launch is not None:
            assert location.startswith(f"/lti/{expected.launch.id}/")
        elif expected.status == 303:
            assert location.partition("?")[0] == REFUSED
    if expected.app:
        launch = json.loads(reply.body)["launch"]
        assert launch == (None if expected.launch is None else expected.launch.id)
        if asked.is_preflight and not asked.path.outside:
            assert not any(secret in json.loads(reply.body)["query"] for secret in secrets)
    else:
        allowed = [TRUSTED] if asked.origin == TRUSTED else []
        assert reply.all("Access-Control-Allow-Origin") == allowed
        assert not any(secret in reply.body.decode("latin-1") for secret in secrets)


def sees_its_cookies(reply: Reply, expected: Expected, asked: Asked) -> None:
    """Whether the app is given its own cookies, of this launch alone."""
    cookies = json.loads(reply.body)["headers"].get("cookie", "").split("; ")
    of_launches = [name for name, _ in asked.cookies if name != "s"]
    if isinstance(asked.place, Launch):
        assert cookies == (app_sees(asked, expected.launch, jar=expected.jar) or [""])
    else:
        own = [each for each in cookies if each.partition("=")[0] not in (*of_launches, "s", "")]
        assert own == app_sees(asked, expected.launch)


def hides(reply: Reply, asked: Asked, launches: list[Launch], *, has_header: bool) -> None:
    """Whether the app sees nothing of what proves a launch."""
    seen = json.loads(reply.body)
    if not has_header:
        # Then it is the app's own, whatever it holds.
        seen["headers"].pop("x-ltik", None)
    cookies = seen["headers"].pop("cookie", "").split("; ")
    if isinstance(asked.place, Launch):  # Browsers send the cookie nowhere else.
        assert not any(cookie.startswith("__Secure-ltiaas-launch") for cookie in cookies)
    assert not any(launch.ltik in json.dumps(seen) for launch in launches)
    if isinstance(asked.place, Launch) and not asked.in_query:
        assert seen["query"] == "a=1"


def test_the_gate_does_what_its_documentation_says(make_tool: Any, upstream: Upstream) -> None:
    world = World(make_tool, upstream)

    @EXAMPLES
    @given(
        st.integers(0, len(CONFIGURATIONS) - 1),
        st.booleans(),
        st.lists(_NUMBERS, min_size=1, max_size=40),
    )
    def fuzz(configuration: int, is_open: bool, numbers: list[bytes]) -> None:
        world.run(configuration, is_open, numbers)

    fuzz()
