"""Where a call goes, and which credential may go there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote, urlencode, urlsplit

from ..credentials import ApiKeyCredential, Credential, LtikCredential, ServiceKeyCredential
from ..errors import CredentialScopeError, InvalidRequest
from ..origins import origin_of

__all__ = ["address", "encoded", "launch_url", "segment"]

# wire.md, "The three authorization schemes": which credential each address takes.
_LAUNCH = (LtikCredential,)
_SERVICE = (LtikCredential, ServiceKeyCredential)
_ACCOUNT = (ApiKeyCredential,)
_TAKES: Mapping[str, tuple[type[Credential], ...]] = {
    "idtoken": _LAUNCH,
    "deeplinking": _LAUNCH,
    "memberships": _SERVICE,
    "lineitems": _SERVICE,
    "registrations": _ACCOUNT,
    "platforms": _ACCOUNT,
}
_NAMES = {
    LtikCredential: "a launch",
    ServiceKeyCredential: "a service key",
    ApiKeyCredential: "the API key",
}


def address(path: str, query: Iterable[tuple[str, str]], credential: Credential) -> tuple[str, str]:
    """The URL to send to, and its path for errors.

    Args:
        path: below ``/api/``, percent-encoded; or a URL on the account's own origin.
        query: names and values to add, not yet encoded.
        credential: the call is signed with.

    Raises:
        CredentialScopeError: the credential is not for this address.
        InvalidRequest: it is no address that every HTTP client reads alike.
    """
    own_query = ""
    if "://" in path.partition("?")[0]:
        target = origin_of(path)
        if target != credential.origin:
            raise CredentialScopeError(
                f"this credential is for {credential.origin} and was asked for a call to "
                f"{target or 'an unclear address'}"
            )
        parts = urlsplit(path)
        path, own_query = parts.path, parts.query
    else:
        path, _, own_query = path.partition("?")
        if not path.startswith(("/api/", "/admin/")):
            path = f"/api/{path.lstrip('/')}"
    if any(not "!" <= char <= "~" or char in "#\\?" for char in path):
        raise InvalidRequest("a path must be percent-encoded")
    segments = path.split("/")
    # HTTP clients remove these, encoded or not, and the call would go to another endpoint than the
    # one that the credential was checked for.
    if any(unquote(one) in (".", "..") for one in segments) or "" in segments[1:-1]:
        raise InvalidRequest("a path cannot have empty or dot segments")
    _admit(segments[2], credential)
    query_string = "&".join(filter(None, (own_query, encoded(query))))
    return f"{credential.origin}{path}{'?' if query_string else ''}{query_string}", path


def segment(value: str, what: str = "an id") -> str:
    """One path segment, percent-encoded once, slashes too (wire.md: a line item's id is a URL).

    Raises:
        InvalidRequest: it is empty, no text, or a dot segment, which no encoding can protect
            (RFC 3986 section 6.2.2.3).
    """
    if not isinstance(value, str) or value in ("", ".", ".."):
        raise InvalidRequest(f"{what} cannot be {value!r}")
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:
        raise InvalidRequest(f"{what} holds half a character") from None


def encoded(query: Iterable[tuple[str, str]]) -> str:
    """A query string.

    Raises:
        InvalidRequest: a value holds half a character (a lone surrogate).
    """
    try:
        return urlencode(list(query), quote_via=quote, safe="")
    except UnicodeEncodeError:
        raise InvalidRequest("the query holds half a character") from None


def launch_url(origin: str, query: Mapping[str, str]) -> str:
    """The address of a launch: what a content item's ``url`` has to be (wire.md, "The three
    authorization schemes"). LTIAAS answers it, runs the LTI handshake, and sends the browser to
    the tool with the same query.

    Args:
        origin: of the account.
        query: names and values, not yet encoded.

    Raises:
        InvalidRequest: a value is no text, or the query has an ``ltik``, which LTIAAS adds itself.
    """
    if "ltik" in query:
        raise InvalidRequest("a launch address cannot have an ltik: LTIAAS adds it")
    for name, value in query.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidRequest("a launch address takes names and values that are text")
    return f"{origin}/lti/launch{'?' if query else ''}{encoded(query.items())}"


def _admit(endpoint: str, credential: Credential) -> None:
    # An endpoint that wire.md does not know is LTIAAS's to judge.
    takes = _TAKES.get(unquote(endpoint).lower())
    if takes is not None and not isinstance(credential, takes):
        kinds = " or ".join(_NAMES[kind] for kind in takes)
        mine = next((name for kind, name in _NAMES.items() if isinstance(credential, kind)), "this")
        raise CredentialScopeError(
            f"/api/{endpoint} takes the credential of {kinds}, not that of {mine}"
        )
