"""One endpoint, written once: a method of both sessions.

A class lists its endpoints as methods that describe a ``Call``; ``install`` makes of each the
function that a session of its kind has. They are functions like any other to ``inspect.signature``,
``help`` and ``mock.create_autospec``; a type checker reads ``Endpoint.__get__``.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, get_args, overload

from .exchange import Call
from .paging import Page

if TYPE_CHECKING:
    from .async_session import AsyncApiSession
    from .session import ApiSession

__all__ = ["Endpoint", "PagedEndpoint", "install"]

P = ParamSpec("P")
T = TypeVar("T")


class _Described(Generic[P, T]):
    def __init__(self, describe: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self.describe = describe
        self.__doc__ = describe.__doc__

    def gives(self, signature: inspect.Signature) -> Any:
        """The type of the result, from the described call's own annotation."""
        (result,) = get_args(signature.return_annotation)
        return None if result is type(None) else result


class Endpoint(_Described[P, T]):
    """A call with one answer: ``session.line_item(id)``, or ``await session.line_item(id)``."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, session: ApiSession, owner: Any = None) -> Callable[P, T]: ...
        @overload
        def __get__(
            self, session: AsyncApiSession, owner: Any = None
        ) -> Callable[P, Coroutine[Any, Any, T]]: ...
        @overload
        def __get__(
            self, session: None, owner: type[ApiSession]
        ) -> Callable[Concatenate[ApiSession, P], T]: ...
        @overload
        def __get__(
            self, session: None, owner: type[AsyncApiSession]
        ) -> Callable[Concatenate[AsyncApiSession, P], Coroutine[Any, Any, T]]: ...
        def __get__(self, session: Any, owner: Any = None) -> Any: ...

    def for_threads(self) -> Callable[..., T]:
        describe = self.describe

        def method(self: ApiSession, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return self.run(describe(self, *args, **kwargs))

        return method

    def for_tasks(self) -> Callable[..., Coroutine[Any, Any, T]]:
        describe = self.describe

        async def method(self: AsyncApiSession, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return await self.run(describe(self, *args, **kwargs))

        return method


class PagedEndpoint(_Described[P, Page[T]], Generic[P, T]):
    """A list whose pages are fetched when they are reached: ``for member in session.members()``,
    or ``async for``."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, session: ApiSession, owner: Any = None) -> Callable[P, Iterator[T]]: ...
        @overload
        def __get__(
            self, session: AsyncApiSession, owner: Any = None
        ) -> Callable[P, AsyncIterator[T]]: ...
        @overload
        def __get__(
            self, session: None, owner: type[ApiSession]
        ) -> Callable[Concatenate[ApiSession, P], Iterator[T]]: ...
        @overload
        def __get__(
            self, session: None, owner: type[AsyncApiSession]
        ) -> Callable[Concatenate[AsyncApiSession, P], AsyncIterator[T]]: ...
        def __get__(self, session: Any, owner: Any = None) -> Any: ...

    # Described when it is called and not at the first item: a mistake shows where it was made.

    def for_threads(self) -> Callable[..., Iterator[T]]:
        describe = self.describe

        def method(self: ApiSession, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            return self.each(describe(self, *args, **kwargs))

        return method

    def for_tasks(self) -> Callable[..., AsyncIterator[T]]:
        describe = self.describe

        def method(self: AsyncApiSession, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
            return self.each(describe(self, *args, **kwargs))

        return method


def install(session: type, *, asynchronous: bool) -> None:
    """Make functions of the endpoints that a class of sessions inherits.

    Args:
        session: ``ApiSession`` or ``AsyncApiSession``.
        asynchronous: whether its methods are awaited.
    """
    for name in dir(session):
        endpoint = inspect.getattr_static(session, name)
        if not isinstance(endpoint, (Endpoint, PagedEndpoint)):
            continue
        signature = inspect.signature(endpoint.describe, eval_str=True)
        result = endpoint.gives(signature)
        if isinstance(endpoint, PagedEndpoint):
            iterator: Any = AsyncIterator if asynchronous else Iterator
            result = iterator[get_args(result)]
        method: Any = endpoint.for_tasks() if asynchronous else endpoint.for_threads()
        method.__name__, method.__doc__ = name, endpoint.describe.__doc__
        method.__qualname__, method.__module__ = f"{session.__name__}.{name}", session.__module__
        method.__signature__ = signature.replace(return_annotation=result)
        method.__annotations__ = {
            one.name: one.annotation
            for one in signature.parameters.values()
            if one.annotation is not one.empty
        } | {"return": result}
        setattr(session, name, method)
