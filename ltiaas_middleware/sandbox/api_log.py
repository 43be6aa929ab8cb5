"""A log of API requests, for tests and for the log page. It never contains a secret.

An entry begins when the request arrives and is completed when its response is decided, so that a
test can wait for a request that the sandbox is still delaying.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

_logger = logging.getLogger("ltiaas_middleware.sandbox")
REDACTED = "[redacted]"
# Whatever looks like a JWS or a service key is taken for one, whoever made it.
_TOKENS = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*|sk-[\w.-]{20,}")


@dataclass(frozen=True)
class ApiLogEntry:
    """One request to the API.

    `at` is in seconds of the sandbox's clock. `path` and `query` are as received, still
    percent-encoded (without secrets). `scheme` is the first word of `Authorization` if `wire.md`
    lists it, and `well_formed` says whether the whole header has, byte for byte, the format that
    `wire.md` requires for that scheme. `ltik_id` is a digest of the request's ltik or service key
    (see `token_digest`). `body` is the received JSON, if any. `status` is None until the response,
    and stays None for a connection that was reset. `fault` names the faults that affected the
    request, joined with `+`.
    """

    at: float
    method: str
    path: str
    query: str
    scheme: str | None
    well_formed: bool
    ltik_id: str | None
    user_agent: str | None
    body: Any
    fault: str | None = None
    status: int | None = None
    answered: bool = False

    @property
    def time(self) -> str:
        return datetime.fromtimestamp(self.at, timezone.utc).strftime("%H:%M:%S")


def token_digest(token: str) -> str:
    """Twelve hexadecimal digits that distinguish tokens and reveal nothing about them."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()[:12]


class ApiLog:
    """All requests to the API since the start or the last `clear`, oldest first. Thread-safe."""

    def __init__(self, api_key: str) -> None:
        self._secrets = tuple({api_key, quote(api_key, safe="")})
        self._changed = threading.Condition()
        self._entries: dict[int, ApiLogEntry] = {}
        self._next = 0

    def __iter__(self) -> Iterator[ApiLogEntry]:
        return iter(self._snapshot())

    def __len__(self) -> int:
        return len(self._snapshot())

    def __getitem__(self, index: int) -> ApiLogEntry:
        return self._snapshot()[index]

    def entries(self, path: str | None = None, method: str | None = None) -> list[ApiLogEntry]:
        """The entries for exactly this path (as received; repeated leading slashes count as
        one)."""
        return [entry for entry in self._snapshot() if _matches(entry, path, method)]

    def count(self, path: str | None = None, method: str | None = None) -> int:
        """How many requests there were for exactly this path or, without a path, in total."""
        return len(self.entries(path, method))

    def clear(self) -> None:
        with self._changed:
            self._entries.clear()
            self._changed.notify_all()

    def wait_for(
        self, n: int, path: str | None = None, timeout: float = 5.0, *, answered: bool = False
    ) -> list[ApiLogEntry]:
        """Wait until at least `n` requests for `path` have arrived (or, on request, have their
        responses).

        Returns their entries. Raises `TimeoutError` after `timeout` seconds, with the number of
        requests.
        """

        def there() -> list[ApiLogEntry]:
            return [
                entry
                for entry in self._entries.values()
                if _matches(entry, path, None) and (entry.answered or not answered)
            ]

        with self._changed:
            if not self._changed.wait_for(lambda: len(there()) >= n, timeout):
                raise TimeoutError(
                    f"{len(there())} of {n} requests for {path or 'the API'} after {timeout} s"
                )
            return there()

    def arrived(self, entry: ApiLogEntry) -> Callable[[int | None], None]:
        """Add a request. The returned function completes it with the response's status."""
        clean = replace(
            entry,
            path=self._redact(entry.path),
            query=self._redact(entry.query),
            user_agent=self._redact(entry.user_agent),
            body=self._redact(entry.body),
        )
        with self._changed:
            number = self._next
            self._next += 1
            self._entries[number] = clean
            self._changed.notify_all()

        def answered(status: int | None) -> None:
            credential = " ".join(filter(None, (clean.scheme, clean.ltik_id))) or "no credential"
            fault = f" ({clean.fault})" if clean.fault else ""
            result = status or "cut off"
            _logger.info("%s %s %s, %s%s", clean.method, clean.path, result, credential, fault)
            with self._changed:
                if number in self._entries:
                    self._entries[number] = replace(clean, status=status, answered=True)
                    self._changed.notify_all()

        return answered

    def _snapshot(self) -> list[ApiLogEntry]:
        with self._changed:
            return list(self._entries.values())

    def _redact(self, value: Any) -> Any:
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, REDACTED)
            return _TOKENS.sub(REDACTED, value)
        if isinstance(value, list):
            return [self._redact(item) for item in value]
        if isinstance(value, dict):
            return {self._redact(key): self._redact(item) for key, item in value.items()}
        return value


def _matches(entry: ApiLogEntry, path: str | None, method: str | None) -> bool:
    if method is not None and entry.method != method:
        return False
    return path is None or "/" + entry.path.lstrip("/") == path
