"""Fixtures for testing tools; see ``testing``.

```python
def test_a_teacher_sees_the_roster(ltiaas_client):
    client = ltiaas_client(app)
    assert "Chen Liu" in client.launch("/launch", user="ada").text
```

pytest finds this module through its entry point. It loads quickly, because it imports the sandbox
only if a test needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .testing import Client, RunningSandbox


@pytest.fixture
def ltiaas_sandbox() -> Iterator[RunningSandbox]:
    """A new sandbox, served on a loopback port.

    Each test has its own sandbox, so launches, scores and faults do not affect other tests. All
    sandboxes have the same URL and API key, so an app that reads them at import time works in every
    test.
    """
    from . import testing

    with testing.sandbox() as running:
        yield running


@pytest.fixture
def ltiaas_client(ltiaas_sandbox: RunningSandbox) -> Iterator[Callable[[Any], Client]]:
    """Creates a ``testing.Client`` for an app, with this test's sandbox."""
    from . import testing

    with ExitStack() as stack:
        yield lambda app: stack.enter_context(testing.client(app, ltiaas_sandbox))


@pytest.fixture
def ltiaas_django_client() -> Any:
    """A ``testing_django.DjangoClient``. With pytest-django, also request its ``db`` fixture."""
    from .testing_django import DjangoClient

    return DjangoClient()
