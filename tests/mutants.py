"""``python tests/mutants.py run [names…]``: mutmut, as ``make mutants`` runs it.

Not with ``-m``: that would import ``tests``, of which mutmut runs a copy.

mutmut notes which function called which in a context variable, and sets it back when a function
returns. Under an event loop that fails (``LookupError``): asgiref copies context variables between
threads and tasks. What it notes is of use only to find what to run again after a change.
"""

from __future__ import annotations

from typing import Any

from mutmut.__main__ import cli
from mutmut.core import MutmutCallStack


def _noted(_: Any) -> None:
    return None


if __name__ == "__main__":
    MutmutCallStack.set = _noted  # type: ignore[assignment,method-assign]
    MutmutCallStack.reset = _noted  # type: ignore[method-assign]
    cli()
