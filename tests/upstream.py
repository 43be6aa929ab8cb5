"""An LTIAAS inside the test's own process, for what cannot be shown through a socket: exactly when
it is asked, and what happens while it has not answered yet."""

from __future__ import annotations

import json
import threading
from typing import Any

from ltiaas_middleware import IdToken
from ltiaas_middleware.api.decoded import Decoded
from ltiaas_middleware.errors import ApiError


class Upstream:
    """Answers ID tokens, counts, and waits or fails on demand."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: ApiError | None = None
        self.errors: dict[str, ApiError] = {}
        self.claims: dict[str, Any] = {
            "user": {"id": "u1", "roles": ["Instructor"], "name": "Ada"},
            "platform": {"id": "p1"},
            "launch": {"context": {"id": "c1"}},
            "services": {"serviceKey": "service-key-1"},
        }
        self.go_on = threading.Event()
        self.go_on.set()
        self.entered = threading.Semaphore(0)

    def close(self, *, wait: bool = True) -> None:
        """Nothing is open."""

    def id_token(self, ltik: str) -> Decoded:
        self.asked.append(ltik)
        self.entered.release()
        assert self.go_on.wait(20), "the test never let the upstream answer"
        error = self.errors.get(ltik, self.error)
        if error is not None:
            raise error
        return Decoded(json.dumps(self.claims).encode(), IdToken.parse(self.claims))
