"""The methods of both sessions are functions to ``inspect``, to ``mock`` and to type
checkers."""

from __future__ import annotations

import asyncio
import inspect
import pydoc
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, get_origin
from unittest import mock

import pytest

from ltiaas_middleware import LineItem
from ltiaas_middleware.api.async_session import AsyncApiSession
from ltiaas_middleware.api.endpoint import Endpoint, PagedEndpoint
from ltiaas_middleware.api.exchange import Call
from ltiaas_middleware.api.roster import Member
from ltiaas_middleware.api.session import ApiSession

DESCRIBED = {
    name: value
    for owner in ApiSession.__mro__
    for name, value in vars(owner).items()
    if isinstance(value, Endpoint | PagedEndpoint)
}


@pytest.mark.parametrize("name", DESCRIBED)
@pytest.mark.parametrize("session", [ApiSession, AsyncApiSession])
def test_a_method_has_the_signature_that_its_endpoint_describes(session: type, name: str) -> None:
    described = inspect.signature(DESCRIBED[name].describe, eval_str=True)
    method = getattr(session, name)
    signature = inspect.signature(method)
    assert signature.parameters == described.parameters
    assert Call not in (signature.return_annotation, get_origin(signature.return_annotation))
    paged = isinstance(DESCRIBED[name], PagedEndpoint)
    iterator = AsyncIterator if session is AsyncApiSession else Iterator
    assert (get_origin(signature.return_annotation) is iterator) is paged
    assert inspect.iscoroutinefunction(method) is (session is AsyncApiSession and not paged)
    assert method.__qualname__ == f"{session.__name__}.{name}"
    assert method.__doc__ == DESCRIBED[name].describe.__doc__
    bound = inspect.signature(getattr(session.__new__(session), name))
    assert list(bound.parameters) == list(described.parameters)[1:]


def test_the_result_is_told_by_the_signature() -> None:
    assert inspect.signature(ApiSession.line_item).return_annotation is LineItem
    assert inspect.signature(ApiSession.delete_line_item).return_annotation is None
    assert inspect.signature(ApiSession.members).return_annotation == Iterator[Member]
    assert inspect.signature(AsyncApiSession.members).return_annotation == AsyncIterator[Member]


def test_a_double_takes_what_the_session_takes() -> None:
    item = LineItem(id="1", label="x", score_maximum=1)
    api: Any = mock.create_autospec(ApiSession)(None)
    api.line_item.return_value = item
    api.members.return_value = iter(())
    assert api.line_item("1") is item
    assert list(api.members(role="Learner")) == []
    for wrong in (lambda: api.members(rol="Learner"), lambda: api.line_item()):
        with pytest.raises(TypeError):
            wrong()


def test_an_asynchronous_double_is_awaited() -> None:
    item = LineItem(id="1", label="x", score_maximum=1)
    api: Any = mock.create_autospec(AsyncApiSession, instance=True)
    api.line_item.return_value = item

    async def main() -> None:
        assert await api.line_item("1") is item
        with pytest.raises(TypeError):
            await api.line_item(wrong="1")

    asyncio.run(main())


SNIPPET = """
from ltiaas_middleware.api.session import ApiSession
from ltiaas_middleware.api.async_session import AsyncApiSession

def threads(api: ApiSession) -> None:
    reveal_type(api.line_item("1"))
    reveal_type(api.members(role="Learner"))
    reveal_type(api.delete_line_item("1"))
    reveal_type(api.line_item("1").id)

async def tasks(api: AsyncApiSession) -> None:
    reveal_type(await api.line_item("1"))
    reveal_type(api.members(role="Learner"))
    async for member in api.members():
        reveal_type(member)
"""
MISTAKES = """
from ltiaas_middleware.api.session import ApiSession
from ltiaas_middleware.api.async_session import AsyncApiSession

def threads(api: ApiSession, tasks: AsyncApiSession) -> None:
    api.members(rol="Learner")
    api.line_item(1)
    tasks.members(limit="5")
"""
REVEALED = [
    "LineItem", "Iterator[Member]", "None", "str", "LineItem", "AsyncIterator[Member]", "Member",
]  # fmt: skip


def check(tmp_path: Path, checker: str, source: str) -> str:
    file = tmp_path / "snippet.py"
    file.write_text(source)
    root = Path(__file__).parents[2]
    if checker == "mypy":
        command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(file)]
    else:
        (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}')
        command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable]
        command += ["--project", str(tmp_path), str(file)]
    return subprocess.run(command, capture_output=True, text=True, cwd=root, check=False).stdout


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_know_what_comes_back(tmp_path: Path, checker: str) -> None:
    told = check(tmp_path, checker, SNIPPET)
    found = re.findall(r'Revealed type is "([^"]*)"|is "([^"]*)"$', told, re.MULTILINE)
    types = [re.sub(r"[a-z_]+\.", "", one or other) for one, other in found]
    assert types == REVEALED, told
    assert "error" not in told.replace("0 errors", "")


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_see_a_mistake(tmp_path: Path, checker: str) -> None:
    lines = set(re.findall(r"snippet\.py:(\d+)", check(tmp_path, checker, MISTAKES)))
    assert lines == {"6", "7", "8"}


@pytest.mark.parametrize("session", [ApiSession, AsyncApiSession])
def test_help_speaks_of_results_alone(session: type) -> None:
    text = pydoc.plain(pydoc.render_doc(session))
    assert "members(" in text
    for private in ("Call[", "Steps[", "Generator", "Pages[", "Endpoint object"):
        assert private not in text
