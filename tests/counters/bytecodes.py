"""How many bytecodes a piece of Python takes: a cost that does not move with the machine's load."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Bytecodes:
    """Counts in all threads that are started while it is.

    Attributes:
        counted: so far.
    """

    def __init__(self) -> None:
        self.counted = 0

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
        if event == "opcode":
            self.counted += 1
        else:
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._trace

    def of(self, call: Callable[[], object]) -> int:
        """Those that a call takes, and that are run meanwhile in threads started before."""
        before = self.counted
        call()
        return self.counted - before


@contextmanager
def counting() -> Iterator[Bytecodes]:
    """Count in this thread, and in those that are started from now on."""
    bytecodes = Bytecodes()
    before = sys.gettrace(), threading.gettrace()
    threading.settrace(bytecodes._trace)
    sys.settrace(bytecodes._trace)
    try:
        yield bytecodes
    finally:
        sys.settrace(before[0])
        threading.settrace(before[1])  # type: ignore[arg-type]


def at_most(counted: int) -> float:
    """A limit that was counted on CPython 3.11; other versions have other bytecodes."""
    return counted if sys.version_info[:2] == (3, 11) else counted * 1.1
