"""What is odd about the variables by themselves. Their values are never shown."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from urllib.parse import urlsplit

from ...origins import origin_of
from ...settings import Settings
from .finding import WARNING, Finding

__all__ = ["settings_fix", "variables"]

_KNOWN = {f"LTIAAS_{item.name.upper()}" for item in fields(Settings)} | {"LTIAAS_DOMAIN"}


def variables(env: Mapping[str, str]) -> Iterator[Finding]:
    """Unknown names, contradictions, and quotes that nobody took away."""
    for name in sorted(env):
        if not name.startswith("LTIAAS_") or name in _KNOWN:
            continue
        near = difflib.get_close_matches(name, _KNOWN, 1, 0.7)
        fix = (
            f"Did you mean {near[0]}?" if near else "Remove it, unless something of yours reads it."
        )
        yield Finding("settings", WARNING, f"{name} is not a setting of this package.", fix)
    domain, address = env.get("LTIAAS_DOMAIN", "").strip(), env.get("LTIAAS_URL", "").strip()
    if domain and address and domain not in (address, urlsplit(address).netloc):
        yield Finding(
            "settings",
            WARNING,
            "LTIAAS_URL and LTIAAS_DOMAIN name two addresses; LTIAAS_URL is used.",
            "Remove the one that is wrong.",
        )
    key = env.get("LTIAAS_API_KEY", "").strip()
    if key[:1] in ('"', "'") and key[-1:] == key[:1]:
        yield Finding(
            "settings",
            WARNING,
            "LTIAAS_API_KEY is in quotes, which count as part of the key.",
            "Remove them: Docker's --env-file and systemd keep the quotes that a shell removes.",
        )


def settings_fix(problem: str, address: str) -> str:
    """What to do about a ``SettingsError``.

    Args:
        problem: its text.
        address: what was given as the account's address.
    """
    if "LTIAAS_API_KEY" in problem:
        return "Copy the API key from LTIAAS's portal into LTIAAS_API_KEY; it is never shown here."
    if "LTIAAS_URL" not in problem:
        return "Correct this variable, or remove it: all settings but two have a default."
    address = address.strip()
    origin = origin_of(address if "://" in address else f"https://{address}")
    if origin is None:
        return "Set LTIAAS_URL to your account's address, such as https://your.ltiaas.com."
    return f"Set LTIAAS_URL to {origin.replace('http://', 'https://')}."
