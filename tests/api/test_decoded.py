"""ID tokens are decoded once for the requests of a launch; what one request does, no other sees."""

from __future__ import annotations

import copy
import json
import pickle
import sys
import threading
from typing import Any

import pytest

from ltiaas_middleware.api.decoded import DecodedTokens
from ltiaas_middleware.api.values import frozen

CLAIMS = {
    "user": {"id": "u1", "name": "Ada", "roles": ["Instructor"], "roleScopeMentor": ["u2"]},
    "platform": {"id": "p1", "lis": {"person_sourcedid": "x", "deep": {"a": [1, {"b": 2}]}}},
    "launch": {"custom": {"resource": "123", "nested": {"list": [1]}}, "context": {"id": "c1"}},
    "services": {"serviceKey": "sk"},
}


def claims(user: str = "u1") -> bytes:
    return json.dumps({**CLAIMS, "user": {**CLAIMS["user"], "id": user}}).encode()


def test_the_typed_claims_are_shared_and_raw_is_each_requests_own() -> None:
    tokens = DecodedTokens()
    one, other = (tokens.get("launch", claims()) for _ in range(2))
    assert one.user is other.user
    assert one.launch is other.launch
    assert one.platform is other.platform
    assert one == other
    assert one.raw is one.raw
    assert one.raw == CLAIMS
    one.raw["user"]["id"] = "someone else"
    one.raw.clear()  # type: ignore[attr-defined]
    assert other.raw == CLAIMS
    assert tokens.get("launch", claims()).raw == CLAIMS


def changes(value: Any) -> Any:
    """Every way to change something that is found in a token."""
    if isinstance(value, dict):
        yield lambda: value.update(a=1)
        yield lambda: value.__setitem__("a", 1)
        yield lambda: value.pop("a", None)
        yield lambda: value.popitem()
        yield lambda: value.clear()
        yield lambda: value.setdefault("new", 1)
        yield lambda: value.__delitem__(next(iter(value)))
        yield lambda: value.__ior__({"a": 1})
        for item in value.values():
            yield from changes(item)
    elif isinstance(value, tuple):
        yield lambda: value.__setitem__(0, 1)  # type: ignore[attr-defined]
        for item in value:
            yield from changes(item)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield lambda name=name: setattr(value, name, None)
            if name != "_raw":
                yield from changes(getattr(value, name))
    else:
        assert value is None or isinstance(value, (str, int, float)), value


def test_nothing_that_is_shared_can_be_changed() -> None:
    tokens = DecodedTokens()
    before = tokens.get("launch", claims())
    tried = 0
    for change in changes(tokens.get("launch", claims())):
        with pytest.raises((AttributeError, TypeError)):
            change()
        tried += 1
    assert tried > 60
    after = tokens.get("launch", claims())
    assert after == before == DecodedTokens().get("launch", claims())


def test_what_cannot_be_changed_is_a_dict_in_all_else() -> None:
    value = frozen({"a": {"b": [1]}})
    assert value == {"a": {"b": (1,)}}
    assert json.loads(json.dumps(value)) == {"a": {"b": [1]}}
    assert copy.deepcopy(value) is value
    assert copy.copy(value) is value
    assert pickle.loads(pickle.dumps(value)) == value
    assert dict(value) | {"c": 1} == {**value, "c": 1}


def test_new_claims_are_decoded_anew() -> None:
    tokens = DecodedTokens()
    assert tokens.get("launch", claims("u1")).user.id == "u1"
    assert tokens.get("launch", claims("u2")).user.id == "u2"
    assert tokens.get("launch", claims("u1")).user.id == "u1"
    assert tokens.get("other", claims("u3")).user.id == "u3"


def test_only_what_is_in_use_is_kept() -> None:
    now = [0.0]
    tokens = DecodedTokens(10, 300, lambda: now[0])
    in_use = tokens.get("in use", claims()).user
    for number in range(100):
        tokens.get(str(number), claims(str(number)))
        assert tokens.get("in use", claims()).user is in_use
        assert len(tokens._young) + len(tokens._old) <= 20
    now[0] = 301
    assert tokens.get("in use", claims()).user is in_use
    now[0] = 602
    tokens.get("another", claims())
    assert set(tokens._young) | set(tokens._old) == {"in use", "another"}
    now[0] = 903
    tokens.get("another", claims())
    assert set(tokens._young) | set(tokens._old) == {"another"}


def test_many_threads_get_their_own_launchs_claims() -> None:
    tokens = DecodedTokens(8, 300)
    wrong: list[str] = []

    def ask(start: int) -> None:
        for number in range(start, start + 400):
            user = str(number % 24)
            token = tokens.get(user, claims(user))
            if token.user.id != user or token.raw["user"]["id"] != user:
                wrong.append(user)
            token.raw["user"]["id"] = "someone else"

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask, args=(start,)) for start in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
