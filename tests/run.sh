#!/usr/bin/env bash
# Everything that `make test` shows, in order of how fast it fails. Extra words go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}

# What the tests need and pip cannot bring: a Redis, a PostgreSQL, two browsers, a load generator.
declare -A packages=(
  [redis-server]=redis-server [chromium]=chromium [chromedriver]=chromium-driver
  [firefox-esr]=firefox-esr [wrk]=wrk
)
missing=()
for program in "${!packages[@]}"; do
  command -v "$program" >/dev/null || missing+=("${packages[$program]}")
done
compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || missing+=(postgresql)
command -v certutil >/dev/null || missing+=(libnss3-tools)
if ((${#missing[@]})); then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "installing from Debian: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "The tests need these Debian packages, and only root can install them: ${missing[*]}" >&2
    echo "    sudo apt-get install ${missing[*]}" >&2
    exit 1
  fi
fi

"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m mypy
lint-imports

rm -f .coverage .coverage.*
# By file: what one file starts (servers, browsers, databases) it shares.
"$PYTHON" -m pytest --numprocesses 2 --dist loadfile --cov --cov-report= "$@"
"$PYTHON" -m coverage report

# As a user gets it: the wheel, in an environment of its own, in an empty folder.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$PYTHON" -m build --wheel --no-isolation --outdir "$folder" . >/dev/null
"$PYTHON" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$folder"/*.whl
(cd "$folder" && venv/bin/python -m ltiaas_middleware demo --check)
echo "all is well"
