#!/usr/bin/env bash
# What `make test` shows; `make check` has the slow proofs. Extra words go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}

"$PYTHON" -m tests.programs --install

"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
lint-imports
"$PYTHON" -m tests.prose

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Types; the site, with every link and every name of the reference; and the package as a user gets
# it: the wheel, in an environment of its own, in an empty folder.
beside_the_tests() {
  set -e
  "$PYTHON" -m mypy
  NO_MKDOCS_2_WARNING=1 "$PYTHON" -m mkdocs build --strict --site-dir "$folder/site"
  "$PYTHON" -m build --wheel --no-isolation --outdir "$folder" . >/dev/null
  "$PYTHON" -m venv "$folder/venv"
  wheel=("$folder"/*.whl)
  "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "${wheel[0]}[sandbox]"
  cd "$folder"
  venv/bin/python -m ltiaas_middleware demo --check
}
(beside_the_tests) >"$folder/log" 2>&1 &
beside=$!

rm -f .coverage .coverage.*
tests=0
# More workers than processors: they wait for servers and browsers half of the time.
"$PYTHON" -m pytest --numprocesses 3 --dist loadgroup --cov --cov-report= -m "not slow and not exhaustive" "$@" || tests=$?
others=0
wait "$beside" || others=$?
cat "$folder/log"
[ "$tests" -eq 0 ] || exit "$tests"
[ "$others" -eq 0 ] || exit "$others"
"$PYTHON" -m coverage report
echo "all is well"
