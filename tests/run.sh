#!/usr/bin/env bash
# Everything that `make test` shows, in order of how fast it fails. Extra words go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}

"$PYTHON" -m tests.programs --install

"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m mypy
lint-imports

rm -f .coverage .coverage.*
# By file: what one file starts (servers, browsers, databases) it shares.
"$PYTHON" -m pytest --numprocesses 2 --dist loadfile --cov --cov-report= "$@"
"$PYTHON" -m coverage report

# The site: every link and every name of the reference is there.
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
NO_MKDOCS_2_WARNING=1 "$PYTHON" -m mkdocs build --strict --quiet --site-dir "$site"

# As a user gets it: the wheel, in an environment of its own, in an empty folder.
folder=$(mktemp -d)
trap 'rm -rf "$site" "$folder"' EXIT
"$PYTHON" -m build --wheel --no-isolation --outdir "$folder" . >/dev/null
"$PYTHON" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$folder"/*.whl
(cd "$folder" && venv/bin/python -m ltiaas_middleware demo --check)
echo "all is well"
