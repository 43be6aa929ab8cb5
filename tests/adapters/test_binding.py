"""What the gate says of a proof reaches the authenticator through both adapters."""

from __future__ import annotations

from tests.tokens import ltik


def test_a_cookie_binds_its_launch(make_tool):
    first, other = make_tool(), make_tool()
    reply = first.navigate(f"/?ltik={ltik()}")
    path = reply["Location"]
    cookie = reply.all("Set-Cookie")[0].split(";")[0]
    authenticator = other.middleware._authenticator
    asked = []
    for name in ("verify", "verify_async"):
        ask = getattr(authenticator, name)

        def note(*args, ask=ask, **options):
            asked.append(options)
            return ask(*args, **options)

        setattr(authenticator, name, note)
    assert other.navigate(path, {"Cookie": cookie}).status == 200
    assert [options["binds"] for options in asked] == [True]
    assert "address" in asked[0]
