# `make demo` and `make test` work on a fresh clone with nothing but Python; the rest is for daily work.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench docs mutants fuzz peers clean

demo: $(VENV)/.demo
	$(BIN)/python -m ltiaas_middleware demo $(ARGS)

test: $(VENV)/.test
	PATH="$(CURDIR)/$(BIN):$$PATH" PYTHON=$(BIN)/python tests/run.sh $(ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

docs: $(VENV)/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# Changes the code in small ways, and lists the changes that no test notices.
mutants: $(VENV)/.test
	$(BIN)/python tests/mutants.py run $(ARGS)

# A million requests against an oracle written from docs/launch-paths.md, in about seven minutes.
fuzz: $(VENV)/.test
	DECISIONS=$${DECISIONS:-1000000} $(BIN)/python -m pytest -q --numprocesses 2 tests/gate/test_fuzz.py $(ARGS)

# The newest Starlette's, Flask's and Falcon's own suites, with every app wrapped; about six minutes.
peers: $(VENV)/.test
	$(BIN)/python -m tests.peers $(ARGS)

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks $(ARGS)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[async,redis,sql]" --group test
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) .nox .peers artifacts .coverage* .pytest_cache .mypy_cache .ruff_cache dist
