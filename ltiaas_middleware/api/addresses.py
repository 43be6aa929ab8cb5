"""The URL of a call, and which credential it accepts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote, urlencode, urlsplit

from ..credentials import ApiKeyCredential, Credential, LtikCredential, ServiceKeyCredential
from ..errors import CredentialScopeError, InvalidRequest
from ..origins import origin_of

# wire.md, "The three authorization schemes": which credential each endpoint takes.
_NAMES = {
    LtikCredential: "a launch",
    ServiceKeyCredential: "a service key",
    ApiKeyCredential: "the API key",
}
_LAUNCH, _SERVICE, _ACCOUNT = tuple(_NAMES)[:1], tuple(_NAMES)[:2], tuple(_NAMES)[2:]
_TAKES: Mapping[str, tuple[type[Credential], ...]] = {
    "idtoken": _LAUNCH, "deeplinking": _LAUNCH, "memberships": _SERVICE, "lineitems": _SERVICE,
    "registrations": _ACCOUNT, "platforms": _ACCOUNT,
}  # fmt: skip
_UNENCODED = re.compile(r"[^!-~]|[#\\?]")
# HTTP clients remove these, encoded or not, and the call would go to another endpoint than the one
# that the credential was checked for.
_EMPTY_OR_DOTS = re.compile(r"/(?:(?:\.|%2E){0,2}/|(?:\.|%2E){1,2}\Z)", re.IGNORECASE)


def address(path: str, query: Iterable[tuple[str, str]], credential: Credential) -> tuple[str, str]:
    """The URL of a call, and its path for error messages; see ``Call``.

    Raises:
        CredentialScopeError: the URL does not accept the credential.
        InvalidRequest: HTTP clients may read the URL differently.
    """
    own_query = ""
    if "://" in path.partition("?")[0]:
        target = origin_of(path)
        if target != credential.origin:
            raise CredentialScopeError(
                f"this credential is for {credential.origin}, not {target or 'an ambiguous URL'}"
            )
        parts = urlsplit(path)
        path, own_query = parts.path, parts.query
    else:
        path, _, own_query = path.partition("?")
        if not path.startswith(("/api/", "/admin/")):
            path = f"/api/{path.lstrip('/')}"
    if _UNENCODED.search(path):
        raise InvalidRequest("a path must be percent-encoded")
    if _EMPTY_OR_DOTS.search(path):
        raise InvalidRequest("a path cannot have empty or dot segments")
    _admit(path[1:].partition("/")[2].partition("/")[0], credential)
    query_string = "&".join(filter(None, (own_query, _encoded(query) if query else "")))
    return f"{credential.origin}{path}{'?' if query_string else ''}{query_string}", path


def segment(value: str, what: str = "an id") -> str:
    """One path segment, percent-encoded once, including slashes (wire.md: a line item's id is a
    URL).

    Raises:
        InvalidRequest: it is empty, not a string, or a dot segment, which no encoding can protect
            (RFC 3986 section 6.2.2.3).
    """
    if not isinstance(value, str) or value in ("", ".", ".."):
        raise InvalidRequest(f"{what} cannot be {value!r}")
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:
        raise InvalidRequest(f"{what} contains an unpaired surrogate") from None


def _encoded(query: Iterable[tuple[str, str]]) -> str:
    try:
        return urlencode(list(query), quote_via=quote, safe="")
    except UnicodeEncodeError:
        raise InvalidRequest("the query contains an unpaired surrogate") from None


def launch_url(origin: str, query: Mapping[str, str]) -> str:
    """See ``Endpoints.launch_url``; ``origin`` is the account's origin."""
    if "ltik" in query:
        raise InvalidRequest("a launch URL cannot contain an ltik: LTIAAS adds it")
    if not all(isinstance(part, str) for pair in query.items() for part in pair):
        raise InvalidRequest("the query of a launch URL must have strings as names and values")
    return f"{origin}/lti/launch{'?' if query else ''}{_encoded(query.items())}"


def _admit(endpoint: str, credential: Credential) -> None:
    # An endpoint that wire.md does not know is LTIAAS's to judge.
    takes = _TAKES.get(unquote(endpoint).lower())
    if takes is not None and not isinstance(credential, takes):
        kinds = " or ".join(_NAMES[kind] for kind in takes)
        mine = next((name for kind, name in _NAMES.items() if isinstance(credential, kind)), "this")
        raise CredentialScopeError(
            f"/api/{endpoint} accepts the credential of {kinds}, not of {mine}"
        )
