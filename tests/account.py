"""An account with its credentials, and secrets to look for."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from ltiaas_middleware import ApiKeyCredential, LtikCredential, ServiceKeyCredential
from ltiaas_middleware.api.async_session import AsyncApiSession
from ltiaas_middleware.api.exchange import RetryPolicy
from ltiaas_middleware.api.session import ApiSession
from ltiaas_middleware.credentials import Credential
from ltiaas_middleware.sandbox import Sandbox

_TESTS = f"{Path(__file__).parent}/"

#: Values that must stand nowhere in clear.
SECRET = {
    "api key": "9b1d-api-key-of-the-account-7c",
    "secret": "derives-all-the-keys-55aa",
    "service key": "sk-service-key-of-an-activity-01",
    "password": "database-password-77e1",
}

#: Gives up late, however busy the machine is, and before a ``Retry-After`` of 30 seconds.
PATIENT = RetryPolicy(connect_timeout=20, read_timeout=20, timeout=25)


class Account:
    """A sandbox that is being served, and credentials for it."""

    def __init__(self, sandbox: Sandbox, url: str) -> None:
        self.sandbox = sandbox
        self.url = url
        self.key = sandbox.api_key

    def launch(self, **seat: Any) -> LtikCredential:
        return LtikCredential(self.url, self.key, self.sandbox.issue(**seat))

    def service_key(self, **seat: Any) -> ServiceKeyCredential:
        with ApiSession(self.launch(**seat)) as api:
            key = api.id_token().services.service_key
        assert key is not None
        self.sandbox.api_log.clear()
        return ServiceKeyCredential(self.url, self.key, key)

    def api_key(self) -> ApiKeyCredential:
        return ApiKeyCredential(self.url, self.key)

    def line_item(self, activity: str = "quiz-1") -> str:
        column = self.sandbox.gradebook.column_of(activity)
        assert column is not None
        return column.id


class Caller:
    """Calls endpoints by name, from a thread or from a task; pages come as a list."""

    def __init__(self, account: Account, *, asynchronous: bool) -> None:
        self.account = account
        self.asynchronous = asynchronous
        self.pauses: list[float] = []

    def __call__(
        self,
        name: str,
        /,
        *args: Any,
        with_: Credential | None = None,
        retry_policy: RetryPolicy = PATIENT,
        **kwargs: Any,
    ) -> Any:
        credential = with_ or self.account.launch()
        if self.asynchronous:
            return asyncio.run(self._task(credential, retry_policy, name, args, kwargs))
        with ApiSession(credential, retry_policy, sleep=self.pauses.append) as api:
            result = getattr(api, name)(*args, **kwargs)
            return list(result) if isinstance(result, Iterator) else result

    async def _task(
        self, credential: Credential, retry_policy: RetryPolicy, name: str, args: Any, kwargs: Any
    ) -> Any:
        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)

        async with AsyncApiSession(credential, retry_policy, sleep=sleep) as api:
            result = getattr(api, name)(*args, **kwargs)
            if isinstance(result, AsyncIterator):
                return [item async for item in result]
            return await result


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and everything that hangs on it, suppressed or not."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        waiting += [one.__cause__, one.__context__]
        waiting += [held for held in one.args if isinstance(held, BaseException)]
        yield one


def told(error: BaseException) -> str:
    """All that a log or an error tracker could get out of an exception, locals included."""
    parts = []
    for one in _chain(error):
        parts += [str(one), repr(one), repr(one.args), repr(vars(one))]
        stack = traceback.StackSummary.extract(
            traceback.walk_tb(one.__traceback__), capture_locals=True
        )
        # Less the test's own frames, which hold the secrets to compare with.
        parts += [repr(frame.locals) for frame in stack if not frame.filename.startswith(_TESTS)]
    return "\n".join(parts)
