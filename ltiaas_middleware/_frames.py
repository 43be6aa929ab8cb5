"""Keeps the settings out of the frames in an exception's traceback, because error trackers show the
local variables of each frame."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import wraps
from types import FrameType, TracebackType
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

# Whose frames hold a setting while one is looked at: the package's own, and what it gives the URLs
# of databases to. Everything else is the app's own code.
_HIDDEN = {"ltiaas_middleware", "redis", "sqlalchemy", *sys.stdlib_module_names} - {"__main__"}


def without_arguments(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """``function``, but raising from a frame without its arguments. The traceback keeps only the
    app's own frames, such as those of a cache object that the app passes."""

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except Exception as caught:  # noqa: BLE001 - it is raised again below
            error = caught
        args = ()  # type: ignore[assignment]
        kwargs.clear()
        try:
            raise error.with_traceback(_hide_frames(error))
        finally:
            del error  # It holds this frame, which would hold it.

    return call


def _hide_frames(error: BaseException) -> TracebackType | None:
    """The app's own frames of a traceback, or None. Without any, what the error was raised from is
    forgotten, too: it has frames of its own."""
    apps = [tb for tb in _each(error.__traceback__) if not _is_hidden(tb.tb_frame)]
    kept: TracebackType | None = None
    for tb in reversed(apps):
        kept = TracebackType(kept, tb.tb_frame, tb.tb_lasti, tb.tb_lineno)
    if kept is None:
        error.__cause__ = error.__context__ = None
    return kept


def _each(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _is_hidden(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    # Generated code has no module's name (SQLAlchemy's wrappers); it is nobody's to read.
    return not name or name.partition(".")[0] in _HIDDEN
