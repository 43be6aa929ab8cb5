"""Threads that may fail to start.

Where a thread cannot be started (a limit of process ids), ``ThreadPoolExecutor.submit`` raises and
leaves the job in its queue all the same, so that what its caller was told has failed may be done
later. Here a job is either accepted and done once, or refused and never done.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["Pool"]

_T = TypeVar("_T")


class Pool(ThreadPoolExecutor):
    """Threads start when they are needed: a server may fork before.

    Args:
        threads: at most.
        name: what the names of the threads begin with.
    """

    def __init__(self, threads: int, name: str) -> None:
        super().__init__(threads, thread_name_prefix=name)
        self._ended = False
        self._has_thread = False

    def submit(self, job: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """See ``Executor.submit``.

        Raises:
            RuntimeError: the pool is shut down, or has no thread and cannot start one; the job is
                not done.
        """
        future: Future[_T] = Future()

        def run() -> None:
            self._has_thread = True
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(job(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
                future.set_exception(error)

        try:
            inner = super().submit(run)
        except RuntimeError:
            # The threads there are will get to it, unless there are none or they are to end.
            if self._ended or not self._has_thread:
                future.cancel()
                raise
        else:
            inner.add_done_callback(lambda inner: inner.cancelled() and future.cancel())
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See ``Executor.shutdown``."""
        self._ended = True
        super().shutdown(wait, cancel_futures=cancel_futures)
