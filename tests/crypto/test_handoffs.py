from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest

from ltiaas_middleware._crypto.handoffs import VALID_FOR, Handoffs
from ltiaas_middleware._crypto.keys import derive

LAUNCH = "A" * 22
NOW = 1_800_000_000.0


def handoffs(secret="secret", now=NOW):
    return Handoffs([secret], lambda: now)


def test_it_opens_its_launch_within_its_minute():
    token = handoffs().make(LAUNCH)
    assert handoffs().check(token, LAUNCH)
    assert handoffs(now=NOW + VALID_FOR - 1).check(token, LAUNCH)
    assert not handoffs(now=NOW + VALID_FOR).check(token, LAUNCH)
    assert not handoffs().check(token, "B" * 22)
    assert not handoffs("another").check(token, LAUNCH)


def test_one_from_the_far_future_opens_nothing_yet():
    """It would be good for longer than what is used up is remembered."""
    for ahead in (2, 5, 120, 86_400, 10**9):
        token = handoffs(now=NOW + ahead).make(LAUNCH)
        assert not handoffs().check(token, LAUNCH)
    # Another worker's clock may be a second ahead.
    assert handoffs().check(handoffs(now=NOW + 1).make(LAUNCH), LAUNCH)


def test_no_two_are_the_same():
    tokens = {handoffs().make(LAUNCH) for _ in range(1000)}
    assert len(tokens) == 1000
    # 64 random bits, after four bytes of time: every one of their bytes varies.
    nonces = [urlsafe_b64decode(token + "==")[4:12] for token in tokens]
    for place in range(8):
        assert len({nonce[place] for nonce in nonces}) > 200


def test_every_bit_counts():
    token = handoffs().make(LAUNCH)
    raw = urlsafe_b64decode(token + "==")
    assert len(raw) == 4 + 8 + 16, "the MAC has 128 bits"
    for place in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[place] ^= 1 << bit
            assert not handoffs().check(spelled(bytes(changed)), LAUNCH)


@pytest.mark.parametrize("length", [*range(0, 28), 29, 60])
def test_it_has_one_length(length):
    raw = urlsafe_b64decode(handoffs().make(LAUNCH) + "==")
    assert not handoffs().check(spelled((raw + b"\0" * 40)[:length]), LAUNCH)


def spelled(raw):
    return urlsafe_b64encode(raw).decode().rstrip("=")


def test_workers_of_two_releases_take_each_others():
    # A known answer, with a key of its own purpose: it is no launch id, and no key of the store's.
    key = derive("secret", "handoff")
    head = (int(NOW) + VALID_FOR).to_bytes(4, "big") + b"8 bytes."
    mac = hmac.digest(key, head + LAUNCH.encode(), "sha256")[:16]
    assert key.hex() == "8adb93bddf57187a476f9e0a1167ace17c871fb1ea2606440aa212df4506c21f"
    assert handoffs().check(spelled(head + mac), LAUNCH)
