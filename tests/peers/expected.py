"""What differs, and why that is right."""

from __future__ import annotations

from fnmatch import fnmatchcase

_REFUSED = "another origin's POST with a launch's cookie is refused; trusted_origins allows it"

#: By peer and mode, a pattern of test names, and the reason.
EXPECTED: dict[tuple[str, str], dict[str, str]] = {
    ("starlette", "launch"): {
        "tests/middleware/test_cors.py::test_cors_allow_all_methods*": _REFUSED,
    },
    ("falcon", "launch"): {
        "*::test_enabled_cors_should_accept_all_origins_requests*": _REFUSED,
        "*::test_allow_credential_existing_origin*": _REFUSED,
    },
}


def reason(
    expected: dict[tuple[str, str], dict[str, str]], peer: str, mode: str, test: str
) -> str | None:
    """Why a test's outcome differs; None where it is not known."""
    for pattern, why in expected.get((peer, mode), {}).items():
        if fnmatchcase(test.replace("[", "("), pattern.replace("[", "(")):
            return why
    return None
