"""The session of the calls to LTIAAS, and what it takes from the environment."""

from __future__ import annotations

from typing import Any

import pytest

from ltiaas_middleware.api import transport

ACCOUNT = "https://account.ltiaas.example"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]

    class Time:
        @staticmethod
        def monotonic() -> float:
            return now[0]

    monkeypatch.setattr(transport, "time", Time)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    return now


def proxy_for(session: Any, url: str, verify: Any = True, proxies: Any = None) -> str | None:
    found = session.merge_environment_settings(url, proxies or {}, True, verify, None)
    assert found["stream"] is True
    return found["proxies"].get("https")


def test_the_environment_is_read_once_a_minute(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = transport.new_session(1)
    monkeypatch.setenv("HTTPS_PROXY", "http://one.example:3128")
    assert proxy_for(session, f"{ACCOUNT}/api/idtoken") == "http://one.example:3128"
    monkeypatch.setenv("HTTPS_PROXY", "http://two.example:3128")
    clock[0] += 59
    assert proxy_for(session, f"{ACCOUNT}/api/memberships?limit=9") == "http://one.example:3128"
    clock[0] += 2
    assert proxy_for(session, f"{ACCOUNT}/api/idtoken") == "http://two.example:3128"


def test_each_host_is_asked_for_by_itself(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = transport.new_session(1)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "account.ltiaas.example")
    assert proxy_for(session, f"{ACCOUNT}/api/idtoken") is None
    for other in ("https://other.ltiaas.example/", f"{ACCOUNT}.evil.example/api/idtoken"):
        assert proxy_for(session, other) == "http://proxy.example:3128"


def test_what_a_call_asks_for_stands(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    session = transport.new_session(1)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/from/the/environment.pem")
    url = f"{ACCOUNT}/api/idtoken"
    for verify, found in ((True, "/from/the/environment.pem"), ("/own.pem", "/own.pem")):
        settings = session.merge_environment_settings(url, {}, True, verify, None)
        assert settings["verify"] == found
    assert proxy_for(session, url, proxies={"https": "http://own.example"}) == "http://own.example"
    # What a caller does to its settings reaches no other call.
    session.merge_environment_settings(url, {}, True, True, None).clear()
    assert proxy_for(session, url) == "http://proxy.example:3128"
