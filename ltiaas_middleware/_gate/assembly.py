"""What both adapters are made of: settings, gate and authenticator, put together once."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import scrubbing
from .._crypto.handoffs import Handoffs
from .._crypto.keys import LaunchIds
from .._verification.authenticator import Authenticator
from .._verification.id_tokens import Api, IdTokenSource
from .._verification.ltik_times import launch_start
from .._verification.stats import Stats, publish
from ..api.transport import new_session
from ..launch import Account
from ..service_keys.recording import Recording
from ..settings import Options, Settings
from .gate import Gate
from .request import Variables

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Middleware"]

_all: weakref.WeakSet[Middleware] = weakref.WeakSet()


class Middleware:
    """Use ``wsgi.LTIAASMiddleware`` or ``asgi.LTIAASMiddleware``.

    Args:
        app: the app to wrap.
        settings: a ``Settings``; by default made from the environment.
        options: single settings, where no ``Settings`` is given; they win over the environment.

    Raises:
        SettingsError: a setting is missing or unusable.
    """

    # See ``Gate``; an ``environ`` holds CGI variables as it is.
    _variables: Callable[[Any], Variables] | None = None

    def __init__(
        self, app: Any, settings: Settings | None = None, **options: Unpack[Options]
    ) -> None:
        if settings is None:
            settings = Settings.from_env(**options)
        elif options:
            raise TypeError("give either settings or single options, not both")
        elif not isinstance(settings, Settings):
            raise TypeError("settings must be a Settings; give the account's address as url=…")
        self.app = app
        self.settings = settings
        self.service_keys = settings.service_keys
        if isinstance(settings.service_keys, str):
            # Here and below only if needed: the packages are extras.
            from ..service_keys.store import ServiceKeyStore

            self.service_keys = ServiceKeyStore(settings.service_keys, settings)
        self._stats = Stats()
        publish(self._stats)
        self._assemble()
        _all.add(self)
        if settings.scrub_logs:
            scrubbing.install()

    def _assemble(self) -> None:
        """Make what has connections, threads and locks: at the start, and again in the child of a
        fork. There the parent's threads are missing, and its connections are still the parent's:
        two processes that read from one would get each other's users."""
        settings = self.settings
        ids = LaunchIds(settings.secrets)
        shared = None
        if settings.cache != "memory":
            from .._verification.redis_store import RedisStore

            shared = RedisStore(settings, ids, self._stats)
        source: IdTokenSource = Api(settings)
        if self.service_keys is not None:
            source = Recording(source, self.service_keys, launch_start)
        self._authenticator = Authenticator(settings, source, ids, shared=shared, stats=self._stats)
        self._session = new_session(settings.max_calls)
        account = Account(settings, Handoffs(settings.secrets, time.time), self._session)
        self._gate = Gate(account, ids, self._authenticator, self._variables)
        self._decide = self._gate.decide

    def stats(self) -> dict[str, int]:
        """Counters since the start of this process; see ``stats.Stats`` and docs/deployment.md."""
        counts = self._stats.snapshot()
        stored: dict[str, int] = getattr(self.service_keys, "stats", dict)()
        return counts | {f"service_keys.{name}": count for name, count in stored.items()}

    def close(self) -> None:
        """Stop the threads that call LTIAAS. Only needed where an app is thrown away early."""
        self._authenticator.close()
        self._session.close()
        if isinstance(self.settings.service_keys, str):
            self.service_keys.close()


def _after_fork() -> None:
    for middleware in list(_all):
        middleware._assemble()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
