"""Creates what workers share, from ``Settings.cache``."""

from __future__ import annotations

import logging
import os
from typing import Any

from .._crypto.keys import LaunchIds
from ..settings import Settings
from .shared import Shared
from .stats import Stats
from .stores import Store

__all__ = ["shared_by"]

_log = logging.getLogger("ltiaas_middleware")


def shared_by(settings: Settings, ids: LaunchIds, stats: Stats, **times: Any) -> Shared | None:
    """What the middleware's workers share, or None if they share nothing."""
    store: Store
    if settings.cache == "memory":
        return None
    if settings.cache != "auto":
        from .redis_store import RedisStore

        store = RedisStore(settings, stats)
    elif not hasattr(os, "getuid"):  # Windows, which has one process for an app anyway
        return None
    else:
        from .host_store import HostStore, private_folder

        folder = private_folder(f"{settings.url} {settings.cache_prefix}")
        if folder is None:
            _log.warning(
                "cannot create a private folder in /dev/shm or the temporary folder, so workers "
                "do not share launches, and browsers that block cookies lose theirs. Set TMPDIR "
                "to a writable folder, or set cache (LTIAAS_CACHE) to a Redis URL"
            )
            return None
        store = HostStore(folder, stats, **times)
    return Shared(store, settings, ids, stats, **times)
