"""``doctor``: checks whether the settings are right and the tool works in an LMS, and says what to
fix.

It checks the settings, LTIAAS, the stores and, on request, the running tool. A failed check ends
its group, because the following checks would also fail.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace

from ...errors import SettingsError
from ...settings import Settings
from ..browser import NoReply
from .account import account
from .finding import Finding, find
from .stores import stores
from .tool import tool as look_at_tool

_KNOWN = {f"LTIAAS_{item.name.upper()}" for item in fields(Settings)}
_KNOWN |= {"LTIAAS_DOMAIN", "LTIAAS_ALLOW_HTTP"}


def examine(
    env: Mapping[str, str],
    *,
    url: str | None = None,
    tool: str | None = None,
    guard: str | None = None,
) -> Iterator[Finding]:
    """Check everything in order, and yield each finding immediately.

    Args:
        env: the environment from which to read settings; ``url`` overrides the account's URL.
        tool: the launch URL of a running tool to check.
        guard: a path that the tool itself guards, which doctor requests outside and inside a
            launch.
    """
    for name in sorted(env):
        if name.startswith("LTIAAS_") and name not in _KNOWN:
            near = difflib.get_close_matches(name, _KNOWN, 1, 0.7)
            fix = f"Did you mean {near[0]}?" if near else "Remove it, unless your app reads it."
            yield find("unknown-variable", name=name, fix=fix)
    try:
        settings = Settings.from_env(env) if url is None else Settings.from_env(env, url=url)
    except SettingsError as error:
        yield find("invalid-setting", error=error)
        return
    for finding in _examine(settings, tool, guard):
        # A server may echo what it was sent.
        yield replace(finding, seen=finding.seen.replace(settings.api_key, "[hidden]"))


def _examine(settings: Settings, tool: str | None, guard: str | None) -> Iterator[Finding]:
    plain = settings.url.startswith("http://")
    yield find("plain-http" if plain else "settings", url=settings.url)
    works = True
    try:
        for finding in account(settings):
            works = works and finding.level != "failed"
            yield finding
    except NoReply as error:
        works = False
        yield find("ltiaas-unreachable", url=settings.url, why=error, fix=error.fix)
    yield from stores(settings)
    if tool is not None and not works:
        yield find("tool-skipped")
    elif tool is not None:
        try:
            yield from look_at_tool(settings, tool, guard)
        except NoReply as error:
            yield find("tool-unreachable", why=error, fix=error.fix)
