"""Redis and the database: can they be reached, with the rights that are needed?

Each is used as the middleware uses it, and left as it was. Without them launches go on, each worker
alone and no service key stored, so that nobody may notice for weeks.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from typing import Any

from ... import _redis_clients
from ...errors import ServiceKeyStoreError, SettingsError
from ...settings import Settings
from .finding import FAILED, OK, WARNING, Finding

__all__ = ["stores"]

_REDIS, _DATABASE = "Redis", "service keys"
# Seconds; of one that works.
_TIMEOUT = 2.0
# What the middleware's scripts call (_verification/redis_scripts.py), on one key.
_CALLS = """
redis.call('SET', KEYS[1], '1', 'PX', 10000)
redis.call('GETRANGE', KEYS[1], 0, 1)
redis.call('PTTL', KEYS[1])
return redis.call('DEL', KEYS[1])
"""


def stores(settings: Settings) -> Iterator[Finding]:
    """A finding for each that is configured."""
    if isinstance(settings.cache, str) and settings.cache != "memory":
        yield _redis(settings.cache, settings.cache_prefix, settings.cache_timeout)
    if isinstance(settings.service_keys, str):
        yield _database(settings.service_keys)


def _redis(address: str, prefix: str, timeout: float) -> Finding:
    from ..._verification.redis_trouble import reason

    memory: dict[str, Any] | None = None
    try:
        client = _redis_clients.connect(_redis_clients.parse(address), max(timeout, _TIMEOUT))
        try:
            _use(client, prefix)
            # The middleware does without this right.
            with contextlib.suppress(Exception):
                memory = client.info("memory")
        finally:
            client.close()
    except Exception as error:  # noqa: BLE001 - clusters and Sentinels raise beyond RedisError
        return Finding(
            _REDIS,
            FAILED,
            f"cannot be used: {reason(error)}.",
            f"Check LTIAAS_CACHE, that Redis runs, and that its user may use ~{prefix}:* and "
            f"&{prefix}:* with SET, GETRANGE, PTTL, DEL, EVAL, PUBLISH and SUBSCRIBE. Until then "
            "every worker verifies each launch itself.",
        )
    return _policy(memory)


def _use(client: Any, prefix: str) -> None:
    """Each right that the middleware needs: scripts on a key, and a channel."""
    name = f"{prefix}:{{doctor-{secrets.token_hex(8)}}}:lease"
    client.eval(_CALLS, 1, name)
    channel = f"{prefix}:doctor"
    with contextlib.closing(client.pubsub()) as listening:
        listening.subscribe(channel)
        # A refusal to subscribe comes as the answer.
        listening.get_message(timeout=_TIMEOUT)
    client.publish(channel, b"")


def _policy(memory: dict[str, Any] | None) -> Finding:
    works = "reachable, with all rights that are needed"
    policy = str((memory or {}).get("maxmemory_policy", ""))
    if memory is None or not policy:
        return Finding(
            _REDIS,
            OK,
            f"{works}; it does not tell its maxmemory-policy, which should be allkeys-lru "
            "(docs/deployment.md).",
        )
    if not memory.get("maxmemory"):
        return Finding(_REDIS, OK, f"{works}; no maxmemory is set.")
    advice = "Set maxmemory-policy to allkeys-lru (docs/deployment.md)."
    if policy == "noeviction":
        return Finding(
            _REDIS,
            WARNING,
            f"{works}, but its maxmemory-policy is noeviction: once it is full, nothing new is "
            "shared between workers, and handoffs do not open.",
            advice,
        )
    if not policy.endswith("lru"):
        what = (
            "used handoffs and refused launches first"
            if policy == "volatile-ttl"
            else "some of what is in use"
        )
        return Finding(
            _REDIS,
            WARNING,
            f"{works}, but its maxmemory-policy is {policy}: once it is full, it forgets {what}.",
            advice,
        )
    return Finding(_REDIS, OK, f"{works}; its maxmemory-policy is {policy}.")


def _database(address: str) -> Finding:
    from ...service_keys.inspection import inspect_database

    try:
        found = inspect_database(address)
    except SettingsError as error:
        return Finding(_DATABASE, FAILED, f"{error}.", "Correct LTIAAS_SERVICE_KEYS.")
    except ServiceKeyStoreError as error:
        return Finding(
            _DATABASE,
            FAILED,
            f"the database cannot be used: {str(error).rstrip('.')}.",
            "Check LTIAAS_SERVICE_KEYS, that the database runs, and the rights of its user "
            "(CREATE for the first launch, then SELECT, INSERT, UPDATE and DELETE). Until then no "
            "service key is stored, and jobs find none.",
        )
    if found.version is None:
        return Finding(_DATABASE, OK, "the database works; the first launch makes the tables.")
    if found.version < found.newest:
        return Finding(
            _DATABASE,
            OK,
            f"the database works; the next launch brings its tables from version {found.version} "
            f"to {found.newest}.",
        )
    return Finding(_DATABASE, OK, f"the database works, with tables of version {found.version}.")
