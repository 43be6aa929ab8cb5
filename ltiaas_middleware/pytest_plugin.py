"""Fixtures for the tests of tools; see ``testing``.

```python
def test_a_teacher_sees_the_roster(ltiaas_client):
    client = ltiaas_client(app)
    assert "Chen Liu" in client.launch("/launch", user="ada").text
```

pytest finds this module by its entry point. Loading it costs nothing: the sandbox is imported only
if a test asks for it.
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
    """A fresh sandbox, served on a loopback port.

    Each test has its own: no launch, score or fault reaches another test. All have the same URL and
    API key, so that an app that read them when it was imported works in every test.
    """
    from . import testing

    with testing.sandbox() as running:
        yield running


@pytest.fixture
def ltiaas_client(ltiaas_sandbox: RunningSandbox) -> Iterator[Callable[[Any], Client]]:
    """Makes a ``testing.Client`` for an app, on this test's sandbox."""
    from . import testing

    with ExitStack() as stack:
        yield lambda app: stack.enter_context(testing.client(app, ltiaas_sandbox))


@pytest.fixture
def ltiaas_django_client() -> Any:
    """A ``testing_django.DjangoClient``; with pytest-django, ask for its ``db`` as well."""
    from .testing_django import DjangoClient

    return DjangoClient()
