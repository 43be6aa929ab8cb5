"""The parts of a middleware in one process. The first request imports this module, because it needs
most of the package, requests and cryptography, which a command that only imports the app does not
need."""

from __future__ import annotations

import time
from typing import Any

from ._crypto.keys import LaunchIds
from ._crypto.one_time_tokens import OneTimeTokens
from ._gate.gate import Gate
from ._verification.authenticator import Authenticator
from ._verification.id_tokens import Api, IdTokenSource, Recording
from ._verification.sharing import shared_by
from ._verification.stats import Stats
from .api.async_clients import AsyncClients
from .api.decoded import DecodedTokens
from .api.exchange import RetryPolicy
from .api.transport import new_session
from .launch import Account
from .settings import Settings


class Parts:
    """The parts of a middleware in one process."""

    def __init__(self, settings: Settings, service_keys: Any, stats: Stats) -> None:
        ids = LaunchIds(settings.signing_secrets)
        shared = shared_by(settings, ids, stats)
        self._id_tokens = Api(settings)
        source: IdTokenSource = self._id_tokens
        if service_keys is not None:
            source = Recording(source, service_keys)
        decoded = DecodedTokens()
        self.authenticator = Authenticator(
            settings, source, ids, shared=shared, decoded=decoded, stats=stats
        )
        self._session = new_session(settings.max_concurrent_calls)
        self._clients = AsyncClients(RetryPolicy(ca_bundle=settings.ca_bundle))
        tokens = OneTimeTokens(settings.signing_secrets, time.time)
        end = self.authenticator.end
        self.account = Account(settings, tokens, decoded, self._session, self._clients, end)
        self.gate = Gate(self.account, ids, self.authenticator)

    def close(self, *, wait: bool = True) -> None:
        self.authenticator.close(wait=wait)
        self._id_tokens.close()
        self._session.close()
        self._clients.close()
