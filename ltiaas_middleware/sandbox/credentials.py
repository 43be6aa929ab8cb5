"""Reads `Authorization` (`wire.md`, "The three authorization schemes"), byte for byte."""

from __future__ import annotations

import re
from dataclasses import dataclass

LAUNCH = "LTIK-AUTH-V2"
OLD_LAUNCH = "LTIK-AUTH-V1"
SERVICE = "SERVICE-AUTH-V1"
ACCOUNT = "Bearer"

# The API key is opaque and may hold a colon; a token holds none, so the last colon divides them.
_SHAPES = {
    LAUNCH: re.compile(r"LTIK-AUTH-V2 (?P<key>[\x21-\x7e]+):(?P<token>[A-Za-z0-9_.-]+)"),
    OLD_LAUNCH: re.compile(
        r"LTIK-AUTH-V1 Token=(?P<token>[A-Za-z0-9_.-]+), Additional=Bearer (?P<key>[\x21-\x7e]+)"
    ),
    SERVICE: re.compile(r"SERVICE-AUTH-V1 (?P<key>[\x21-\x7e]+):(?P<token>[A-Za-z0-9_.-]+)"),
    ACCOUNT: re.compile(r"Bearer (?P<key>[\x21-\x7e]+)"),
}


@dataclass(frozen=True, repr=False)
class Credential:
    """The contents of an `Authorization` header. `scheme` is None if there is no header or the
    scheme is unknown."""

    scheme: str | None
    well_formed: bool = False
    api_key: str = ""
    token: str | None = None


def read_authorization(header: str | None) -> Credential:
    """The credential in a header's value. Never fails, because the endpoint reports errors."""
    word = (header or "").split(" ", 1)[0]
    if header is None or word not in _SHAPES:
        return Credential(None)
    match = _SHAPES[word].fullmatch(header)
    if match is None:
        return Credential(word)
    return Credential(word, True, match["key"], match.groupdict().get("token"))
