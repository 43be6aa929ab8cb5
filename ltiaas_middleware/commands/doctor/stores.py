"""Checks whether Redis and the database work. If they fail, launches keep working, but workers
share nothing and no service key is stored, which may go unnoticed for weeks. The checks leave no
data behind."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit

from ... import _redis_clients
from ...errors import ServiceKeyStoreError, SettingsError
from ...settings import Settings
from .finding import Finding, find

_TIMEOUT = 2.0
_EVICTS_ANY = "evicts entries that are in use, so that a used one-time link may open again"
# What a full Redis does by a policy; docs/howto/redis.md says more.
_IF_FULL = {
    "noeviction": "stores no new launches, so that workers cannot share them",
    "volatile-ttl": "evicts the oldest launches and the marks of used one-time links",
}


def stores(settings: Settings) -> Iterator[Finding]:
    """Findings for each configured store."""
    if isinstance(settings.cache, str) and "://" in settings.cache:
        yield from _redis(settings.cache, settings.cache_prefix)
    if isinstance(settings.service_keys, str):
        yield _database(settings.service_keys)


def _redis(url: str, prefix: str) -> Iterator[Finding]:
    memory: dict[str, object] | None = None
    name = f"{prefix}:doctor-{secrets.token_hex(8)}"
    try:
        client = _redis_clients.connect(_redis_clients.parse(url), _TIMEOUT)
        with contextlib.closing(client):
            client.set(name, b"1", nx=True, px=10_000)
            client.getrange(name, 0, 1)
            client.eval("return redis.call('DEL', KEYS[1])", 1, name)
            # The middleware does without this right.
            with contextlib.suppress(Exception):
                memory = client.info("memory")
    except Exception as error:  # noqa: BLE001 - clusters and Sentinels raise beyond RedisError
        why = str(error).replace(urlsplit(url).password or "\0", "[hidden]").rstrip(".")
        yield find("redis-fails", why=why, prefix=prefix)
        return
    yield find("redis")
    if memory is None:
        yield find("redis-memory-unknown")
        return
    policy = str(memory.get("maxmemory_policy", ""))
    if memory.get("maxmemory") and not policy.endswith("lru"):
        yield find("redis-eviction", policy=policy, then=_IF_FULL.get(policy, _EVICTS_ANY))


def _database(url: str) -> Finding:
    from ...service_keys.schema import inspect_database

    try:
        version = inspect_database(url)
    except (SettingsError, ServiceKeyStoreError) as error:
        return find("service-keys-fail", why=str(error).rstrip("."))
    tables = "the first launch creates the tables" if version is None else f"tables v{version}"
    return find("service-keys", tables=tables)
