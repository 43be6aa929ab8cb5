"""An account with its credentials, and secrets to look for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from ltiaas_middleware import ApiKeyCredential, LtikCredential, ServiceKeyCredential
from ltiaas_middleware.api.async_session import AsyncApiSession
from ltiaas_middleware.api.exchange import Limits
from ltiaas_middleware.api.session import ApiSession
from ltiaas_middleware.credentials import Credential
from ltiaas_middleware.sandbox import Sandbox

#: Values that must stand nowhere in clear.
SECRET = {
    "api key": "9b1d-api-key-of-the-account-7c",
    "secret": "derives-all-the-keys-55aa",
    "service key": "sk-service-key-of-an-activity-01",
    "password": "database-password-77e1",
}

#: Quick to give up: for tests in which nothing is to be waited for.
QUICK = Limits(connect_timeout=2, read_timeout=2, deadline=10)


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
        self.sandbox.journal.clear()
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
        limits: Limits = QUICK,
        **kwargs: Any,
    ) -> Any:
        credential = with_ or self.account.launch()
        if self.asynchronous:
            return asyncio.run(self._task(credential, limits, name, args, kwargs))
        with ApiSession(credential, limits, sleep=self.pauses.append) as api:
            result = getattr(api, name)(*args, **kwargs)
            return list(result) if isinstance(result, Iterator) else result

    async def _task(
        self, credential: Credential, limits: Limits, name: str, args: Any, kwargs: Any
    ) -> Any:
        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)

        async with AsyncApiSession(credential, limits, sleep=sleep) as api:
            result = getattr(api, name)(*args, **kwargs)
            if isinstance(result, AsyncIterator):
                return [item async for item in result]
            return await result
