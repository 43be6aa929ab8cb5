"""What differs, and why that is right."""

from __future__ import annotations

from fnmatch import fnmatchcase

_REFUSED = "another origin's POST with a launch's cookie is refused; trusted_origins allows it"
_PREFLIGHT = "the middleware answers preflights of a launch path, by trusted_origins"
_MALFORMED = "a path with control characters is 400 before any app sees it"
_COOKIES = "an app in a launch gets one cookie of a name, the first, and none that names nothing"

#: By peer and mode, a pattern of test names, and the reason.
EXPECTED: dict[tuple[str, str], dict[str, str]] = {
    ("starlette", "wrapped"): {
        "tests/test_staticfiles.py::test_staticfiles_null_byte_in_path*": _MALFORMED,
    },
    ("starlette", "launch"): {
        "tests/test_staticfiles.py::test_staticfiles_null_byte_in_path*": _MALFORMED,
        "tests/middleware/test_cors.py::test_cors_allow_all_methods*": _REFUSED,
        "tests/middleware/test_cors.py::test_cors_*": _PREFLIGHT,
        "tests/test_requests.py::test_cookies_edge_cases*": _COOKIES,
        "tests/test_requests.py::test_cookies_invalid*": _COOKIES,
        "tests/middleware/test_cors.py::test_preflight_*": _PREFLIGHT,
    },
    ("falcon", "launch"): {
        "*::test_enabled_cors_handles_preflighting*": _PREFLIGHT,
        "*::test_enabled_cors_sink_route*": _PREFLIGHT,
        "*::test_enabled_cors_static_route*": _PREFLIGHT,
        "*::test_enabled_cors_private_network_headers*": _PREFLIGHT,
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
