"""``python -m benchmarks [--short] [--row N]…``: one table, with a verdict for every bar.

Exits with 1 only where something could not be run: a missed bar is a line of the table, because a
time on somebody else's machine proves nothing.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable
from importlib import import_module

from .report import Line, machine, table

_ROWS = {
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a smoke test: runs all, tells little")
    parser.add_argument("--row", type=int, action="append", choices=sorted(_ROWS), metavar="N")
    options = parser.parse_args()
    print(machine(), end="\n\n", flush=True)
    lines: list[Line] = []
    failed = False
    for number in options.row or _ROWS:
        module, name = _ROWS[number]
        print(f"row {number} …", file=sys.stderr, flush=True)
        try:
            row: Callable[[bool], list[Line]] = getattr(
                import_module(f".{module}", __package__), name
            )
            lines += row(options.short)
        except Exception:  # noqa: BLE001 - the other rows are run all the same
            failed = True
            traceback.print_exc()
            lines.append(Line(number, f"{module}: failed to run", ""))
    print(table(lines))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
