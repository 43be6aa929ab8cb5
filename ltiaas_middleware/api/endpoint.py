"""Defines an endpoint once, as a method of both sessions.

A class defines its endpoints as methods that return a ``Call`` or ``Pages``, or that are generators
of calls. ``install`` turns each into the method of its kind of session, which ``inspect``, ``help``
and ``mock.create_autospec`` see as a normal function. Type checkers read ``__get__``.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    TypeVar,
    get_args,
    overload,
)  # fmt: skip

from .exchange import Call, Steps
from .paging import Pages

if TYPE_CHECKING:
    from .async_session import AsyncApiSession as Tasks
    from .session import ApiSession as Threads

P = ParamSpec("P")
T = TypeVar("T")


class Endpoint(Generic[P, T]):
    """A method with one result: ``session.line_item(id)``, or ``await session.line_item(id)``."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[T] | Steps[T]]) -> None:
        self.describe = describe

    if TYPE_CHECKING:

        @overload
        def __get__(self, session: Threads, owner: Any = None) -> Callable[P, T]: ...
        @overload
        def __get__(
            self, session: Tasks, owner: Any = None
        ) -> Callable[P, Coroutine[Any, Any, T]]: ...
        def __get__(self, session: Any, owner: Any = None) -> Any: ...


class PagedEndpoint(Generic[P, T]):
    """A list that fetches each page when the loop reaches it: ``for member in session.members()``,
    or ``async for``."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Pages[T]]) -> None:
        self.describe = describe

    if TYPE_CHECKING:

        @overload
        def __get__(self, session: Threads, owner: Any = None) -> Callable[P, Iterator[T]]: ...
        @overload
        def __get__(self, session: Tasks, owner: Any = None) -> Callable[P, AsyncIterator[T]]: ...
        def __get__(self, session: Any, owner: Any = None) -> Any: ...


def install(session: type, *, asynchronous: bool) -> None:
    """Turn the endpoints that a session class inherits into functions."""
    for name in dir(session):
        endpoint = inspect.getattr_static(session, name)
        if not isinstance(endpoint, (Endpoint, PagedEndpoint)):
            continue
        signature = inspect.signature(endpoint.describe, eval_str=True)
        result = get_args(signature.return_annotation)[-1]
        if isinstance(endpoint, PagedEndpoint):
            result = (AsyncIterator if asynchronous else Iterator)[result]
        result = None if result is type(None) else result
        method: Any = _method(endpoint, asynchronous)
        method.__name__, method.__doc__ = name, endpoint.describe.__doc__
        method.__qualname__, method.__module__ = f"{session.__name__}.{name}", session.__module__
        method.__signature__ = signature.replace(return_annotation=result)
        setattr(session, name, method)


def _method(endpoint: Endpoint[..., Any] | PagedEndpoint[..., Any], asynchronous: bool) -> Any:
    describe: Callable[..., Any] = endpoint.describe

    def pages(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        # Described when it is called and not at the first item: a mistake shows where it was made.
        return self._each(describe(self, *args, **kwargs))

    def for_threads(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return self._run(describe(self, *args, **kwargs))

    async def for_tasks(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return await self._run(describe(self, *args, **kwargs))

    if isinstance(endpoint, PagedEndpoint):
        return pages
    return for_tasks if asynchronous else for_threads
