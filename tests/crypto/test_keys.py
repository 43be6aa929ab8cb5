from __future__ import annotations

import re

from ltiaas_middleware._crypto.keys import LaunchIds, derive


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
