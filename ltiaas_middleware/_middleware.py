"""What both adapters have in common: the settings, and the parts that each process creates once."""

from __future__ import annotations

import logging
import sys
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import scrubbing
from ._crypto.keys import looks_made_up
from ._django_paths import show_django_its_paths
from ._forking import in_child
from ._gate.request import Request, Variables
from ._launch_header import finders
from ._verification.stats import Stats, publish
from .errors import SettingsError
from .launch import Launch
from .settings import Options, Settings, check_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._gate.decisions import Flow, Serve
    from ._gate.frame import AppAnswers
    from ._gate.gate import Gate
    from ._gate.insertion import Insertions
    from ._parts import Parts
    from ._verification.authenticator import Authenticator

_log = logging.getLogger("ltiaas_middleware")


class Middleware:
    """Use ``wsgi.LTIAASMiddleware`` or ``asgi.LTIAASMiddleware``.

    Args:
        app: the app to wrap.
        settings: a ``Settings`` object. By default, the middleware reads the environment when the
            app starts to serve, so you can import the app without it.
        options: individual settings, if you pass no ``Settings``. They take precedence over the
            environment.

    Raises:
        SettingsError: a setting passed here is invalid.
    """

    # The gate's parts for the app's responses, and the type of the adapter's headers.
    _answers: AppAnswers[Any]
    _insertions: Insertions[Any]
    _text: Any
    # What the log has said of missing settings.
    _lacks = ""

    def __init__(
        self, app: Any, settings: Settings | None = None, **options: Unpack[Options]
    ) -> None:
        if settings is not None and options:
            raise TypeError("pass either settings or individual options, not both")
        if settings is not None and not isinstance(settings, Settings):
            raise TypeError("settings must be a Settings object; pass the account's URL as url=…")
        check_options(options)
        self.app = app
        self._options = options
        self._settings: Settings | None = None
        self._service_keys: Any = None
        self._stats = Stats()
        publish(self._stats)
        finders.add(self)
        # Those of this process, once the first request has come.
        self._parts: list[Parts] = []
        in_child(self, Middleware._start_over)
        weakref.finalize(self, _close_dropped, self._parts).atexit = False
        scrubbing.install()
        if settings is None and options.keys() >= {"url", "api_key"}:
            settings = Settings.from_env(**options)
        if settings is not None:
            self._begin(settings)

    @property
    def settings(self) -> Settings:
        """The settings. The first access reads them from the environment.

        Raises:
            SettingsError: a setting is missing or invalid.
        """
        if self._settings is None:
            self._begin(Settings.from_env(**self._options))
            assert self._settings is not None
        return self._settings

    @property
    def service_keys(self) -> Any:
        """The store of service keys, or None."""
        return self.settings and self._service_keys

    def _begin(self, settings: Settings) -> None:
        self._service_keys = settings.service_keys
        if isinstance(settings.service_keys, str):
            # Here and below only if needed: the packages are extras.
            from .service_keys.store import ServiceKeyStore

            self._service_keys = ServiceKeyStore(settings.service_keys, settings)
        if settings.cache not in ("auto", "memory"):
            # Here: redis is an extra.
            from ._verification.redis_store import check

            check(settings)
        if any(looks_made_up(secret) for secret in settings.signing_secrets):
            _log.warning(
                "%s looks guessable: anyone with one ltik and its launch path could brute-force "
                "it. Set a randomly generated LTIAAS_SECRETS: python -c 'import secrets; "
                "print(secrets.token_urlsafe())'",
                "api_key, which is also the secret," if settings.secrets is None else "secrets",
            )
        scrubbing.know(settings)
        self._settings = settings

    def _may_serve(self) -> bool:
        """Whether the settings are there; what they lack is logged once."""
        try:
            return self.settings is not None
        except SettingsError as error:
            if str(error) != self._lacks:
                self._lacks = str(error)
                _log.error(
                    "%s. Until you fix this, the middleware responds to every request with 503.",
                    error,
                )
            return False

    def _not_configured(self, request: Request) -> Flow:
        """503, in place of an app that would take everybody for nobody."""
        from ._gate.pages import ErrorPages

        pages = ErrorPages(
            self._options.get("on_error"),
            self._options.get("tool_name"),
            self._options.get("support_url"),
        )
        return pages.response("not_configured", request)
        yield

    def _decide(self, path: str, query: str, variables: Variables) -> Serve | Flow | None:
        """``Gate.decide``; that itself from the second request on."""
        if not self._may_serve():
            return self._not_configured(Request(variables, path, query, None))
        mount: str = variables.get("SCRIPT_NAME") or ""
        _have_django_read_its_urls(mount.encode("latin-1").decode("utf-8", "replace"))
        show_django_its_paths()
        gate = self._gate
        self._answers, self._insertions = gate.app_answers(self._text), gate.insertions(self._text)
        decide = gate.decide
        self._decide = decide  # type: ignore[method-assign]
        return decide(path, query, variables)

    @property
    def _gate(self) -> Gate:
        return self._assembled().gate

    @property
    def _authenticator(self) -> Authenticator:
        return self._assembled().authenticator

    def find_launch(self, launch_id: str, path: str) -> Launch | None:
        """A launch in this process's memory or the shared cache; see ``launch_from``.

        Args:
            launch_id: the launch id of an authenticated request.
            path: that request's ``Launch.path``.
        """
        entry = self._authenticator.find(launch_id)
        return None if entry is None else Launch(entry, self._assembled().account, path)

    def _assembled(self) -> Parts:
        """What has threads, locks or connections, made by the first request of the process: a
        server may fork before it, and replace the threads of the standard library (gevent)."""
        if not self._parts:
            # Here: it imports the greater part of the package, and requests.
            from ._parts import Parts

            # No lock: it would be one of those. Of two first requests, one makes parts in vain,
            # which have begun nothing yet.
            parts = Parts(self.settings, self._service_keys, self._stats)
            self._parts.append(parts)
        return self._parts[0]

    def _start_over(self) -> None:
        """In the child of a fork."""
        self._stats.start_over()
        self._parts.clear()
        self.__dict__.pop("_decide", None)

    def stats(self) -> dict[str, int]:
        """Counters since this process started; see docs/reference/metrics.md."""
        counts = self._stats.snapshot()
        stored: dict[str, int] = getattr(self._service_keys, "stats", dict)()
        return counts | {f"service_keys.{name}": count for name, count in stored.items()}

    def close(self) -> None:
        """Stop the threads and close the connections after running calls have finished. If you do
        not call this, it happens some time after the app is garbage-collected."""
        for parts in self._parts:
            parts.close()
        if self._settings is not None and isinstance(self._settings.service_keys, str):
            self._service_keys.close()


def _close_dropped(all_parts: list[Parts]) -> None:
    """Close the parts of a middleware that nobody has any more."""

    def close() -> None:
        for parts in all_parts:
            parts.close(wait=False)

    if all_parts:
        # The garbage collector calls this, in any thread and at any moment: while that thread holds
        # a lock that closing takes, too. At the end of the process no thread can be started.
        with suppress(RuntimeError):
            threading.Thread(target=close, name="ltiaas-close", daemon=True).start()


def _have_django_read_its_urls(mount: str) -> None:
    """If there is a Django that has not read ``STATIC_URL`` and ``MEDIA_URL`` yet, have it do so.

    It reads them once, and puts the mount point of that moment in front for the life of the
    process. In a launch, that would be one user's launch path on everybody's pages.

    Args:
        mount: as the server gives it, without a launch path.
    """
    django = sys.modules.get("django.conf")
    if django is None or not django.settings.configured:
        return
    from django.urls import get_script_prefix, set_script_prefix

    before = get_script_prefix()
    set_script_prefix(mount or "/")
    try:
        for name in ("STATIC_URL", "MEDIA_URL"):
            getattr(django.settings, name, None)
    finally:
        set_script_prefix(before)
