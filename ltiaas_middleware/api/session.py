"""Calls to LTIAAS that are hard to get wrong, from threads and scripts.

```python
with ApiSession(launch.credential) as api:
    for member in api.members(role="Learner"):
        print(member.user_id)
```
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

import requests

from ..credentials import Credential
from . import endpoints
from .endpoints import Page
from .exchange import Call, Limits, Pause, exchange
from .transport import Transport, new_session

__all__ = ["ApiSession"]

P = ParamSpec("P")
T = TypeVar("T")

# Connections that are kept open for threads that call at the same time.
_POOL = 10


def _once(describe: Callable[P, Call[T]]) -> Callable[Concatenate[ApiSession, P], T]:
    """An endpoint as a method that makes the call."""

    @functools.wraps(describe, assigned=("__name__", "__doc__"))
    def method(self: ApiSession, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(describe(*args, **kwargs))

    return method


def _each(
    describe: Callable[P, Call[Page[T]]],
) -> Callable[Concatenate[ApiSession, P], Iterator[T]]:
    """An endpoint as a method that follows the pages."""

    @functools.wraps(describe, assigned=("__name__", "__doc__"))
    def method(self: ApiSession, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        # Described now and not at the first item: a mistake shows where it was made.
        return self.each(describe(*args, **kwargs))

    return method


class ApiSession:
    """Calls with one credential. Safe to use from many threads.

    Each endpoint is a method; their documentation stands in ``endpoints``. LTIAAS's errors come as
    the exceptions of ``errors``; none of them, and no ``repr``, holds a secret. What a repetition
    cannot harm is repeated where LTIAAS failed or asked to wait, within ``limits.deadline``.

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

    id_token = _once(endpoints.id_token)
    raw_id_token = _once(endpoints.raw_id_token)
    deep_linking_form = _once(endpoints.deep_linking_form)
    deep_linking_message = _once(endpoints.deep_linking_message)
    members = _each(endpoints.members)
    line_items = _each(endpoints.line_items)
    line_item = _once(endpoints.line_item)
    create_line_item = _once(endpoints.create_line_item)
    update_line_item = _once(endpoints.update_line_item)
    delete_line_item = _once(endpoints.delete_line_item)
    submit_score = _once(endpoints.submit_score)
    scores = _each(endpoints.scores)
    registration = _once(endpoints.registration)
    raw_registration = _once(endpoints.raw_registration)
    complete_registration = _once(endpoints.complete_registration)
    platforms = _once(endpoints.platforms)
    platform = _once(endpoints.platform)
    create_platform = _once(endpoints.create_platform)
    update_platform = _once(endpoints.update_platform)
    delete_platform = _once(endpoints.delete_platform)
    activate_platform = _once(endpoints.activate_platform)
    deactivate_platform = _once(endpoints.deactivate_platform)

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
