"""The calls of ``session`` for async apps, on httpx2 or its predecessor httpx (extra ``[async]``).

```python
async for member in launch.async_api.members(role="Learner"):
    print(member.user_id)
```

``launch.async_api`` uses connections that all launches in the event loop share. Outside a launch,
``async with AsyncApiSession(credential) as api`` opens its own connections.
"""

from __future__ import annotations

import contextlib
import importlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import anyio

from ..credentials import Credential
from .async_clients import AsyncClients, httpx
from .endpoint import install
from .endpoints import Endpoints
from .exchange import Answer, Failure, Pause, RetryPolicy, Send, exchange
from .paging import Pages
from .registrations import AccountEndpoints

# They are imported by the first call otherwise, in the event loop, and take 100 ms.
httpx()
for _name in ("httpcore2", "httpcore", "anyio._backends._asyncio"):
    with contextlib.suppress(ImportError):
        importlib.import_module(_name)


class AsyncApiSession(Endpoints, AccountEndpoints):
    """Calls with one credential, on asyncio or trio. Otherwise like ``ApiSession``.

    Args:
        credential: the credential of a launch, a service key or the account.
        retry_policy: timeouts, retries and size limits.
        client: the client whose connections to share: an ``AsyncClient`` of httpx2 or httpx from
            ``async_clients.new_client``, or an ``AsyncClients`` for all loops. By default, a new
            one, which ``aclose`` closes.
    """

    def __init__(
        self,
        credential: Credential,
        retry_policy: RetryPolicy | None = None,
        *,
        client: Any = None,
        sleep: Callable[[float], Coroutine[Any, Any, None]] = anyio.sleep,
    ) -> None:
        super().__init__(credential, retry_policy)
        self._client = AsyncClients(self.retry_policy) if client is None else client
        self._shared = client is not None
        self._sleep = sleep

    async def aclose(self) -> None:
        """Close the connections, unless they are shared."""
        if not self._shared:
            await self._client.aclose()

    async def __aenter__(self) -> AsyncApiSession:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def _run(self, described: Any) -> Any:
        flow = exchange(described, self.credential, self.retry_policy)
        try:
            step = next(flow)
            while True:
                if isinstance(step, Pause):
                    await self._sleep(step.seconds)
                    step = next(flow)
                else:
                    step = flow.send(await self._send(step))
        except StopIteration as done:
            return done.value

    async def _each(self, pages: Pages[Any]) -> AsyncIterator[Any]:
        while pages.next is not None:
            skipped, items = pages.skipped, await self._run(pages.next)
            self.skipped += pages.skipped - skipped
            for item in items:
                yield item

    async def _send(self, step: Send) -> Answer | Failure:
        outcome: Answer | Failure = Failure("no response in time", passing=False)
        with anyio.move_on_after(step.left):
            try:
                outcome = await self._attempt(step)
            except Exception as error:
                # By name, since a client of the caller's may be httpx's or httpx2's. Neither the
                # message nor the chain goes on: both hold the request, and that the header.
                kinds = {kind.__name__ for kind in type(error).__mro__}
                if kinds.isdisjoint({"HTTPError", "InvalidURL", "ValueError", "OSError"}):
                    raise
                outcome = _failure(error, kinds)
        return outcome

    async def _attempt(self, step: Send) -> Answer | Failure:
        policy, client = self.retry_policy, self._client
        if isinstance(client, AsyncClients):
            client = await client.get()
        async with client.stream(
            step.method,
            step.url,
            content=step.content,
            headers={"Content-Type": "application/json"} if step.content else None,
            auth=self.credential,
            timeout=(policy.connect_timeout, *[policy.read_timeout] * 3),
            # A redirect would carry the call, and with it the header, somewhere else.
            follow_redirects=False,
        ) as response:
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                return Failure("a compressed response that was not requested", passing=False)
            content = bytearray()
            async for part in response.aiter_raw():
                content += part
                if len(content) > policy.max_response_size:
                    return Failure("a response longer than max_response_size", passing=False)
            wait = response.headers.get("Retry-After")
            return Answer(response.status_code, bytes(content), wait)


def _failure(error: BaseException, kinds: set[str]) -> Failure:
    if "TimeoutException" in kinds:
        return Failure("no response in time")
    name = type(error).__name__
    if "TransportError" not in kinds:
        return Failure(f"the request failed ({name})", passing=False)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failure("TLS: the certificate was rejected", passing=False)
        cause = cause.__cause__ or cause.__context__
    if kinds & {"RemoteProtocolError", "ReadError"}:
        return Failure(f"connection closed mid-response ({name})")
    return Failure("no connection")


install(AsyncApiSession, asynchronous=True)
