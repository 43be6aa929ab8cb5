"""Creates redis-py clients from ``Settings.cache``.

One environment variable must be enough for every way to run Redis: a single server, a Redis
Cluster, or Sentinels that know the current master. redis-py supports URLs only for the first. Also,
its defaults wait and retry for seconds, which would delay requests.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

#: What an address may look like, for messages.
FORMS = (
    "redis://host:6379/0, redis+cluster://host:6379,host:6379, "
    "redis+sentinel://host:26379,host:26379/name/0 (rediss in place of redis for TLS), or "
    "unix:///path/of/socket"
)
_PORT = 6379
_SENTINEL_PORT = 26379


@dataclass(frozen=True, kw_only=True)
class RedisAddress:
    """Where Redis is.

    Attributes:
        kind: "server", "cluster" or "sentinel".
        nodes: the host and port of each node in the URL: exactly one for a server, none for a
            socket.
        service: the Sentinels' name for the master.
        options: keyword arguments for redis-py's connections; they may contain a password.
        sentinel_options: the same for the connections to the Sentinels.
    """

    kind: str
    nodes: tuple[tuple[str, int], ...] = ()
    service: str = ""
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    sentinel_options: dict[str, Any] = field(default_factory=dict, repr=False)

    def as_cluster(self) -> RedisAddress | None:
        """The cluster to which this server turned out to belong; None for a socket."""
        if not self.nodes:
            return None
        options = {name: value for name, value in self.options.items() if name != "db"}
        return RedisAddress(kind="cluster", nodes=self.nodes, options=options)


def parse(url: str) -> RedisAddress:
    """Parse a URL.

    Raises:
        ValueError: the URL is invalid. The message does not quote it, because it may contain a
            password.
    """
    scheme, _, rest = url.partition("://")
    secure, _, kind = scheme.partition("+")
    if secure not in ("redis", "rediss") or kind not in ("cluster", "sentinel"):
        return _server(url)
    servers, mark, query = rest.partition("?")
    netloc, _, path = servers.partition("/")
    user, at, hosts = netloc.rpartition("@")
    # The user, the password and the options are read by redis-py, as those of one server.
    options = _options(f"{secure}://{user}{at}localhost{mark}{query}")
    del options["host"]
    default = _PORT if kind == "cluster" else _SENTINEL_PORT
    nodes = tuple(_node(host, default) for host in hosts.split(","))
    if kind == "cluster":
        if path not in ("", "0") or options.pop("db", 0) != 0:
            raise ValueError("must not name a database: a Redis Cluster has only one")
        _try(options)
        return RedisAddress(kind=kind, nodes=nodes, options=options)
    service, _, number = path.partition("/")
    if not service:
        raise ValueError(
            "must include the master's name in the Sentinels: redis+sentinel://host/name"
        )
    if number:
        if not number.isdecimal():
            raise ValueError("must give the database as a number: redis+sentinel://host/name/0")
        options["db"] = int(number)
    sentinel_options = _take_sentinel_options(options)
    for some in (options, sentinel_options):
        _try(some)
    return RedisAddress(
        kind=kind,
        nodes=nodes,
        service=unquote(service),
        options=options,
        sentinel_options=sentinel_options,
    )


def _take_sentinel_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options for the Sentinels; their user and password are removed from ``options``."""
    taken = {
        name.removeprefix("sentinel_"): options.pop(name)
        for name in ("sentinel_username", "sentinel_password")
        if name in options
    }
    return taken | {name: of for name, of in options.items() if name.startswith("ssl")}


def connect(address: RedisAddress, timeout: float) -> Any:
    """Create a client. A cluster client immediately asks for the cluster's nodes; the others
    connect at first use.

    Args:
        address: the result of ``parse``; timeouts in its options take precedence.
        timeout: seconds to connect, and for each response.

    Raises:
        Exception: the cluster is unreachable.
    """
    from redis import ConnectionPool, Redis, RedisCluster
    from redis.backoff import NoBackoff
    from redis.cluster import ClusterNode
    from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
    from redis.retry import Retry
    from redis.sentinel import Sentinel

    times = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    # redis-py's own retries, with pauses of seconds, would be paid for by a request.
    no_retry = Retry(NoBackoff(), 0)
    options = {**times, **address.options}
    if address.kind == "cluster":
        nodes = [ClusterNode(*node) for node in address.nodes]  # type: ignore[no-untyped-call]
        return RedisCluster(startup_nodes=nodes, retry=no_retry, **options)
    options["retry"] = no_retry
    if address.kind == "sentinel":
        sentinel_options = {**times, "retry": no_retry, **address.sentinel_options}
        sentinels = Sentinel(address.nodes, sentinel_kwargs=sentinel_options, **options)  # type: ignore[no-untyped-call]
        return sentinels.master_for(address.service)  # type: ignore[no-untyped-call]
    kind: type[Any] = UnixDomainSocketConnection
    if address.nodes:
        kind = SSLConnection if options.pop("ssl", False) else Connection
        ((options["host"], options["port"]),) = address.nodes
    return Redis.from_pool(ConnectionPool(connection_class=kind, **options))


def why_unusable(client: Any) -> str | None:
    """Why a client passed as ``cache`` cannot be used, or None."""
    if inspect.iscoroutinefunction(getattr(client, "execute_command", None)):
        return (
            "must be a redis.Redis or redis.RedisCluster client, not one from redis.asyncio: the "
            "middleware calls Redis in its own threads, even under ASGI"
        )
    if not all(callable(getattr(client, name, None)) for name in ("eval", "pipeline")):
        return f"must be 'auto', 'memory', a redis-py client, or a Redis URL: {FORMS}"
    encoder = getattr(client, "get_encoder", lambda: None)()
    if getattr(encoder, "decode_responses", False):
        return "must be a client without decode_responses: the middleware stores bytes"
    return None


def _server(url: str) -> RedisAddress:
    options = _options(url)
    parts = urlsplit(url)
    if not (parts.netloc or parts.path.strip("/")):
        raise ValueError(f"must be 'auto', 'memory' or a Redis URL: {FORMS}")
    if "," in parts.netloc.rpartition("@")[2]:
        raise ValueError(
            "must name one server; for several, use redis+cluster:// or redis+sentinel://"
        )
    if parts.scheme == "unix":
        _try({name: value for name, value in options.items() if name != "path"})
        return RedisAddress(kind="server", options=options)
    _try(options)
    node = (options.pop("host", "localhost"), options.pop("port", _PORT))
    return RedisAddress(kind="server", nodes=(node,), options=options)


def _options(url: str) -> dict[str, Any]:
    from redis.connection import SSLConnection, parse_url

    message = None
    try:
        options: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
    except ValueError:
        # Raised below: what this one quotes must not be seen as the reason of ours, either.
        message = f"must be 'auto', 'memory' or a Redis URL: {FORMS}"
    if message:
        raise ValueError(message)
    if options.pop("connection_class", None) is SSLConnection:
        options["ssl"] = True
    if "decode_responses" in options:
        raise ValueError("must not have decode_responses: the middleware stores bytes")
    return options


def _node(host: str, port: int) -> tuple[str, int]:
    message = None
    try:
        parts = urlsplit(f"//{host}")
        found = parts.hostname, parts.port or port
    except ValueError:
        message = "must name each host as host:port"
    if message or not found[0]:
        raise ValueError(message or "must name at least one host, as host:port")
    return unquote(found[0]), found[1]


def _try(options: dict[str, Any]) -> None:
    """Refuse an option that redis-py's connections would refuse later, at the first launch."""
    from redis.connection import Connection, ConnectionPool, SSLConnection

    keywords = {name: value for name, value in options.items() if name != "ssl"}
    kind = SSLConnection if options.get("ssl") else Connection
    message = None
    try:
        ConnectionPool(connection_class=kind, **keywords).make_connection()
    except Exception as error:  # noqa: BLE001 - whatever it is, it would be raised later as well
        # The names of options are safe to show, their values are not.
        message = f"has an option that redis-py does not accept ({type(error).__name__})"
    if message:
        raise ValueError(message)
