from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest

from ltiaas_middleware._crypto.keys import derive
from ltiaas_middleware._crypto.one_time_tokens import VALID_FOR, OneTimeTokens

LAUNCH = "A" * 22
NOW = 1_800_000_000.0


def one_time_tokens(secret="secret", now=NOW):
    return OneTimeTokens([secret], lambda: now)


def test_it_opens_its_launch_within_its_minute():
    token = one_time_tokens().make(LAUNCH)
    assert one_time_tokens().check(token, LAUNCH) == pytest.approx(NOW, abs=0.002), (
        "when it was made"
    )
    assert one_time_tokens(now=NOW + VALID_FOR - 1).check(token, LAUNCH)
    assert not one_time_tokens(now=NOW + VALID_FOR).check(token, LAUNCH)
    assert not one_time_tokens().check(token, "B" * 22)
    assert not one_time_tokens("another").check(token, LAUNCH)


@pytest.mark.parametrize("fraction", [0.0, 0.0001, 0.0004, 0.0009, 0.00099])
def test_one_is_not_older_than_a_worker_that_began_in_the_same_millisecond(fraction):
    token = one_time_tokens(now=NOW + fraction).make(LAUNCH)
    made_at = one_time_tokens().check(token, LAUNCH)
    assert made_at is not None
    assert made_at >= NOW + fraction


def test_one_from_the_far_future_opens_nothing_yet():
    """It would be good for longer than what is used up is remembered."""
    for ahead in (2, 5, 120, 86_400, 10**9):
        token = one_time_tokens(now=NOW + ahead).make(LAUNCH)
        assert not one_time_tokens().check(token, LAUNCH)
    # Another worker's clock may be a second ahead.
    assert one_time_tokens().check(one_time_tokens(now=NOW + 1).make(LAUNCH), LAUNCH)


def test_no_two_are_the_same():
    tokens = {one_time_tokens().make(LAUNCH) for _ in range(1000)}
    assert len(tokens) == 1000
    # 64 random bits, after eight bytes of time: every one of their bytes varies.
    nonces = [urlsafe_b64decode(token + "==")[8:16] for token in tokens]
    for place in range(8):
        assert len({nonce[place] for nonce in nonces}) > 200


def test_every_bit_counts():
    token = one_time_tokens().make(LAUNCH)
    raw = urlsafe_b64decode(token + "==")
    assert len(raw) == 8 + 8 + 16, "the MAC has 128 bits"
    for place in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[place] ^= 1 << bit
            assert not one_time_tokens().check(spelled(bytes(changed)), LAUNCH)


@pytest.mark.parametrize("length", [*range(0, 32), 33, 60])
def test_it_has_one_length(length):
    raw = urlsafe_b64decode(one_time_tokens().make(LAUNCH) + "==")
    assert not one_time_tokens().check(spelled((raw + b"\0" * 40)[:length]), LAUNCH)


def spelled(raw):
    return urlsafe_b64encode(raw).decode().rstrip("=")


def test_workers_of_two_releases_take_each_others():
    # A known answer, with a key of its own purpose: it is no launch id, and no key of the store's.
    key = derive("secret", "one-time-link")
    head = (int(NOW + VALID_FOR) * 1000).to_bytes(8, "big") + b"8 bytes."
    mac = hmac.digest(key, head + LAUNCH.encode(), "sha256")[:16]
    assert key.hex() == "b6bb5b607507fe419260f10fea015ed45bd572da34783f8b581814bd2c28a510"
    assert one_time_tokens().check(spelled(head + mac), LAUNCH)
