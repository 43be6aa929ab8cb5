"""The calls of ``session`` for async apps, on httpx (extra ``[async]``).

```python
async for member in launch.async_api.members(role="Learner"):
    print(member.user_id)
```

``launch.async_api`` is one on connections that all launches of the event loop share. Outside of a
launch, ``async with AsyncApiSession(credential) as api`` has connections of its own.
"""

from __future__ import annotations

import contextlib
import importlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import anyio
import httpx

from ..credentials import Credential
from .account_endpoints import AccountEndpoints
from .async_clients import AsyncClients, new_client_in_thread
from .endpoint import install
from .endpoints import Endpoints
from .exchange import Answer, Call, Failure, Limits, Pause, Send, exchange
from .paging import Page

__all__ = ["AsyncApiSession"]

# Both are imported by the first call otherwise, in the event loop, and take 100 ms.
for _name in ("httpcore", "anyio._backends._asyncio"):
    with contextlib.suppress(ImportError):
        importlib.import_module(_name)

T = TypeVar("T")


class AsyncApiSession(Endpoints, AccountEndpoints):
    """Calls with one credential. Runs on asyncio and on trio.

    All else is as in ``ApiSession``.

    Args:
        credential: of a launch, a service key or the account.
        limits: timeouts, repeats and sizes.
        client: connections to share: an ``httpx.AsyncClient``, which should come from
            ``async_clients.new_client``, or ``AsyncClients``, for all loops. A new client by
            default, which ``aclose`` closes.
    """

    def __init__(
        self,
        credential: Credential,
        limits: Limits | None = None,
        *,
        client: httpx.AsyncClient | AsyncClients | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Coroutine[Any, Any, None]] = anyio.sleep,
    ) -> None:
        self.credential = credential
        self.limits = limits or Limits()
        self._clients = client if isinstance(client, AsyncClients) else None
        self._client = None if isinstance(client, AsyncClients) else client
        self._shared = client is not None
        self._monotonic = monotonic
        self._sleep = sleep
        #: How many rows of lists could not be read, and were left out.
        self.left_out = 0

    async def run(self, call: Call[T]) -> T:
        """Make one described call. Raises as ``ApiSession.run``."""
        flow = exchange(call, self.credential, self.limits, monotonic=self._monotonic)
        try:
            step = next(flow)
            while True:
                if isinstance(step, Pause):
                    await self._sleep(step.seconds)
                    step = flow.send(None)
                else:
                    step = flow.send(await self._send(step))
        except StopIteration as done:
            value: T = done.value
            return value

    async def each(self, call: Call[Page[T]]) -> AsyncIterator[T]:
        """The items of a described call's pages, each page fetched when it is reached."""
        following: Call[Page[T]] | None = call
        while following is not None:
            page = await self.run(following)
            self.left_out += page.left_out
            for item in page.items:
                yield item
            following = page.next

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> Any:
        """A call that has no method of its own; see ``ApiSession.request``."""
        pairs = tuple((query or {}).items())
        return await self.run(Call(method.upper(), path, lambda document: document, pairs, json))

    async def aclose(self) -> None:
        """Close the connections, unless they are shared."""
        if not self._shared and self._client is not None:
            await self._client.aclose()

    async def __aenter__(self) -> AsyncApiSession:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AsyncApiSession with {self.credential!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an AsyncApiSession holds a credential and is not pickled")

    async def _send(self, step: Send) -> Answer | Failure:
        if step.left <= 0:
            return Failure("no time left", passing=False)
        outcome: Answer | Failure = Failure("no answer in time", passing=False)
        with anyio.move_on_after(step.left):
            try:
                outcome = await self._attempt(step)
            except httpx.TimeoutException:
                outcome = Failure("no answer in time")
            except httpx.TransportError as error:
                # Neither the message nor the chain: both hold the request, and that the header.
                outcome = _failure(error)
            except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
                outcome = Failure(f"the request failed ({type(error).__name__})", passing=False)
        return outcome

    async def _connected(self) -> httpx.AsyncClient:
        if self._clients is not None:
            return await self._clients.get()
        if self._client is None:
            client = await new_client_in_thread(self.limits)
            # Another task may have made one in the meantime; this one has no connection yet.
            self._client = self._client or client
        return self._client

    async def _attempt(self, step: Send) -> Answer | Failure:
        limits = self.limits
        client = await self._connected()
        async with client.stream(
            step.method,
            step.url,
            content=step.content,
            headers={"Content-Type": "application/json"} if step.content else None,
            auth=self.credential,
            timeout=httpx.Timeout(limits.read_timeout, connect=limits.connect_timeout),
            # A redirect would carry the call, and with it the header, somewhere else.
            follow_redirects=False,
        ) as response:
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                return Failure("a compressed answer that was not asked for", passing=False)
            parts: list[bytes] = []
            size = 0
            async for part in response.aiter_raw():
                parts.append(part)
                size += len(part)
                if size > limits.max_response_size:
                    return Failure("an answer longer than max_response_size", passing=False)
            return Answer(
                response.status_code, b"".join(parts), response.headers.get("Retry-After")
            )


def _failure(error: httpx.TransportError) -> Failure:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failure("TLS: the certificate was not accepted", passing=False)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return Failure(f"the answer broke off ({type(error).__name__})")
    return Failure("no connection")


install(AsyncApiSession, asynchronous=True)
