"""What both adapters are made of: settings, gate and authenticator, put together once."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .. import scrubbing
from .._crypto.handoffs import Handoffs
from .._crypto.keys import LaunchIds, looks_made_up
from .._forking import in_child
from .._verification.authenticator import Authenticator
from .._verification.id_tokens import Api, IdTokenSource
from .._verification.ltik_times import launch_start
from .._verification.stats import Stats, publish
from ..api.async_clients import AsyncClients
from ..api.decoded import DecodedTokens
from ..api.exchange import Limits
from ..api.transport import new_session
from ..launch import Account
from ..service_keys.recording import Recording
from ..settings import Options, Settings
from . import django_urls
from .decisions import Decision
from .gate import Gate
from .request import Translator

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Middleware"]

_log = logging.getLogger("ltiaas_middleware")


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
    _variables: Translator | None = None

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
        if settings.cache != "memory":
            # So that what is missing is told at start-up, and the first launch imports nothing.
            from .._verification import redis_store  # noqa: F401
        self._stats = Stats()
        publish(self._stats)
        # Those of this process, once the first request has come.
        self._parts: list[_Parts] = []
        in_child(self, Middleware._start_over)
        weakref.finalize(self, _close_dropped, self._parts).atexit = False
        if any(looks_made_up(secret) for secret in settings.secrets):
            _log.warning(
                "%s does not look as if a machine had made it: whoever has one ltik and its launch "
                "path could find it by trying. Make one with: python -c 'import secrets; "
                "print(secrets.token_urlsafe())'",
                "the API key, which is the secret too," if settings.secret is None else "secret",
            )
        scrubbing.know(settings)
        if settings.scrub_logs:
            scrubbing.install()

    def _decide(self, path: str, query: str, source: Any) -> Decision | None:
        """``Gate.decide``; that itself from the second request on."""
        variables = source if self._variables is None else self._variables(source)
        mount: str = variables.get("SCRIPT_NAME") or ""
        django_urls.read_outside_any_launch(mount.encode("latin-1").decode("utf-8", "replace"))
        decide = self._gate.decide
        self._decide = decide  # type: ignore[method-assign]
        return decide(path, query, source)

    @property
    def _gate(self) -> Gate:
        return self._assembled().gate

    @property
    def _authenticator(self) -> Authenticator:
        return self._assembled().authenticator

    def _assembled(self) -> _Parts:
        """What has threads, locks or connections, made by the first request of the process: a
        server may fork before it, and replace the threads of the standard library (gevent)."""
        if not self._parts:
            # No lock: it would be one of those. Of two first requests, one makes parts in vain,
            # which have begun nothing yet.
            self._parts.append(
                _Parts(self.settings, self.service_keys, self._stats, self._variables)
            )
            self._parts[0].warm_up()
        return self._parts[0]

    def warm_up(self) -> None:
        """Open a connection to LTIAAS in the background, so that the first launch of this process
        does not wait for it. Returns at once.

        The first request does it, and an ASGI server's lifespan. Under WSGI a server's hook can do
        it before the first request, such as gunicorn's ``post_worker_init``. Never call it before
        the server forks.
        """
        self._assembled()

    def _start_over(self) -> None:
        """In the child of a fork."""
        self._stats.start_over()
        self._parts.clear()
        self.__dict__.pop("_decide", None)

    def stats(self) -> dict[str, int]:
        """Counters since the start of this process; see ``stats.Stats`` and docs/deployment.md."""
        counts = self._stats.snapshot()
        stored: dict[str, int] = getattr(self.service_keys, "stats", dict)()
        return counts | {f"service_keys.{name}": count for name, count in stored.items()}

    def close(self) -> None:
        """Stop the threads and close the connections, once the calls under way have ended. An app
        that is dropped without it does the same by itself, some time later."""
        for parts in self._parts:
            parts.close()
        if isinstance(self.settings.service_keys, str):
            self.service_keys.close()


class _Parts:
    """What a middleware is made of in one process."""

    def __init__(
        self,
        settings: Settings,
        service_keys: Any,
        stats: Stats,
        variables: Translator | None,
    ) -> None:
        ids = LaunchIds(settings.secrets)
        shared = None
        if settings.cache != "memory":
            from .._verification.redis_store import RedisStore

            shared = RedisStore(settings, ids, stats)
        self._id_tokens = Api(settings)
        source: IdTokenSource = self._id_tokens
        if service_keys is not None:
            source = Recording(source, service_keys, launch_start)
        self.authenticator = Authenticator(settings, source, ids, shared=shared, stats=stats)
        self._session = new_session(settings.max_calls)
        self._clients = AsyncClients(Limits(ca_bundle=settings.ca_bundle))
        handoffs = Handoffs(settings.secrets, time.time)
        account = Account(settings, handoffs, DecodedTokens(), self._session, self._clients)
        self.gate = Gate(account, ids, self.authenticator, variables)

    def warm_up(self) -> None:
        self._id_tokens.warm_up()

    def close(self, *, wait: bool = True) -> None:
        self.authenticator.close(wait=wait)
        self._id_tokens.close(wait=wait)
        self._session.close()
        self._clients.close()


def _close_dropped(all_parts: list[_Parts]) -> None:
    """Close the parts of a middleware that nobody has any more."""

    def close() -> None:
        for parts in all_parts:
            parts.close(wait=False)

    if all_parts:
        # The garbage collector calls this, in any thread and at any moment: while that thread holds
        # a lock that closing takes, too. At the end of the process no thread can be started.
        with suppress(RuntimeError):
            threading.Thread(target=close, name="ltiaas-close", daemon=True).start()
