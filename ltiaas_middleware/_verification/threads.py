"""Threads that end with the process, however long their jobs take, and functions to wait for their
jobs in asyncio or trio tasks.

At exit, Python waits for the threads of a ``ThreadPoolExecutor``, and LTIAAS may be slow. Also, if
a thread cannot be started (because of a limit on process ids), ``ThreadPoolExecutor.submit`` raises
but keeps the job. Here, a job is either accepted and run once, or refused and never run.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, TypeVar

__all__ = ["Threads", "Ticker", "run_in", "wait_for"]

_T = TypeVar("_T")
_Job = tuple[Future[Any], Callable[[], Any]]
# How many seconds ``close`` waits for running jobs.
_END = 2.0


class Threads:
    """A pool of at most ``most`` daemon threads. The first job starts the first one, because a
    server may fork before that.

    A thread that takes a job starts the next thread if no other is free. Otherwise ``submit`` would
    do so, and an event loop that starts a thread waits for it, behind all the other threads.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._lock = threading.Lock()
        # Looked up at run time, because gevent may have replaced it after the import.
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        # The number of threads without a job.
        self._idle = 0
        self._closed = False

    def submit(self, job: Callable[..., _T], *args: Any) -> Future[_T]:
        """Run a job in one of the threads. See ``concurrent.futures.Executor.submit``.

        Raises:
            RuntimeError: the pool is shut down, or has no thread and cannot start one. The job does
                not run.
        """
        future: Future[_T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("shut down")
            if (thread := self._next()) is not None:
                try:
                    thread.start()
                except RuntimeError:
                    self._drop(thread)
                    # The existing threads will run the job, unless there are none.
                    if not self._threads:
                        raise
            self._jobs.put((future, lambda: job(*args)))
        return future

    def close(self, *, wait: bool = True) -> None:
        """Accept no more jobs, and cancel those that no thread runs yet. With ``wait``, running
        jobs get two seconds to finish."""
        with self._lock:
            self._closed = True
            with contextlib.suppress(queue.Empty):
                while True:
                    if (job := self._jobs.get_nowait()) is not None:
                        job[0].cancel()
            for _ in self._threads:
                self._jobs.put(None)
        until = time.monotonic() + _END
        for thread in list(self._threads) if wait else ():
            # One that is about to start finds that there is nothing to do.
            if thread is not threading.current_thread() and thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))

    def _next(self) -> threading.Thread | None:
        """The thread to start now, if any. The caller has the lock."""
        if self._idle or self._closed or len(self._threads) >= self._most:
            return None
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        self._threads.append(thread)
        self._idle += 1
        return thread

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._keep_one_free()
            future, call = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001 - raised by the future
                    future.set_exception(error)
            # Do not keep the job alive until the next one.
            del job, future, call
            with self._lock:
                self._idle += 1

    def _keep_one_free(self) -> None:
        with self._lock:
            self._idle -= 1
            thread = self._next()
        if thread is not None:
            try:
                thread.start()
            except RuntimeError:
                # The next job tries again.
                with self._lock:
                    self._drop(thread)

    def _drop(self, thread: threading.Thread) -> None:
        self._threads.remove(thread)
        self._idle -= 1


class Ticker:
    """Calls ``tick`` every ``seconds`` as long as it returns True, in a daemon thread that then
    ends. ``tick`` must not raise."""

    def __init__(self, seconds: float, tick: Callable[[], bool], name: str) -> None:
        self._seconds = seconds
        self._tick = tick
        self._name = name
        self._lock = threading.Lock()
        self._wanted = self._runs = False

    def wake(self) -> None:
        """Start calling the function. Raises ``RuntimeError`` if no thread can be started."""
        with self._lock:
            self._wanted = True
            if not self._runs:
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
                self._runs = True

    def _run(self) -> None:
        while True:
            time.sleep(self._seconds)
            with self._lock:
                self._wanted = False
            again = self._tick()
            with self._lock:
                if not (again or self._wanted):
                    self._runs = False
                    return


async def run_in(threads: Threads, call: Callable[[], _T]) -> _T:
    """Run a call in a thread, in a copy of the task's context."""
    future: Future[_T] = threads.submit(copy_context().run, call)
    await wait_for(future, None)
    return future.result()


async def wait_for(future: Future[Any], seconds: float | None) -> bool:
    """Wait until a future is done, or until ``seconds`` have passed, and return whether it is done.
    Canceling the waiter does not cancel the future."""
    if future.done():
        return True
    # trio can only be running if something has imported it.
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        token, done = trio.lowlevel.current_trio_token(), trio.Event()

        def tell(_: object) -> None:
            # If the trio run is over, nobody is waiting any more.
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(done.set)

        future.add_done_callback(tell)
        with trio.move_on_after(float("inf") if seconds is None else seconds):
            await done.wait()
        return future.done()
    # Imported here, because WSGI apps do not need it.
    import asyncio

    loop = asyncio.get_running_loop()
    waiter = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def call_soon(_: object) -> None:
        # If the loop is closed, nobody is waiting any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(wake)

    future.add_done_callback(call_soon)
    # Not asyncio.wait, which takes another turn of the loop.
    timer = None if seconds is None else loop.call_later(seconds, wake)
    try:
        await waiter
    finally:
        if timer is not None:
            timer.cancel()
    return future.done()
