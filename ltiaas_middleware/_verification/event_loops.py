"""Waiting for a thread's work in a task, under asyncio or trio."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

__all__ = ["run_in", "wait_for"]

_T = TypeVar("_T")


async def run_in(executor: ThreadPoolExecutor, call: Callable[[], _T]) -> _T:
    """Run a call in a thread of the executor, in a copy of the task's context."""
    if not _under_trio():
        return await sync_to_async(call, thread_sensitive=False, executor=executor)()
    future = executor.submit(copy_context().run, call)
    await wait_for(future, None)
    return future.result()


async def wait_for(future: Future[Any], seconds: float | None) -> bool:
    """Wait until a running future is done, at most so long. A cancelled waiter cancels nobody.

    Returns:
        Whether it is done.
    """
    if future.done():
        return True
    if _under_trio():
        import trio

        token, done = trio.lowlevel.current_trio_token(), trio.Event()
        future.add_done_callback(lambda _: _tell_trio(token, done))
        with trio.move_on_after(float("inf") if seconds is None else seconds):
            await done.wait()
        return future.done()
    waiter = asyncio.wrap_future(future)
    try:
        await asyncio.wait([waiter], timeout=seconds)
    finally:
        # The future itself is running, so that this cancels nothing but the waiting.
        waiter.cancel()
    return future.done()


def _tell_trio(token: Any, done: Any) -> None:
    import trio

    # A run that is over has nobody left to be told.
    with contextlib.suppress(trio.RunFinishedError):
        token.run_sync_soon(done.set)


def _under_trio() -> bool:
    # trio runs only where something has imported it.
    trio = sys.modules.get("trio")
    return trio is not None and trio.lowlevel.in_trio_run()
