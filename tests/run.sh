#!/usr/bin/env bash
# What `make test` shows; `make check` has the slow proofs. Extra words go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
# Without bytecode, each of pytest's workers compiles every test again, with its assertions.
unset PYTHONDONTWRITEBYTECODE

"$PYTHON" -m tests.programs --install

"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
lint-imports
"$PYTHON" -m tests.prose

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The types, beside the tests, which build the site and the wheel.
"$PYTHON" -m mypy >"$log" 2>&1 &
types=$!

rm -f .coverage .coverage.*
tests=0
# More workers than processors: they wait for servers and browsers half of the time.
"$PYTHON" -m pytest --numprocesses 3 --cov --cov-report= -m "not slow and not exhaustive" "$@" || tests=$?
typed=0
wait "$types" || typed=$?
cat "$log"
[ "$tests" -eq 0 ] || exit "$tests"
[ "$typed" -eq 0 ] || exit "$typed"
"$PYTHON" -m coverage report
echo "all is well"
