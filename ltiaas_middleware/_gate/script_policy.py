"""Whether a page's Content-Security-Policy allows a script from the tool's own host."""

from __future__ import annotations

from .request import SECURE_SCHEMES, Variables

__all__ = ["nonce_for"]

_DIRECTIVES = ("script-src-elem", "script-src", "default-src")


def nonce_for(policies: str, request: Variables) -> str | None:
    """The nonce with which a page may load the script, "" if it needs none, or None if its policies
    do not allow the script (Content Security Policy Level 3, 6.7).

    If the response has a nonce, the script uses it, because that is how the page itself allows
    scripts.

    Args:
        policies: the response's ``Content-Security-Policy``. Commas separate several policies,
            which must all allow the script.
        request: the CGI variables.
    """
    if not policies:
        return ""
    nonces: set[str] = set()
    for policy in policies.split(","):
        sources = _sources(policy)
        if sources is None:
            continue
        allowed = [each[7:-1] for each in sources if each.lower().startswith("'nonce-")]
        if allowed:
            nonces.add(allowed[0])
        elif not _allows_own_host(sources, request):
            return None
    if len(nonces) > 1:
        return None
    return nonces.pop() if nonces else ""


def _sources(policy: str) -> list[str] | None:
    """The allowed sources of scripts, or None if the policy does not limit them."""
    found: dict[str, list[str]] = {}
    for directive in policy.split(";"):
        name, *sources = directive.split() or [""]
        found.setdefault(name.lower(), sources)  # The first directive of a name counts.
    return next((found[name] for name in _DIRECTIVES if name in found), None)


def _allows_own_host(sources: list[str], request: Variables) -> bool:
    lowered = [source.lower() for source in sources]
    if "'strict-dynamic'" in lowered:
        return False
    scheme = "https:" if request.get("wsgi.url_scheme") in SECURE_SCHEMES else "http:"
    host = (request.get("HTTP_HOST") or "").lower()
    name = host.partition(":")[0]
    for source in lowered:
        if source in ("'self'", "*", scheme, "http:"):
            return True
        there = source.partition("://")[2] or source
        there, _, path = there.partition("/")
        if path:  # The script is beside the app's own files.
            continue
        if there in (host, name, f"{name}:*"):
            return True
        if there.startswith("*.") and name.endswith(there.partition(":")[0][1:]):
            return True
    return False
