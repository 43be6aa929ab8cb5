# `make demo` and `make test` work on a fresh clone with nothing but Python; the rest is for daily work.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check browsers lint bench docs screenshots mutants fuzz peers clean

demo: $(VENV)/.demo
	$(BIN)/python -m ltiaas_middleware demo $(ARGS)

test: $(VENV)/.test
	PATH="$(CURDIR)/$(BIN):$$PATH" PYTHON=$(BIN)/python tests/run.sh $(ARGS)

# What takes longer than `make test` should: the slow proofs, most cases in browsers, and
# 20,000 decisions.
check: $(VENV)/.test
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest --numprocesses 2 -m "slow and not exhaustive"
	DECISIONS=20000 $(BIN)/python -m pytest -q --numprocesses 2 tests/gate/test_fuzz.py

# Sessions, CSRF add-ons and the apps of many frameworks, in every browser and setting.
browsers: $(VENV)/.test $(VENV)-apps/.apps
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest --numprocesses 2 -m exhaustive tests/browsers tests/tools $(ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/python -m tests.prose

docs: $(VENV)/.test
	$(BIN)/python docs/.hooks/site.py && NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The pictures of README and the site, of what the code shows today.
screenshots: $(VENV)/.test
	$(BIN)/python -m tests.screenshots

# Changes the code in small ways, and lists the changes that no test notices.
mutants: $(VENV)/.test
	$(BIN)/python tests/mutants.py run $(ARGS)

# A million requests against an oracle written from docs/reference/requests.md, in about a quarter of an hour.
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
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[sandbox]"
	@touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[async,redis,sql,sandbox]" --group test
	@touch $@ $(VENV)/.demo

$(VENV)-apps/.apps: pyproject.toml
	$(PYTHON) -m venv $(VENV)-apps
	$(VENV)-apps/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(VENV)-apps/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[async]" --group apps
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-apps .nox .peers artifacts .coverage* .pytest_cache .mypy_cache .ruff_cache dist
