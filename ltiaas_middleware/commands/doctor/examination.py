"""All steps, in the order of a launch: settings, network, LTIAAS, stores, and on request the tool.

A step that fails ends its part, because what comes after it could only fail too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from ...errors import SettingsError
from ...settings import Settings
from .account import Account
from .asking import Asker
from .environment import settings_fix, variables
from .finding import FAILED, OK, SKIPPED, WARNING, Finding
from .launched import Launched
from .network import Network
from .stores import stores
from .tool import Tool

__all__ = ["examine"]


def examine(
    env: Mapping[str, str],
    *,
    url: str | None = None,
    tool: str | None = None,
    clock: Callable[[], float] = time.time,
) -> Iterator[Finding]:
    """Look at everything in order, and give each finding as soon as it is there.

    Args:
        env: the environment to read settings from.
        url: the account's address, instead of the environment's.
        tool: the launch address of a running tool, to be looked at too.
        clock: this machine's, in seconds since the epoch.
    """
    yield from variables(env)
    try:
        settings = Settings.from_env(env) if url is None else Settings.from_env(env, url=url)
    except SettingsError as error:
        given = url or env.get("LTIAAS_URL") or env.get("LTIAAS_DOMAIN") or ""
        yield Finding("settings", FAILED, f"{error}.", settings_fix(str(error), given))
        return
    for finding in _findings(settings, tool, clock):
        # A server may echo what it was sent. No finding holds a secret.
        seen, fix = (
            text.replace(settings.api_key, "[hidden]") for text in (finding.seen, finding.fix)
        )
        yield replace(finding, seen=seen, fix=fix)


def _findings(
    settings: Settings, tool: str | None, clock: Callable[[], float]
) -> Iterator[Finding]:
    yield _settings(settings)
    asker = Asker(settings)
    network = Network(settings.url, asker.proxy, asker.authorities, clock)
    account = Account(settings, asker, clock)
    well = True
    for part in (network, account):
        for finding in part.findings():
            yield finding
            well = well and finding.ok
        if not well:
            break
    yield from stores(settings)
    if tool is None:
        return
    if not well:
        yield Finding("tool", SKIPPED, "not checked: LTIAAS itself has to answer first.")
        return
    for finding in Tool(settings, asker, clock).findings(tool):
        yield finding
        well = well and finding.ok
    if well:
        yield from Launched(settings, asker).findings(tool)


def _settings(settings: Settings) -> Finding:
    if settings.url.startswith("http://"):
        return Finding(
            "settings",
            WARNING,
            f"{settings.url}, by plain http: right for the sandbox only.",
            "Your account's own address begins with https.",
        )
    return Finding("settings", OK, f"{settings.url}, with an API key.")
