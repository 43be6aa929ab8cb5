"""Recognizes secrets, and removes them from strings and trees. ``scrubbing`` uses this module."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from .settings import Settings

HIDDEN = "[hidden]"
#: Shorter ones would be found in the middle of words. LTIAAS's API keys have 36 characters.
SHORTEST_SECRET = 12

# What holds a secret, in lower case and with underscores: variables, headers, cookies, claims.
_names = {
    "ltik", "ltiaas_one_time", "ltiaas_launch", "ltiaas_launch_tab", "api_key", "ltiaas_api_key",
    "ltiaas_secret", "servicekey", "service_key", "legacyservicekey",
}  # fmt: skip
# A parameter's equals sign, a token's dot and a line break: as they are, percent-encoded (once or
# more often), and as JSON and JavaScript escape them.
_EQUALS = r"(?:=|%(?:25)*3D|\\+(?:u00|x)3D)"
_DOT = r"(?:\.|%(?:25)*2E|\\+(?:u00|x)2E)"
_BREAK = r"(?:[\r\n]+|(?:\\+[rn])+|(?:%(?:25)*0[AD])+)[ \t]*"
# What follows a line break in the middle of a token: longer than a word, or cut at a dot.
_REST = (
    rf"(?:{_BREAK}(?:[\w-]*{_DOT}[\w-]{{8,}}|[\w-]{{16,}})(?:{_DOT}[\w-]*)*"
    rf"|(?:(?<=\.)|(?<=2E)){_BREAK}[\w-]{{8,}}{_DOT}?)*"
)
# The password in a URL of Redis or a database, which may also be a parameter. Each library reads
# URLs in its own way, and a password may contain any character: to the first @, and to the last.
_PASSWORDS = tuple(
    map(re.compile, (r"://[^:/@]*:([^@]*)@", r"://[^:/@]*:(.*)@", r"(?i)password=([^&]*)"))
)
_secrets: set[str] = set()


def _compiled() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A pattern that finds secrets, and one that finds something in any lower-case text with a
    secret. The second is ten times as fast, because it does not have to ignore case."""
    # The longest first, so that no name hides behind a shorter one.
    names = "|".join(
        re.escape(name).replace("_", "[-_]") for name in sorted(_names, key=len, reverse=True)
    )
    alternatives = [
        # A parameter, also inside another parameter's value (…%3Fltik%3D…), or a cookie.
        rf"(?P<parameter>(?:{names}){_EQUALS})[^&\s\"'#;,<>]+{_REST}",
        # A header or a variable, as JSON or a repr shows it.
        rf"(?P<variable>(?:{names})\\*['\"]?\s?[:=,]\s?b?\\*)(?:'[^'\s]*'?|\"[^\"\s]*\"?)",
        rf"(?P<header>(?:{names}):[ ]?)[^\s\"'#;,<>]+{_REST}",
        # The authorization schemes (wire.md).
        r"(?P<scheme>LTIK-AUTH-V[12]|SERVICE-AUTH-V1)\s+[^\s\"']+"
        r"(?:\s*(?:,\s*)?Additional=Bearer\s+[^\s\"']+)?",
        r"(?P<bearer>Bearer\s)\s*[\w.~+/=-]{8,}",
        # A compact JWS (RFC 7515 section 7.1), whole or cut off: it begins with JSON in base64,
        # perhaps after an escaped character.
        rf"(?:(?<![\w-])|(?<=%[0-9a-f]{{2}})|(?<=%25[0-9a-f]{{2}})|(?<=\\[nrt])"
        rf"|(?<=\\x[0-9a-f]{{2}})|(?<=\\u00[0-9a-f]{{2}}))eyJ[\w-]{{16,}}(?:{_DOT}[\w-]*){{0,2}}{_REST}",
        # A secret, and a service key after it, although the scheme may be elsewhere.
        *(
            rf"(?-i:{re.escape(one)})(?::[\w.~+/=-]{{8,}})?"
            for one in sorted(_secrets, key=len, reverse=True)
        ),
    ]
    marks = [names, "service-auth-v", "bearer", "eyj", *(re.escape(s.lower()) for s in _secrets)]
    return re.compile("|".join(alternatives), re.IGNORECASE), re.compile("|".join(marks))


def _endings() -> tuple[str, ...]:
    """How the names of what holds a secret end."""
    return tuple(end for name in _names for end in (f"_{name}", f".{name}", f"{{{name}}}i"))


_patterns, _ends = _compiled(), _endings()


def know(settings: Settings) -> None:
    """Also hide the names in these settings (their cookie, parameters and headers) and the values
    of their secrets."""
    global _patterns, _ends
    cookie = _normal(settings.cookie_name)
    _names.update((cookie, f"{cookie}_tab"))
    _names.update(map(_normal, settings.ltik_parameters))
    # Authorization has patterns of its own, for each scheme.
    _names.update({_normal(name) for name in settings.ltik_headers} - {"authorization"})
    secrets = {settings.api_key, *settings.signing_secrets}
    for address in (settings.cache, settings.service_keys):
        if isinstance(address, str):
            secrets.update(*(pattern.findall(address) for pattern in _PASSWORDS))
    secrets |= {form for one in secrets for form in (unquote(one), quote(unquote(one), safe=""))}
    _secrets.update(secret for secret in secrets if len(secret) >= SHORTEST_SECRET)
    _patterns, _ends = _compiled(), _endings()
    _is_secret.cache_clear()


def scrub(text: str) -> str:
    """``text`` without ltiks, LTIAAS credentials and known secrets."""
    secrets, marks = _patterns
    # Beyond ASCII, ``re`` also takes other characters for an i, k or s.
    if text.isascii() and not marks.search(text.lower()):
        return text
    return secrets.sub(_hide, text)


def _hide(found: re.Match[str]) -> str:
    if found.lastgroup == "variable":
        return f"{found['variable']}'{HIDDEN}'"
    kept = found[found.lastgroup] if found.lastgroup else ""
    return f"{kept}{HIDDEN}"


def _normal(name: str) -> str:
    return name.lower().replace("-", "_")


def is_secret(name: object) -> bool:
    """Whether this is the name of a secret variable, header or cookie, with any prefix
    (``HTTP_X_LTIK``, ``__Secure-…``, ``http.request.header.x-ltik``)."""
    if not isinstance(name, str):
        return False
    return _is_secret(name) if len(name) < 100 else _is_secret.__wrapped__(name)


@functools.lru_cache(500)
def _is_secret(name: str) -> bool:
    return f"_{_normal(name)}".endswith(_ends)


def scrub_tree(value: Any) -> Any:
    """A tree of mappings, lists and strings without what ``scrub`` hides."""
    if isinstance(value, Mapping):
        return {
            scrub(key) if isinstance(key, str) else key: (
                _hidden(each) if is_secret(key) and each else scrub_tree(each)
            )
            for key, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        # Headers and query parameters come as pairs, too.
        if len(value) == 2 and is_secret(value[0]) and value[1]:
            return [value[0], HIDDEN]
        return [scrub_tree(each) for each in value]
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, (bytes, bytearray)):
        return scrub(bytes(value).decode("latin-1")).encode("latin-1")
    return value


def _hidden(value: object) -> str | list[str]:
    # A list stays one: OpenTelemetry's attributes have types.
    return [HIDDEN] if isinstance(value, (list, tuple)) else HIDDEN
