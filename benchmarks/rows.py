"""The rows of the table, and where each is measured."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from .report import Line

#: Module and function of each row.
ROWS = {
    1: ("in_process", "asgi_row"),
    2: ("in_process", "wsgi_row"),
    3: ("over_sockets", "row"),
    4: ("cold", "row"),
    5: ("growth", "row"),
    6: ("shared", "row"),
    7: ("morning", "row"),
    8: ("peers", "row"),
    9: ("roster", "row"),
    10: ("first_launch", "row"),
    11: ("earlier", "row"),
}


def lines_of(number: int, short: bool) -> list[Line]:
    """Measure one row."""
    module, name = ROWS[number]
    row: Callable[[bool], list[Line]] = getattr(import_module(f".{module}", __package__), name)
    return row(short)
