"""The rows of the table, and where each is measured."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from .report import Line

#: Module and function of each row.
ROWS = {
    1: ("new_launch", "processor_row"),
    2: ("load_test", "row"),
    3: ("new_launch", "event_loop_row"),
    4: ("peers", "row"),
    5: ("in_process", "asgi_row"),
    6: ("over_sockets", "row"),
    7: ("in_process", "cookies_row"),
    8: ("memory", "row"),
    9: ("roster", "row"),
}


def lines_of(number: int, short: bool) -> list[Line]:
    """Measure one row."""
    module, name = ROWS[number]
    row: Callable[[bool], list[Line]] = getattr(import_module(f".{module}", __package__), name)
    return [line._replace(row=number) for line in row(short)]
