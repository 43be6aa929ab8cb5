from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ltiaas_middleware import IdToken, LaunchExpired
from ltiaas_middleware._verification.id_tokens import Recording
from ltiaas_middleware.api.decoded import Decoded
from ltiaas_middleware.wsgi import LTIAASMiddleware
from tests.tokens import ltik

NOW = 1_800_000_000.0

_CLAIMS = {"user": {"id": "ada"}, "services": {"serviceKey": "sk-1"}}
CLAIMS = Decoded(json.dumps(_CLAIMS).encode(), IdToken.parse(_CLAIMS))


class Source:
    def id_token(self, ltik: str) -> Decoded:
        if ltik == "over":
            raise LaunchExpired("over")
        return CLAIMS


class Recorder:
    def __init__(self, error: Exception | None = None) -> None:
        self.recorded: list[tuple[IdToken, datetime]] = []
        self._error = error

    def record(self, id_token: IdToken, launched_at: datetime) -> None:
        if self._error is not None:
            raise self._error
        self.recorded.append((id_token, launched_at))


@pytest.mark.parametrize(("iat", "expected"), [(None, NOW), (NOW + 9999, NOW), (NOW - 9, NOW - 9)])
def test_a_fetched_id_token_is_recorded_under_its_launchs_time(
    iat: float | None, expected: float
) -> None:
    recorder = Recorder()
    source = Recording(Source(), recorder, clock=lambda: NOW)
    assert source.id_token("a.b.c" if iat is None else ltik(iat=iat)) == CLAIMS
    ((token, moment),) = recorder.recorded
    assert token.services.service_key == "sk-1"
    assert moment == datetime.fromtimestamp(expected, timezone.utc)


def test_a_refused_ltik_is_not_recorded() -> None:
    recorder = Recorder()
    with pytest.raises(LaunchExpired):
        Recording(Source(), recorder).id_token("over")
    assert recorder.recorded == []


def test_a_recorder_that_raises_does_not_fail_the_launch(caplog: Any) -> None:
    source = Recording(Source(), Recorder(RuntimeError("sk-1")))
    assert source.id_token("a.b.c") == CLAIMS
    assert "RuntimeError" in caplog.text
    assert "sk-1" not in caplog.text


def test_the_middlewares_counters_hold_the_stores(tmp_path: Path) -> None:
    middleware = LTIAASMiddleware(
        lambda environ, start_response: [],
        url="https://account.ltiaas.example",
        api_key="7d1c3f0e-0000-4000-8000-000000000001",
        service_keys=f"sqlite:///{tmp_path}/keys.sqlite3",
    )
    counters = middleware.service_keys.stats()
    assert counters
    for name, count in counters.items():
        assert middleware.stats()[f"service_keys.{name}"] == count
    middleware.close()
