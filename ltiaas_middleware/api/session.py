"""Calls to LTIAAS that are hard to get wrong, from threads and scripts.

```python
with ApiSession(launch.credential) as api:
    for member in api.members(role="Learner"):
        print(member.user_id)
```
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import requests

from ..credentials import Credential
from .account_endpoints import AccountEndpoints
from .endpoint import install
from .endpoints import Endpoints
from .exchange import Call, Limits, Pause, exchange
from .paging import Page
from .transport import Transport, new_session

__all__ = ["ApiSession"]

T = TypeVar("T")

# Connections that are kept open for threads that call at the same time.
_POOL = 10


class ApiSession(Endpoints, AccountEndpoints):
    """Calls with one credential. Safe to use from many threads.

    LTIAAS's errors come as the exceptions of ``errors``; none of them, and no ``repr``, holds a
    secret. Idempotent calls (GET, PUT, DELETE) are repeated where LTIAAS failed or asked to wait,
    within ``limits.deadline``.

    Args:
        credential: of a launch, a service key or the account. An endpoint that does not take its
            kind (``wire.md``, "The three authorization schemes") is refused before anything is
            sent.
        limits: timeouts, repeats and sizes.
        session: a ``requests.Session`` to share connections with; a new one by default, which
            ``close`` closes. One of your own should come from ``transport.new_session``.
    """

    def __init__(
        self,
        credential: Credential,
        limits: Limits | None = None,
        *,
        session: requests.Session | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.credential = credential
        self.limits = limits or Limits()
        self._session = new_session(_POOL) if session is None else session
        self._shared = session is not None
        self._transport = Transport(self._session, self.limits, monotonic=monotonic)
        self._monotonic = monotonic
        self._sleep = sleep
        #: How many rows of lists could not be read, and were left out.
        self.left_out = 0

    def run(self, call: Call[T]) -> T:
        """Make one described call.

        Raises:
            InvalidRequest: what was asked cannot be sent.
            CredentialScopeError: the credential is not for this address. Nothing was sent.
            ApiError: LTIAAS answered with an error, or did not answer.
        """
        flow = exchange(call, self.credential, self.limits, monotonic=self._monotonic)
        try:
            step = next(flow)
            while True:
                if isinstance(step, Pause):
                    self._sleep(step.seconds)
                    step = flow.send(None)
                else:
                    step = flow.send(self._transport.send(step, self.credential))
        except StopIteration as done:
            value: T = done.value
            return value

    def each(self, call: Call[Page[T]]) -> Iterator[T]:
        """The items of a described call's pages, each page fetched when it is reached."""
        following: Call[Page[T]] | None = call
        while following is not None:
            page = self.run(following)
            self.left_out += page.left_out
            yield from page.items
            following = page.next

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> Any:
        """A call that has no method of its own, under the same rules.

        Args:
            method: such as ``"GET"``.
            path: below ``/api/``, percent-encoded; or a URL on the account's own origin.
            query: values, not yet encoded.
            json: the body, or None for none.

        Returns:
            The decoded JSON; None where the answer has no body.
        """
        pairs = tuple((query or {}).items())
        return self.run(Call(method.upper(), path, lambda document: document, pairs, json))

    def close(self) -> None:
        """Close the connections, unless they are shared."""
        if not self._shared:
            self._session.close()

    def __enter__(self) -> ApiSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ApiSession with {self.credential!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an ApiSession holds a credential and is not pickled")


install(ApiSession, asynchronous=False)
