"""``python -m benchmarks [--short] [--row N]…``: one table, with a verdict for every target.

Exits with 1 only if something could not be run: a missed target is a line of the table, because a
time on somebody else's machine proves nothing.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from .report import Line, machine, table
from .rows import ROWS, lines_of


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a smoke test: runs all, tells little")
    parser.add_argument("--row", type=int, action="append", choices=sorted(ROWS), metavar="N")
    options = parser.parse_args()
    print(machine(), end="\n\n", flush=True)
    lines: list[Line] = []
    failed = False
    for number in options.row or ROWS:
        print(f"row {number} …", file=sys.stderr, flush=True)
        # Each in a process of its own: what one leaves in memory slows down no other.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            try:
                lines += process.submit(lines_of, number, options.short).result()
            except Exception:  # noqa: BLE001 - the other rows are run all the same
                failed = True
                traceback.print_exc()
                lines.append(Line(f"{ROWS[number][0]}: failed to run", "", row=number))
    print(table(lines))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
