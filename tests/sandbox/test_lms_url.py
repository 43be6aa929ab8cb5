"""The LMS of a sandbox on this machine has a name of its own; no other sandbox has."""

from __future__ import annotations

import ssl

import pytest

from ltiaas_middleware.sandbox import Sandbox, SandboxServer


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"port": 8400}, "http://lms.localhost:8400"),
        ({"host": "localhost", "port": 8401}, "http://lms.localhost:8401"),
        ({"host": "192.0.2.7", "port": 8400}, "http://192.0.2.7:8400"),
        (
            {"port": 8400, "ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)},
            "https://127.0.0.1:8400",
        ),
        ({"public_url": "https://sandbox.example"}, "https://sandbox.example"),
    ],
)
def test_the_lms_has_a_name_of_its_own_on_this_machine(options: dict, url: str) -> None:  # type: ignore[type-arg]
    assert SandboxServer(Sandbox(), **options).lms_url == url
