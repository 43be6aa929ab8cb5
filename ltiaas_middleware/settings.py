"""Settings: one frozen object, checked on creation.

An invalid value must cause an error at startup that names the setting, not a 401 at the first
launch of the term that looks like the student's fault.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict

from ._setting_checks import CHECKS, from_text
from .errors import SettingsError
from .scrubbing import without_arguments

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .responses import ErrorInfo, ErrorRequest, Response

__all__ = ["Options", "Settings", "check_options"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The middleware's settings for one LTIAAS account.

    You can also pass each setting to ``LTIAASMiddleware`` as a keyword argument, or set it in the
    environment variable ``LTIAAS_<NAME>``, which ``from_env`` reads. Separate the items of a list
    with spaces there.

    Raises:
        SettingsError: a value is missing or invalid; the message names the setting.
    """

    url: str
    """The account's URL, such as ``https://your.ltiaas.com``, or only its domain
    (``LTIAAS_DOMAIN``). Plain ``http`` works only for loopback hosts, unless
    ``LTIAAS_ALLOW_HTTP=1`` is set."""

    api_key: str = field(repr=False)
    """The account's API key."""

    ttl: float = 600
    """How many seconds the middleware trusts a fetched ID token before it asks LTIAAS again."""

    max_launches: int = 10_000
    """How many launches each process keeps in memory."""

    launch_path: str | None = "/lti"
    """The path under which each launch gets its own URL. With None, the middleware serves launches
    in place, without a redirect."""

    ltik_parameters: Sequence[str] = ("ltik", "legacy-ltik")
    """Query parameters that carry an ltik. LTI 1.1 launches use ``legacy-ltik``."""

    ltik_headers: Sequence[str] = ()
    """Request headers that may carry an ltik. ``Authorization`` means ``Bearer <ltik>``. Use
    ``Authorization`` only if all of your tool's bearer tokens are ltiks, because the middleware
    sends them to LTIAAS."""

    require: bool | Sequence[str] | Callable[[str], bool] = False
    """The paths that need a launch: True for all, a list of prefixes (which match whole segments),
    or a function that takes a path and returns a bool. Without a launch, the response is a 401. The
    middleware may call the function several times for one request, with different spellings of the
    path. This setting does not check roles."""

    exclude: Sequence[str] | Callable[[str], bool] | None = None
    """Paths that are never part of a launch, such as static files, health checks and staff pages:
    prefixes or a function, as for ``require``. Under a launch path, the middleware redirects (308)
    to the same path outside the launch. If both settings match a path, ``exclude`` takes precedence
    only if it matches every spelling of the path, such as with ``..`` and percent-encoding
    resolved."""

    trusted_origins: Sequence[str] = ()
    """Other origins whose pages may send state-changing requests with a launch's cookie, such as
    ``https://app.example``. The middleware accepts their CORS preflights for paths that need a
    launch, and lets their scripts read its error responses."""

    callbacks: Sequence[str] = ()
    """Paths to which OAuth providers redirect, such as ``/oauth/callback``. If the app redirects
    from a launch to another origin with such a ``redirect_uri``, the middleware encrypts the launch
    into ``state``. When the provider redirects back, the middleware redirects the browser into that
    launch."""

    allow_anonymous: bool = False
    """Accept launches in which the LMS does not identify the user (``user.id`` is None, and there
    is no ``global_user_id``). If this is off, these users get an error page that explains why."""

    iframe_support: bool = True
    """Make the app's responses work in an LMS's iframe: remove ``X-Frame-Options``, and keep the
    app's redirects inside the launch."""

    insert_script: bool = True
    """Insert ``ltiaas-launch.js`` into the app's HTML documents in a launch. The script keeps
    links, forms and other scripts' requests inside the launch, uses one-time links for new tabs and
    downloads, and lets scripts read and set the launch's own cookies."""

    shared_cookies: Sequence[str] = ()
    """Names of the cookies that all launches share with the rest of the tool, such as the cookie
    for a site-wide login. All other cookies that the app sets in a launch belong to that launch."""

    one_user_per_browser: bool = False
    """For shared computers: when a different user launches, end the browser's earlier launches, and
    clear the data that the tool stored in the browser (``Clear-Site-Data: "storage"``). This is off
    by default, because teachers test as a student in the same browser."""

    cookie_name: str = "ltiaas-launch"
    """The name of the launch's cookie. On https, the middleware adds the prefix ``__Secure-``."""

    on_error: Callable[[ErrorInfo, ErrorRequest], Response | None] | None = None
    """A function ``on_error(info, request)`` that replaces the middleware's own error responses. It
    returns a ``Response``, or None to send the built-in one. You can set it only in code."""

    tool_name: str | None = None
    """The tool's name, which the middleware shows on its error pages."""

    support_url: str | None = None
    """An ``https`` or ``mailto`` URL for support. The error pages link to it."""

    secrets: str | Sequence[str] | None = field(default=None, repr=False)
    """The secret, or list of secrets, from which the middleware derives the keys for launch IDs,
    one-time links and stored entries. By default, it uses the API key. The first secret signs, and
    all verify."""

    timeout: float = 10
    """The total time for one verification, including its retry, in seconds."""

    max_concurrent_calls: int = 32
    """The maximum number of concurrent calls to LTIAAS in each process."""

    max_blocked_threads: int = 16
    """How many of a WSGI server's threads may wait for LTIAAS at the same time, in each process.
    Set this to half of the server's threads, so that requests for cached launches always find a
    free one. This does not limit asyncio tasks and greenlets."""

    waiting_page_after: float = 1.5
    """How many seconds a browser waits for a new launch to open. After that, it gets a page that
    reloads itself while verification continues."""

    ca_bundle: str | None = None
    """The path of a file with certificate authorities. You need this if a proxy between the tool
    and LTIAAS uses its own certificate authority. The file replaces the public authorities. The
    middleware always verifies TLS certificates."""

    cache: Any = field(default="auto", repr=False)
    """How workers share launches. With ``"auto"``, the workers of one machine share them through
    encrypted files in a private folder (on a tmpfs if there is one), or not at all if the
    middleware cannot create the folder. With ``"memory"``, workers share nothing. With the URL of a
    Redis or Valkey server (extra ``[redis]``), the workers of all machines share them:
    ``redis://host:6379/0``, ``redis+cluster://host:6379,host:6379``,
    ``redis+sentinel://host:26379/name/0`` (each with ``rediss`` for TLS), or ``unix:///path``. You
    can also pass a ``redis.Redis`` or ``redis.RedisCluster``, which keeps its own timeouts and
    retries."""

    cache_prefix: str = "ltiaas"
    """The prefix of all keys in Redis. The private folder's name also depends on it. If several
    tools share a Redis server or run on one machine, give each its own prefix; otherwise, they
    overwrite each other's records of used one-time links."""

    service_keys: Any = field(default=None, repr=False)
    """Where the middleware stores each launch's service key: the URL of a SQLite or PostgreSQL
    database, or a ``ServiceKeyStore`` (extra ``[sql]``). With None, it does not store keys."""

    def __post_init__(self) -> None:
        for name, check in CHECKS.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))

    @classmethod
    @without_arguments
    def from_env(
        cls, env: Mapping[str, str] | None = None, **overrides: Unpack[Options]
    ) -> Settings:
        """Read settings from ``LTIAAS_URL`` (or ``LTIAAS_DOMAIN``), ``LTIAAS_API_KEY`` and, for
        each other setting that an environment variable can express, ``LTIAAS_<NAME>``.

        Args:
            env: the environment to read; ``os.environ`` by default.
            overrides: settings from code, which take precedence.

        Raises:
            SettingsError: a value is missing or invalid, or a keyword is unknown.
        """
        env = os.environ if env is None else env
        _known(overrides)
        found: dict[str, Any] = {}
        for name in CHECKS.keys() - {"on_error"}:
            if text := env.get(f"LTIAAS_{name.upper()}", "").strip():
                is_list = "Sequence" in Settings.__annotations__[name]
                found[name] = from_text(name, text, is_list=is_list)
        if "url" not in found and env.get("LTIAAS_DOMAIN", "").strip():
            found["url"] = env["LTIAAS_DOMAIN"].strip()
        found |= overrides
        for name, example in (
            ("url", "your account's URL, such as https://your.ltiaas.com"),
            ("api_key", "your account's API key"),
        ):
            if name not in found:
                raise SettingsError(
                    f"LTIAAS_{name.upper()} is not set: set it to {example}, or pass {name}="
                )
        return cls(**found)

    @property
    def signing_secrets(self) -> tuple[str, ...]:
        """The secrets to derive keys from: ``secrets``, or the API key. The first signs, all
        verify."""
        return (self.api_key,) if self.secrets is None else tuple(self.secrets)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "Settings contain the API key and cannot be pickled; call Settings.from_env() in the "
            "other process"
        )


def _known(names: Iterable[str]) -> None:
    for name in names:
        if name not in CHECKS:
            raise SettingsError(
                f"unknown setting {name}; valid settings: {', '.join(sorted(CHECKS))}"
            )


@without_arguments
def check_options(options: Mapping[str, Any]) -> None:
    """Check settings from code before reading the environment.

    Raises:
        SettingsError: a setting is invalid or unknown.
    """
    _known(options)
    for name, value in options.items():
        CHECKS[name](name, value)


# Its arguments are the secrets, and a dataclass makes the method itself.
Settings.__init__ = without_arguments(Settings.__init__)  # type: ignore[method-assign]


class Options(TypedDict, total=False):
    """``Settings`` as optional keyword arguments, so that type checkers find misspelled ones. A
    test keeps the two in sync."""

    url: str
    api_key: str
    ttl: float
    max_launches: int
    launch_path: str | None
    ltik_parameters: Sequence[str]
    ltik_headers: Sequence[str]
    require: bool | Sequence[str] | Callable[[str], bool]
    exclude: Sequence[str] | Callable[[str], bool] | None
    trusted_origins: Sequence[str]
    callbacks: Sequence[str]
    allow_anonymous: bool
    iframe_support: bool
    insert_script: bool
    shared_cookies: Sequence[str]
    one_user_per_browser: bool
    cookie_name: str
    on_error: Callable[[ErrorInfo, ErrorRequest], Response | None] | None
    tool_name: str | None
    support_url: str | None
    secrets: str | Sequence[str] | None
    timeout: float
    max_concurrent_calls: int
    max_blocked_threads: int
    waiting_page_after: float
    ca_bundle: str | None
    cache: Any
    cache_prefix: str
    service_keys: Any
