"""Settings: one frozen object, checked when it is made.

A wrong value must stop the tool at start-up with a sentence that names the setting, and not at
the first launch of the term with a 401 that looks like the student's fault.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict
from urllib.parse import urlsplit

from . import _redis_clients
from .errors import SettingsError
from .origins import is_loopback, normal_origin, origin_of
from .scrubbing import without_arguments

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .refusals import Answer, Refusal

__all__ = ["Options", "Settings"]

# RFC 7230 section 3.2.6: the characters of a header's name.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The visible characters of a header (RFC 7230 section 3.2), minus the colon before the ltik
# (wire.md, "The three authorization schemes").
_API_KEY = re.compile(r"[!-9;-~]+")
_LAUNCH_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
# No braces, which mean something to a cluster, and nothing that would have to be escaped.
_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_SWITCHES = ("fit_frame", "strict_launch_path", "allow_anonymous", "bearer", "scrub_logs")
_SECONDS = (
    "ttl",
    "connect_timeout",
    "read_timeout",
    "deadline",
    "max_wait",
    "patience",
    "cache_timeout",
)
_COUNTS = ("max_launches", "max_calls", "max_waiting", "max_ltik_length", "max_response_size")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the middleware talks to one LTIAAS account.

    Every setting may be given as a keyword, or to ``from_env`` as ``LTIAAS_<NAME>``.

    Args:
        url: the account's address, ``https://your.ltiaas.com`` or the bare domain. Plain ``http``
            is taken for loopback hosts only.
        api_key: the account's API key.
        ttl: seconds for which a fetched ID token is trusted before LTIAAS is asked again.
        max_launches: how many launches are kept in memory.
        launch_path: the path under which each launch gets an address of its own; None serves
            every launch in place.
        fit_frame: make the app's answers fit an LMS's frame on launch paths: its cookies belong to
            the launch, and ``X-Frame-Options`` is taken away. False leaves both to the app.
        strict_launch_path: once a launch's cookie has come back, its path alone opens nothing; new
            tabs go by ``<launch path>/ltiaas-new-tabs.js`` or ``Launch.handoff_url``. False takes a
            new tab that the browser marks as opened by the launch's own page, too: the address is
            then a password.
        outside: what is never part of a launch (static files, health checks, staff pages): prefixes
            of the path, or a function from a path to bool. Below a launch path such a path is
            answered 308 to the same outside; elsewhere neither an ltik nor ``require`` counts.
        trusted_origins: further origins whose pages may change something with a launch's cookie,
            such as ``https://app.example``; for tools whose front end lives on another host.
        bearer: take ``Authorization: Bearer <ltik>`` too. Only for tools whose bearer tokens are
            all ltiks: whatever comes is sent to LTIAAS.
        header: the name of one more request header that may carry an ltik, or None.
        require: True, or a function from a path to bool: where a request without a launch is
            answered 401 before the app sees it.
        allow_anonymous: let launches through in which the LMS does not say who launched
            (``user.id`` is None, and there is no ``global_user_id``). Off, they get a page that
            says that this tool needs to know.
        on_refusal: replaces the middleware's own error answers; see ``refusals.Refusal``.
        secret: what ids and stored entries are keyed with; the API key by default. A sequence
            rotates: the first makes, all verify.
        connect_timeout: seconds to reach LTIAAS.
        read_timeout: seconds to wait for each piece of its answer.
        deadline: seconds for one verification altogether, repeats included.
        max_calls: calls to LTIAAS under way at once, in this process.
        max_wait: seconds that a new launch may wait for its turn when ``max_calls`` are under way;
            then it is answered 503.
        patience: seconds that a browser's navigation waits for a new launch; then it gets a page
            that reloads itself while the verification goes on.
        max_waiting: how many of a WSGI server's threads may wait for LTIAAS at once, in each
            process; beyond, a new launch is told at once to come back. Half of the server's
            threads, so that known launches always find one. Tasks and greenlets (gevent) are not
            counted.
        max_ltik_length: characters; a longer one is answered 400. The default still fits into a
            cookie (4 096 bytes with its name, RFC 6265 section 6.1).
        max_response_size: bytes of one answer of LTIAAS.
        ca_bundle: path of a file with certificate authorities, where LTIAAS is reached through a
            proxy with one of its own. TLS is verified always.
        service_keys: where each launch's service key is stored: the address of a SQLite or
            PostgreSQL database, or an object with a ``record`` method such as a
            ``ServiceKeyStore`` (extra ``[sql]``; docs/outside-a-launch.md). None stores none.
        scrub_logs: take ltiks out of what the known access loggers write.
        cookie_name: of the launch's cookie, before the ``__Secure-`` that https adds.
        cache: where launches are kept. "memory" is each process's own; the address of a Redis or
            Valkey shares them between workers and machines, and needs the extra ``[redis]``:
            ``redis://host:6379/0``, ``redis+cluster://host:6379,host:6379``,
            ``redis+sentinel://host:26379,host:26379/name/0``, each with ``rediss`` for TLS, or
            ``unix:///path``. A ready client of redis-py's is taken too (``redis.Redis``,
            ``redis.RedisCluster``); its timeouts and retries are then its own
            (docs/deployment.md).
        cache_prefix: what the names of all keys in Redis begin with; one of its own for each tool
            that shares a Redis.
        cache_timeout: seconds to wait for Redis, to connect and for each answer.

    Raises:
        SettingsError: a value is missing or unusable; the message names it.
    """

    url: str
    api_key: str = field(repr=False)
    ttl: float = 600
    max_launches: int = 10_000
    launch_path: str | None = "/lti"
    fit_frame: bool = True
    strict_launch_path: bool = True
    outside: Sequence[str] | Callable[[str], bool] | None = None
    trusted_origins: Sequence[str] = ()
    bearer: bool = False
    header: str | None = None
    require: bool | Callable[[str], bool] = False
    allow_anonymous: bool = False
    on_refusal: Callable[[Refusal], Answer | None] | None = None
    secret: str | Sequence[str] | None = field(default=None, repr=False)
    connect_timeout: float = 3.05
    read_timeout: float = 5
    deadline: float = 10
    max_calls: int = 32
    max_wait: float = 3
    patience: float = 1.5
    max_waiting: int = 16
    max_ltik_length: int = 4000
    max_response_size: int = 1_048_576
    ca_bundle: str | None = None
    scrub_logs: bool = True
    cookie_name: str = "ltiaas-launch"
    # Not shown: the URL may hold a password.
    cache: Any = field(default="memory", repr=False)
    service_keys: Any = field(default=None, repr=False)
    cache_prefix: str = "ltiaas"
    cache_timeout: float = 0.5

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "url", _account_origin(self.url))
        set_(self, "api_key", _api_key(self.api_key))
        for name in _SECONDS:
            set_(self, name, _number(name, getattr(self, name), float))
        for name in _COUNTS:
            set_(self, name, _number(name, getattr(self, name), int))
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                _refuse(name, "must be True or False")
        if not isinstance(self.require, bool) and not callable(self.require):
            _refuse("require", "must be True, False, or a function from a path to bool")
        if self.on_refusal is not None and not callable(self.on_refusal):
            _refuse("on_refusal", "must be a function from a Refusal to an Answer")
        if self.launch_path is not None and not (
            isinstance(self.launch_path, str) and _LAUNCH_PATH.fullmatch(self.launch_path)
        ):
            _refuse("launch_path", "must be a path such as '/lti', without a slash at its end")
        if self.header is not None and not (
            isinstance(self.header, str) and _HEADER_NAME.fullmatch(self.header)
        ):
            _refuse("header", "must be the name of a request header, such as 'X-Ltik'")
        if self.header is not None and self.header.lower() in ("authorization", "cookie"):
            _refuse("header", "must be a header of its own; for Authorization there is 'bearer'")
        if not (isinstance(self.cookie_name, str) and _HEADER_NAME.fullmatch(self.cookie_name)):
            _refuse("cookie_name", "must be the name of a cookie (RFC 6265)")
        if self.ca_bundle is not None and not os.path.isfile(self.ca_bundle):
            _refuse("ca_bundle", "names a file that is not there")
        set_(self, "outside", _outside(self.outside))
        set_(self, "trusted_origins", _origins(self.trusted_origins))
        set_(self, "secret", _secrets(self.secret))
        set_(self, "cache", _cache(self.cache))
        if not (
            self.service_keys is None
            or (isinstance(self.service_keys, str) and self.service_keys)
            or callable(getattr(self.service_keys, "record", None))
        ):
            _refuse("service_keys", "must be the address of a database, or a ServiceKeyStore")
        if isinstance(self.service_keys, str):
            _need("service_keys", "sql", "sqlalchemy", "cryptography")
        if not (isinstance(self.cache_prefix, str) and _PREFIX.fullmatch(self.cache_prefix)):
            _refuse("cache_prefix", "must be of letters, digits and the characters . _ : -")

    @classmethod
    @without_arguments
    def from_env(
        cls, env: Mapping[str, str] | None = None, **overrides: Unpack[Options]
    ) -> Settings:
        """Settings from ``LTIAAS_URL`` (or ``LTIAAS_DOMAIN``), ``LTIAAS_API_KEY`` and, for each
        other setting that is text, number or switch, ``LTIAAS_<NAME>``.

        Args:
            env: the environment to read; ``os.environ`` by default.
            overrides: settings given in code; they win.

        Raises:
            SettingsError: a value is missing or unusable, or a keyword is no setting.
        """
        env = os.environ if env is None else env
        names = {item.name for item in fields(cls)}
        for name in overrides:
            if name not in names:
                raise SettingsError(f"{name} is no setting; there are: {', '.join(sorted(names))}")
        found: dict[str, Any] = {}
        for name in names - _CODE_ONLY:
            if text := env.get(f"LTIAAS_{name.upper()}", "").strip():
                found[name] = _from_text(name, text)
        if "url" not in found and env.get("LTIAAS_DOMAIN", "").strip():
            found["url"] = env["LTIAAS_DOMAIN"].strip()
        found |= overrides
        for name, example in (
            ("url", "https://your.ltiaas.com"),
            ("api_key", "the account's API key"),
        ):
            if name not in found:
                raise SettingsError(
                    f"LTIAAS_{name.upper()} is not set: set it to {example}, or give {name}="
                )
        return cls(**found)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What keys are derived from; the first makes, all verify."""
        return (self.api_key,) if self.secret is None else tuple(self.secret)

    def __reduce__(self) -> NoReturn:
        raise TypeError("Settings hold the API key and are not pickled; make them from_env() there")


# Its arguments are the secrets, and a dataclass makes the method itself.
Settings.__init__ = without_arguments(Settings.__init__)  # type: ignore[method-assign]


class Options(TypedDict, total=False):
    """``Settings`` as keywords, each of which may be left out. A type checker knows a misspelt one
    by it; a test keeps the two the same."""

    url: str
    api_key: str
    ttl: float
    max_launches: int
    launch_path: str | None
    fit_frame: bool
    strict_launch_path: bool
    outside: Sequence[str] | Callable[[str], bool] | None
    trusted_origins: Sequence[str]
    bearer: bool
    header: str | None
    require: bool | Callable[[str], bool]
    allow_anonymous: bool
    on_refusal: Callable[[Refusal], Answer | None] | None
    secret: str | Sequence[str] | None
    connect_timeout: float
    read_timeout: float
    deadline: float
    max_calls: int
    max_wait: float
    patience: float
    max_waiting: int
    max_ltik_length: int
    max_response_size: int
    ca_bundle: str | None
    scrub_logs: bool
    cookie_name: str
    cache: Any
    service_keys: Any
    cache_prefix: str
    cache_timeout: float


_CODE_ONLY = {"on_refusal"}
_OFF = {"0", "false", "no", "off", "none"}
_ON = {"1", "true", "yes", "on"}


def _refuse(name: str, why: str) -> NoReturn:
    raise SettingsError(f"{name} (LTIAAS_{name.upper()}) {why}")


def _from_text(name: str, text: str) -> Any:
    if name in (*_SWITCHES, "require"):
        if text.lower() not in _ON | _OFF:
            _refuse(name, "must be 'true' or 'false'")
        return text.lower() in _ON
    if name in ("launch_path", "service_keys") and text.lower() in _OFF:
        return None
    if name in ("secret", "outside", "trusted_origins"):
        return tuple(text.split())
    return text


def _account_origin(url: object) -> str:
    if not isinstance(url, str) or not url.strip():
        _refuse("url", "must be the account's address, such as https://your.ltiaas.com")
    url = url.strip()
    if "://" not in url:
        url = f"https://{url}"
    origin = origin_of(url)
    if origin is None or not origin.isascii():
        _refuse("url", "is not an address such as https://your.ltiaas.com")
    parts = urlsplit(url)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        _refuse("url", "must be the bare address of the account: no path, query or fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        _refuse("url", "must begin with https: plain http is taken for loopback hosts only")
    return origin


def _api_key(key: object) -> str:
    if not isinstance(key, str) or not key:
        _refuse("api_key", "must be the account's API key")
    if not _API_KEY.fullmatch(key):
        _refuse("api_key", "holds a character that no API key has (space, colon, control, accent)")
    return key


def _number(name: str, value: Any, kind: type[int] | type[float]) -> int | float:
    try:
        number = kind(value)
        if isinstance(value, bool) or number != float(value):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        _refuse(name, f"must be a {'whole ' if kind is int else ''}number")
    if not 0 < number < 1e9:
        _refuse(name, "must be greater than 0")
    return number


def _need(name: str, extra: str, *packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            _refuse(name, f"needs the package {package}: pip install 'ltiaas-middleware[{extra}]'")


def _cache(cache: Any) -> Any:
    if cache == "memory":
        return cache
    _need("cache", "redis", "redis", "cryptography")
    why: str | None = None
    if isinstance(cache, str):
        try:
            _redis_clients.parse(cache)
        except ValueError as error:
            why = str(error)
    else:
        why = _redis_clients.why_unusable(cache)
    if why is not None:
        # Outside of the ``except``, and without the value: it may hold a password.
        _refuse("cache", why)
    return cache


def _outside(outside: object) -> tuple[str, ...] | Callable[[str], bool]:
    if callable(outside):
        return outside
    prefixes = (outside,) if isinstance(outside, str) else outside or ()
    if not isinstance(prefixes, (list, tuple)) or not all(
        isinstance(prefix, str) and prefix.startswith("/") and prefix.strip("/")
        for prefix in prefixes
    ):
        _refuse("outside", "must be prefixes such as '/static/', or a function from a path to bool")
    return tuple(prefixes)


def _origins(origins: object) -> tuple[str, ...]:
    several = (origins,) if isinstance(origins, str) else origins
    if not isinstance(several, (list, tuple)):
        _refuse("trusted_origins", "must be a list of origins such as 'https://app.example'")
    found = [normal_origin(origin) if isinstance(origin, str) else None for origin in several]
    if None in found:
        _refuse("trusted_origins", "holds what is no origin such as 'https://app.example'")
    return tuple(origin for origin in found if origin is not None)


def _secrets(secret: object) -> tuple[str, ...] | None:
    if secret is None:
        return None
    many = (secret,) if isinstance(secret, str) else secret
    if not isinstance(many, (list, tuple)) or not many:
        _refuse("secret", "must be a text, or a list of texts of which the first makes")
    for one in many:
        if not isinstance(one, str) or len(one) < 16:
            _refuse("secret", "must be at least 16 characters long")
    return tuple(many)
