"""What the API log writes down, and what it never does."""

from __future__ import annotations

import threading

import pytest

from ltiaas_middleware.sandbox import Sandbox, SandboxServer
from ltiaas_middleware.sandbox.api_log import token_digest

from .conftest import SCORE, START, Caller


def test_an_entry_holds_the_request_as_received(teacher: Caller, sandbox: Sandbox) -> None:
    item = teacher.line_item()
    sandbox.api_log.clear()
    teacher.post(f"{item}/scores?a=%2F&b", json=SCORE, headers={"User-Agent": "tool/1"})
    (entry,) = sandbox.api_log
    assert entry.at == START
    assert (entry.method, entry.path, entry.query) == ("POST", f"{item}/scores", "a=%2F&b")
    assert (entry.scheme, entry.well_formed) == ("LTIK-AUTH-V2", True)
    assert entry.user_agent == "tool/1"
    assert entry.body == SCORE
    assert (entry.status, entry.answered, entry.fault) == (204, True, None)


def test_calls_can_be_told_apart_by_launch(call: Caller, sandbox: Sandbox) -> None:
    one, two = sandbox.issue(), sandbox.issue()
    for ltik in (one, two, one):
        call.with_ltik(ltik).get("/api/idtoken")
    ids = [entry.ltik_id for entry in sandbox.api_log]
    assert ids == [token_digest(one), token_digest(two), token_digest(one)]
    assert ids[0] != ids[1]
    assert len(ids[0] or "") == 12


def test_requests_are_counted_by_exact_path(teacher: Caller, sandbox: Sandbox) -> None:
    teacher.line_item()
    teacher.get("/api/idtoken?raw=true")
    teacher.get("//api/idtoken")
    teacher.post("/api/idtoken")
    log = sandbox.api_log
    assert log.count("/api/idtoken") == 3
    assert log.count("/api/idtoken", "GET") == 2
    assert log.count("/api") == 0
    assert log.count() == len(log) == 4
    assert [entry.path for entry in log.entries("/api/lineitems")] == ["/api/lineitems"]
    log.clear()
    assert log.count() == 0


def test_only_calls_to_the_api_are_logged(call: Caller, sandbox: Sandbox) -> None:
    for path in ("/", "/lms/api-log", "/sandbox/api-log", "/apish"):
        call.get(path)
    assert len(sandbox.api_log) == 0
    call.get("/admin/platforms")
    assert sandbox.api_log[0].path == "/admin/platforms"


def test_waiting_gives_the_entries_or_says_how_many_there_were(
    teacher: Caller, sandbox: Sandbox
) -> None:
    later = threading.Thread(target=lambda: [teacher.get("/api/idtoken") for _ in range(2)])
    later.start()
    found = sandbox.api_log.wait_for(2, "/api/idtoken", 5, answered=True)
    later.join()
    assert [entry.status for entry in found] == [200, 200]
    with pytest.raises(TimeoutError, match="2 of 3 requests for /api/idtoken after 0"):
        sandbox.api_log.wait_for(3, "/api/idtoken", 0)
    with pytest.raises(TimeoutError, match="0 of 1 requests for the API"):
        Sandbox().api_log.wait_for(1, timeout=0)


def test_a_request_that_was_forgotten_while_held_up_stays_forgotten(
    teacher: Caller, sandbox: Sandbox
) -> None:
    sandbox.fault("delay", seconds=60)
    held = threading.Thread(target=teacher.get, args=["/api/idtoken"])
    held.start()
    sandbox.api_log.wait_for(1)
    sandbox.api_log.clear()
    sandbox.clear_faults()
    held.join()
    assert len(sandbox.api_log) == 0


def test_no_secret_stands_in_the_log_wherever_it_was_put() -> None:
    sandbox = Sandbox(api_key="a/secret:key")
    ltik = sandbox.issue()
    with SandboxServer(sandbox) as server:
        import requests

        call = Caller(server, requests.Session())
        with call.session:
            teacher = call.with_ltik(ltik)
            key = teacher.get("/api/idtoken").json()["services"]["serviceKey"]
            headers = [
                f"LTIK-AUTH-V2 {sandbox.api_key}:{ltik}",
                f"SERVICE-AUTH-V1 {sandbox.api_key}:{key}",
                f"Bearer {sandbox.api_key}",
                f"LTIK-AUTH-V1 Token={ltik}, Additional=Bearer {sandbox.api_key}",
                ltik,
                f"{sandbox.api_key} {ltik}",
            ]
            for header in headers:
                spread = call.with_authorization(header)
                spread.post(
                    f"/api/lineitems/{ltik}/{key}",
                    params={"ltik": ltik, "key": sandbox.api_key, "service": key},
                    json={ltik: [sandbox.api_key, {"deep": f"x{key}y"}], "n": 1, "z": None},
                    headers={"User-Agent": f"tool {sandbox.api_key} {ltik} {key}"},
                )
                spread.post("/api/lineitems", data=f"{ltik}&{key}&{sandbox.api_key}")
            shown = call.get("/lms/api-log").text
            exported = call.get("/sandbox/api-log").text
    written = repr(list(sandbox.api_log))
    assert len(sandbox.api_log) == 1 + 2 * len(headers)
    for text in (written, shown, exported):
        assert "[redacted]" in text
        for secret in (ltik, ltik.split(".")[2], key, key[:30], "secret"):
            assert secret not in text
