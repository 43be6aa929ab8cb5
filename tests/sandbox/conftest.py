from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import pytest
import requests
import trustme

from ltiaas_middleware.sandbox import Sandbox, SandboxServer

START = 1_800_000_000.0


@dataclass
class Clock:
    """Stands still until told otherwise."""

    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass
class Caller:
    """A tool that calls the sandbox over a real socket."""

    server: SandboxServer
    session: requests.Session
    authorization: str | None = field(default=None, repr=False)

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = options.pop("headers", {})
        if self.authorization is not None:
            headers = {"Authorization": self.authorization, **headers}
        options.setdefault("timeout", 10)
        options.setdefault("allow_redirects", False)
        return self.session.request(method, self.server.url + path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self("POST", path, **options)

    def with_authorization(self, authorization: str | None) -> Caller:
        return Caller(self.server, self.session, authorization)

    def launched(self, **where: Any) -> Caller:
        sandbox = self.server.sandbox
        return self.with_ltik(sandbox.issue(**where))

    def with_ltik(self, ltik: str) -> Caller:
        return self.with_authorization(f"LTIK-AUTH-V2 {self.server.sandbox.api_key}:{ltik}")

    def with_service_key(self, key: str) -> Caller:
        return self.with_authorization(f"SERVICE-AUTH-V1 {self.server.sandbox.api_key}:{key}")

    def with_account(self) -> Caller:
        return self.with_authorization(f"Bearer {self.server.sandbox.api_key}")

    def line_item(self, number: int = 0) -> str:
        """The path of one of the course's line items, its id encoded as one segment."""
        items = self.get("/api/lineitems").json()["lineItems"]
        return f"/api/lineitems/{quote(items[number]['id'], safe='')}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Sandbox:
    return Sandbox(tool="http://tool.example/launch", clock=clock)


@pytest.fixture
def server(sandbox: Sandbox) -> Iterator[SandboxServer]:
    with SandboxServer(sandbox) as running:
        yield running


@pytest.fixture
def call(server: SandboxServer) -> Iterator[Caller]:
    with requests.Session() as session:
        session.trust_env = False
        yield Caller(server, session)


@pytest.fixture
def teacher(call: Caller) -> Caller:
    return call.launched()


@pytest.fixture
def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a server at 127.0.0.1, and for a client that trusts it."""
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return serving, trusting


SCORE = {
    "userId": "ben",
    "scoreGiven": 8,
    "scoreMaximum": 10,
    "activityProgress": "Completed",
    "gradingProgress": "FullyGraded",
}
PLATFORM = {
    "url": "https://new.example",
    "clientId": "c",
    "name": "New",
    "authenticationEndpoint": "https://new.example/auth",
    "accesstokenEndpoint": "https://new.example/token",
    "authConfig": {"method": "JWK_SET", "key": "https://new.example/jwks"},
}


def refused(
    response: requests.Response, status: int, message: str, description: str | None = None
) -> dict[str, Any]:
    """Asserts an error of wire.md's shape, and gives its details back."""
    assert response.status_code == status, response.text
    document = response.json()
    assert set(document) == {"status", "error", "details"}
    assert document["status"] == status
    # Two of Python's own names differ between its versions.
    names = {413: "Payload Too Large", 422: "Unprocessable Entity"}
    assert document["error"] == names.get(status, HTTPStatus(status).phrase)
    details: dict[str, Any] = document["details"]
    assert details["message"] == message
    if description is not None:
        assert details["description"] == description
    return details
