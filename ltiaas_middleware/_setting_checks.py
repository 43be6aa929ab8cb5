"""Checks each setting: each check returns the value to keep."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NoReturn
from urllib.parse import urlsplit

from . import _redis_clients
from .errors import SettingsError
from .origins import is_loopback, normal_origin, origin_of

_log = logging.getLogger("ltiaas_middleware")

# RFC 9110 section 5.1: the characters of a header's name.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The visible characters of a header (RFC 9110 section 5.5), minus the colon before the ltik
# (wire.md, "The three authorization schemes").
_API_KEY = re.compile(r"[!-9;-~]+")
_LAUNCH_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
# Decoded, so that each has one spelling.
_CALLBACK = re.compile(r"(/[^\s/?#%\\]+)+/?")
# No braces, which mean something to a cluster, and nothing that would have to be escaped.
_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,100}")
# Of a query: unreserved characters (RFC 3986 section 2.3), so that each has one spelling.
_PARAMETER = re.compile(r"[A-Za-z0-9._~-]+")
_OFF = {"0", "false", "no", "off", "none"}
_ON = {"1", "true", "yes", "on"}

_Check = Callable[[str, Any], Any]


def _refuse(name: str, why: str) -> NoReturn:
    raise SettingsError(f"{name} (LTIAAS_{name.upper()}) {why}")


def _need(name: str, extra: str, package: str) -> None:
    if find_spec(package) is None:
        _refuse(name, f"needs the package {package}: pip install 'ltiaas-middleware[{extra}]'")


def _url(name: str, url: object) -> str:
    if not isinstance(url, str) or not url.strip():
        _refuse(name, "must be the account's URL, such as https://your.ltiaas.com")
    url = url.strip()
    if "://" not in url:
        url = f"https://{url}"
    origin = origin_of(url)
    if origin is None or not origin.isascii():
        _refuse(name, "is not a URL such as https://your.ltiaas.com")
    parts = urlsplit(url)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        _refuse(name, "must be the account's URL alone: no path, query or fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        if os.environ.get("LTIAAS_ALLOW_HTTP") != "1":
            _refuse(
                name,
                "must begin with https: plain http is for loopback hosts only (for a sandbox in "
                "another container, set LTIAAS_ALLOW_HTTP=1)",
            )
        _log.warning(
            "%s is plain http: the API key and every launch cross the network unencrypted. "
            "LTIAAS_ALLOW_HTTP=1 is for a sandbox in another container: unset it in production.",
            origin,
        )
    return origin


def _api_key(name: str, key: object) -> str:
    if not isinstance(key, str) or not key:
        _refuse(name, "must be the account's API key")
    if not _API_KEY.fullmatch(key):
        _refuse(
            name,
            "contains a space, a colon, a control character or an accented letter, which API keys "
            "cannot contain",
        )
    return key


def _number(kind: type[int] | type[float]) -> _Check:
    def check(name: str, value: Any) -> int | float:
        try:
            number = kind(value)
            if isinstance(value, bool) or number != float(value):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            _refuse(name, f"must be a {'whole ' if kind is int else ''}number")
        if not 0 < number < 1e9:
            _refuse(name, "must be greater than 0")
        return number

    return check


def _must(is_valid: Callable[[Any], object], why: str) -> _Check:
    def check(name: str, value: object) -> object:
        if not is_valid(value):
            _refuse(name, why)
        return value

    return check


def _matching(pattern: re.Pattern[str], why: str) -> _Check:
    return _must(lambda value: isinstance(value, str) and pattern.fullmatch(value), why)


def _optional(check: _Check) -> _Check:
    return lambda name, value: None if value is None else check(name, value)


def _several(parse: Callable[[str], str | None], why: str, *, least: int = 0) -> _Check:
    """A list, or one alone, each of which ``parse`` takes (None: it does not)."""

    def check(name: str, value: object) -> tuple[str, ...]:
        several = (value,) if isinstance(value, str) else value
        if not isinstance(several, (list, tuple)) or len(several) < least:
            _refuse(name, why)
        found = [parse(one) if isinstance(one, str) else None for one in several]
        if None in found:
            _refuse(name, why)
        return tuple(one for one in found if one is not None)

    return check


def _like(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    return lambda text: text if pattern.fullmatch(text) else None


def _header(text: str) -> str | None:
    return None if text.lower() == "cookie" else _like(_TOKEN)(text)


_prefixes = _several(
    lambda text: text if text.startswith("/") and text.strip("/") else None,
    "must be a list of prefixes such as '/static/', or a function that takes a path and returns a "
    "bool",
)


def _paths(name: str, paths: object) -> Any:
    if callable(paths) or (name == "require" and isinstance(paths, bool)):
        return paths
    return _prefixes(name, () if paths is None else paths)


def _secrets(name: str, value: object) -> Any:
    if value is None:
        return None
    several = _several(str, "must be a string or a list of strings (the first signs; all verify)")
    secrets: tuple[str, ...] = several(name, value)
    if not secrets or any(len(secret) < 16 for secret in secrets):
        _refuse(name, "must each be at least 16 characters long (the first signs; all verify)")
    return secrets


def _cache(name: str, cache: Any) -> Any:
    if cache in ("auto", "memory"):
        return cache
    _need(name, "redis", "redis")
    why: str | None = None
    if isinstance(cache, str):
        try:
            _redis_clients.parse(cache)
        except ValueError as error:
            why = str(error)
    else:
        why = _redis_clients.why_unusable(cache)
    if why is not None:
        # Outside of the ``except``, and without the value: it may contain a password.
        _refuse(name, why)
    return cache


def _service_keys(name: str, store: Any) -> Any:
    if isinstance(store, str) and store:
        _need(name, "sql", "sqlalchemy")
    elif store is not None and not callable(getattr(store, "record", None)):
        _refuse(name, "must be the URL of a database, or a ServiceKeyStore")
    return store


_SECONDS, _COUNT = _number(float), _number(int)
_SWITCH = _must(lambda value: isinstance(value, bool), "must be True or False")
CHECKS: dict[str, _Check] = {
    "url": _url,
    "api_key": _api_key,
    "ttl": _SECONDS,
    "max_launches": _COUNT,
    "launch_path": _optional(
        _matching(_LAUNCH_PATH, "must be a path such as '/lti', without a trailing slash")
    ),
    "ltik_parameters": _several(
        _like(_PARAMETER), "must be a list of query parameters such as 'ltik'", least=1
    ),
    "ltik_headers": _several(
        _header, "must be a list of request headers such as 'X-Ltik' or 'Authorization'"
    ),
    "require": _paths,
    "exclude": _paths,
    "trusted_origins": _several(
        normal_origin, "must be a list of origins such as 'https://app.example'"
    ),
    "callbacks": _several(_like(_CALLBACK), "must be a list of paths such as '/oauth/callback'"),
    "allow_anonymous": _SWITCH,
    "iframe_support": _SWITCH,
    "insert_script": _SWITCH,
    "shared_cookies": _several(
        _like(_TOKEN), "must be a list of cookie names such as 'sessionid' (RFC 6265)"
    ),
    "one_user_per_browser": _SWITCH,
    "cookie_name": _matching(_TOKEN, "must be the name of a cookie (RFC 6265)"),
    "on_error": _optional(_must(callable, "must be a function that returns a Response or None")),
    "tool_name": _optional(
        _matching(re.compile(r".*\S.*"), "must be the tool's name, on one line")
    ),
    "support_url": _optional(
        _matching(re.compile(r"(https?://|mailto:)\S+"), "must be an https or mailto URL")
    ),
    "secrets": _secrets,
    "timeout": _SECONDS,
    "max_concurrent_calls": _COUNT,
    "max_blocked_threads": _COUNT,
    "waiting_page_after": _SECONDS,
    "ca_bundle": _optional(
        _must(os.path.isfile, "must be the path to an existing file: file not found")
    ),
    "cache": _cache,
    "cache_prefix": _matching(_PREFIX, "must contain only letters, digits and . _ : -"),
    "service_keys": _service_keys,
}


def from_text(name: str, text: str, *, is_list: bool) -> Any:
    """A setting's value from the text of an environment variable."""
    if CHECKS[name] is _SWITCH or (name == "require" and not text.startswith("/")):
        if text.lower() not in _ON | _OFF:
            _refuse(name, "must be 'true' or 'false'")
        return text.lower() in _ON
    if name in ("launch_path", "service_keys") and text.lower() in _OFF:
        return None
    return tuple(text.split()) if is_list else text
