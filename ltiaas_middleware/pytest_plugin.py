"""Fixtures for the tests of tools: a local LTIAAS, there for whoever asks for it.

```python
def test_a_teacher_sees_the_roster(ltiaas_sandbox, monkeypatch):
    monkeypatch.setenv("LTIAAS_URL", ltiaas_sandbox.url)
    monkeypatch.setenv("LTIAAS_API_KEY", ltiaas_sandbox.api_key)
    client = make_app().test_client()
    ltik = ltiaas_sandbox.sandbox.issue(user="ada")
    assert "Chen Liu" in client.get(f"/launch?ltik={ltik}", follow_redirects=True).text
```

pytest finds this module by its entry point. Loading it costs nothing: the sandbox is imported only
where a test asks for it, and nothing is set anywhere: which tool is told of the sandbox, and how,
is the test's own business.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from .sandbox import Sandbox, SandboxServer


class RunningSandbox(NamedTuple):
    """What `ltiaas_sandbox` hands to a test."""

    sandbox: Sandbox
    """Issues launches, misbehaves on demand, and knows what it was asked."""
    server: SandboxServer
    """The server that it listens with."""

    @property
    def url(self) -> str:
        """The origin to configure a tool with, as `LTIAAS_URL`."""
        return self.server.url

    @property
    def api_key(self) -> str:
        """The account's key to configure a tool with, as `LTIAAS_API_KEY`."""
        return self.sandbox.api_key


@pytest.fixture
def ltiaas_sandbox() -> Iterator[RunningSandbox]:
    """A fresh sandbox, served on a free loopback port until the test is over.

    Each test has its own: no launch, score or misbehaviour reaches another test. Starting one takes
    a few milliseconds.
    """
    from .sandbox import Sandbox, SandboxServer

    with SandboxServer(Sandbox()) as server:
        yield RunningSandbox(server.sandbox, server)
