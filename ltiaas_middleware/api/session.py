"""Calls to LTIAAS from threads and scripts.

```python
with ApiSession(launch.credential) as api:
    for member in api.members(role="Learner"):
        print(member.user_id)
```
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import requests

from ..credentials import Credential
from .endpoint import install
from .endpoints import Endpoints
from .exchange import Answer, Failure, RetryPolicy, Send, exchange, run
from .paging import Pages
from .registrations import AccountEndpoints
from .transport import new_session, send

# Connections that are kept open for threads that call at the same time.
_POOL = 10


class ApiSession(Endpoints, AccountEndpoints):
    """Calls with one credential. Safe to use from many threads.

    If LTIAAS responds with an error, calls raise the exceptions in ``errors``. No exception or
    ``repr`` contains a secret. Within ``retry_policy.timeout``, the session retries idempotent
    calls (GET, PUT, DELETE) if LTIAAS fails, and all calls if LTIAAS or the LMS asks to wait.

    Args:
        credential: the credential of a launch, a service key or the account. The session refuses,
            without sending it, a call that does not accept this kind (``wire.md``, "The three
            authorization schemes").
        retry_policy: timeouts, retries and size limits.
        session: a ``requests.Session`` whose connections to share. By default, a new one, which
            ``close`` closes. Create your own with ``transport.new_session``.
    """

    def __init__(
        self,
        credential: Credential,
        retry_policy: RetryPolicy | None = None,
        *,
        session: requests.Session | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(credential, retry_policy)
        self._session = new_session(_POOL) if session is None else session
        self._shared = session is not None
        self._sleep = sleep

    def close(self) -> None:
        """Close the connections, unless they are shared."""
        if not self._shared:
            self._session.close()

    def __enter__(self) -> ApiSession:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(self, described: Any) -> Any:
        return run(exchange(described, self.credential, self.retry_policy), self._send, self._sleep)

    def _send(self, step: Send) -> Answer | Failure:
        return send(self._session, self.retry_policy, step, self.credential)

    def _each(self, pages: Pages[Any]) -> Iterator[Any]:
        while pages.next is not None:
            skipped, items = pages.skipped, self._run(pages.next)
            self.skipped += pages.skipped - skipped
            yield from items


install(ApiSession, asynchronous=False)
