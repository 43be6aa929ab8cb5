from __future__ import annotations

import base64
import re
import secrets
import uuid

import pytest

from ltiaas_middleware._crypto.keys import LaunchIds, derive, looks_made_up


def test_a_launch_id_is_22_characters_of_base64url():
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", LaunchIds(["secret"]).of("a.b.c"))


def test_it_stays_what_it_is():
    # A known answer: a change of it would end every launch at the next deploy.
    assert LaunchIds(["secret"]).of("aaa.bbb.ccc") == "QUACZbuH5sLlYpteOSB9ug"


def test_it_depends_on_the_secret_and_the_ltik():
    ids = {LaunchIds([secret]).of(ltik) for secret in ("s1", "s2") for ltik in ("a.b.c", "a.b.d")}
    assert len(ids) == 4


def test_all_secrets_verify_and_the_first_makes():
    old, new = LaunchIds(["old"]), LaunchIds(["new", "old"])
    assert new.match("a.b.c", old.of("a.b.c"))
    assert new.match("a.b.c", new.of("a.b.c"))
    assert new.of("a.b.c") == LaunchIds(["new"]).of("a.b.c")
    assert not new.match("a.b.c", LaunchIds(["other"]).of("a.b.c"))
    assert not new.match("a.b.d", new.of("a.b.c"))


def test_each_purpose_has_a_key_of_its_own():
    assert derive("secret", "a") != derive("secret", "b")
    assert len(derive("secret", "a")) == 32


@pytest.mark.parametrize(
    "secret",
    [
        "aaaaaaaaaaaaaaaa",
        "x",
        "0123456789012345",
        "password12345678",
        "changeme-changeme",
        "the tool's secret, long enough",
        "ltiaas-production-secret-key",
        "ABCDABCDABCDABCDABCD1234",
        "\u00e9" * 40,
        "secret" * 20,
        # Letters of one case alone are words, however many.
        "qazwsxedcrfvtgbyhnujmikolp",
        "QAZWSXEDCRFVTGBYHNUJMIKOLP",
    ],
)
def test_a_secret_that_a_person_made_up_is_known(secret):
    assert looks_made_up(secret)


def test_what_a_machine_made_passes():
    for _ in range(200):
        for made in (
            secrets.token_urlsafe(),
            secrets.token_hex(16),
            secrets.token_hex(),
            str(uuid.uuid4()),
            str(uuid.uuid4()).upper(),
            base64.b64encode(secrets.token_bytes(24)).decode(),
        ):
            assert not looks_made_up(made), made


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({}, False),
        ({"api_key": "x"}, True),
        ({"secrets": "aaaaaaaaaaaaaaaa"}, True),
        ({"secrets": ["9Q6oZyrVRqI2Zg0rT1b9xQ", "aaaaaaaaaaaaaaaa"]}, True),
        ({"api_key": "x", "secrets": "9Q6oZyrVRqI2Zg0rT1b9xQ"}, False),
    ],
)
def test_the_log_warns_of_one_and_does_not_show_it(make_tool, caplog, options, warned):
    make_tool(**options)
    assert ("token_urlsafe" in caplog.text) is warned
    assert "aaaa" not in caplog.text
