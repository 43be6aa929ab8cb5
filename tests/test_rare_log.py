"""The log is told of an outage and of what strangers do, and not filled by it."""

from __future__ import annotations

import pytest

from ltiaas_middleware._rare_log import RareLog, pattern_of
from ltiaas_middleware.errors import RateLimited, UpstreamError
from tests.tokens import ltik


@pytest.fixture
def log(clock):
    return RareLog(5, 60, monotonic=lambda: clock.since_boot)


def fail(log, times, kind="UpstreamError", error=None):
    for number in range(times):
        text = "launch %s could not be verified: %s"
        log.warning(kind, text, f"launch-{number}", error or UpstreamError("no connection"))


def test_the_first_few_are_told_one_by_one(log, caplog):
    fail(log, 3)
    assert [record.getMessage() for record in caplog.records] == [
        f"launch launch-{number} could not be verified: GET: no connection" for number in range(3)
    ]


def test_of_thousands_a_few_are_told_and_a_minute_later_how_many_there_were(log, caplog, clock):
    fail(log, 3000)
    assert len(caplog.records) == 5
    clock.pass_(61)
    fail(log, 1)
    assert caplog.messages[-1].endswith("no connection (and 2995 more since, for the same reason)")
    fail(log, 1)
    assert caplog.messages[-1].endswith("no connection")


def test_another_kind_is_told_at_once(log, caplog):
    fail(log, 100)
    fail(log, 1, "RateLimited", RateLimited("too many", status=429))
    assert "too many" in caplog.messages[-1]
    assert len(caplog.records) == 6


def test_what_strangers_choose_is_told_once_an_hour_up_to_a_limit(caplog, clock):
    log = RareLog(kinds=2, monotonic=lambda: clock.since_boot)

    def told(kinds):
        caplog.clear()
        for kind in kinds:
            log.warning(kind, "%s", kind)
        return caplog.messages

    assert told("aabc") == ["a", "b"]
    clock.pass_(1800)
    assert told("abc") == []
    clock.pass_(1800)
    assert told("cba") == ["c", "b (and 1 more since, for the same reason)"]


def test_paths_that_differ_by_ids_are_alike():
    paths = ("/quiz/1", "/quiz/22", f"/lti/{'a' * 22}/quiz/3", "/report")
    assert [pattern_of(path) for path in paths] == [
        "/quiz/*",
        "/quiz/*",
        "/lti/*/quiz/*",
        "/report",
    ]


def test_the_middlewares_own_log_is_bounded_while_ltiaas_fails(make_tool, upstream, caplog):
    tool = make_tool(waiting_page_after=0.01)
    upstream.error = UpstreamError("no connection")
    for _ in range(40):
        assert tool.get(f"/?ltik={ltik()}").status == 503
    told = [line for line in caplog.messages if "could not be verified" in line]
    # Those that LTIAAS did not answer, and those that were not even asked about.
    assert 1 <= len(told) <= 10
