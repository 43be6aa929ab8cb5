"""What both adapters are made of: settings, gate and authenticator, put together once."""

from __future__ import annotations

import time
from typing import Any

from . import access_logs
from .api import Api
from .authenticator import Authenticator
from .gate import Gate
from .handoffs import Handoffs
from .keys import LaunchIds
from .launch import Account
from .settings import Settings
from .stats import Stats, publish

__all__ = ["Middleware"]


class Middleware:
    """Use ``wsgi.LTIAASMiddleware`` or ``asgi.LTIAASMiddleware``.

    Args:
        app: the app to wrap.
        settings: a ``Settings``; by default made from the environment.
        options: single settings, where no ``Settings`` is given; they win over the environment.

    Raises:
        SettingsError: a setting is missing or unusable.
    """

    def __init__(self, app: Any, settings: Settings | None = None, **options: Any) -> None:
        if settings is None:
            settings = Settings.from_env(**options)
        elif options:
            raise TypeError("give either settings or single options, not both")
        self.app = app
        self.settings = settings
        ids = LaunchIds(settings.secrets)
        stats = Stats()
        shared = None
        if settings.cache != "memory":
            # Only here, so that nobody needs the packages who does not share.
            from .redis_cache import RedisStore

            shared = RedisStore(settings, ids, stats)
        self._authenticator = Authenticator(
            settings, Api(settings), ids, shared=shared, stats=stats
        )
        publish(stats)
        account = Account(settings, Handoffs(settings.secrets, time.time))
        self._gate = Gate(account, ids, self._authenticator)
        self._concerns = self._gate.concerns
        if settings.scrub_logs:
            access_logs.install()

    def stats(self) -> dict[str, int]:
        """Counters since the start of this process; see ``stats.Stats`` and docs/deployment.md."""
        return self._authenticator.stats.snapshot()

    def close(self) -> None:
        """Stop the threads that call LTIAAS. Only needed where an app is thrown away early."""
        self._authenticator.close()
