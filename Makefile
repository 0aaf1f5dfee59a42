# Every command of the project, one word each. `make help` lists them.
#   make test T=tests/unit        narrows to a path        make dev ARGS=--exit     passes arguments
#   make setup PYTHON=python3.12  chooses the interpreter  J=4 make test            number of parallel test processes

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SOURCES := activities api connectors devstack domain inbox rendering rules store telemetry workflows \
           $(wildcard cli.py settings.py worker.py)
T ?=
J ?= $(shell nproc 2>/dev/null || echo 2)
ARGS ?=
# one path is quicker without worker processes; the whole suite is quicker with them
PYTEST = $(BIN)/pytest $(if $(T),$(T),-n $(J) --dist loadfile)
COVERAGE = $(if $(T),,--cov --cov-report=term:skip-covered)
COMPILE = $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header

export UV_NO_PROGRESS = 1
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: $(READY) ## make .venv with everything pinned, from nothing

$(READY): requirements/uv.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; name one: make setup PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation \
	  --config-setting editable_mode=compat --editable .
	@touch $@

.PHONY: dev
dev: $(READY) ## run everything here: servers, API, worker, listener, simulators, demo (ARGS=--exit stops after the demo)
	@$(BIN)/labsetu dev $(ARGS)

.PHONY: test
test: $(READY) ## all tests (T=path narrows)
	$(PYTEST) $(COVERAGE) $(ARGS)

.PHONY: test-fast
test-fast: $(READY) ## the tests that start no server
	$(PYTEST) -m "not servers" $(ARGS)

.PHONY: fuzz
fuzz: $(READY) ## a million hostile frames, blocks and streams against all that reads from analyzers (ARGS="--seed 2")
	@$(BIN)/python -m tests.fuzz $(ARGS)

.PHONY: check
check: fmt-check lint types arch budgets test ## everything that must hold before a change is merged

.PHONY: fmt
fmt: $(READY) ## format, and fix what can be fixed by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: fmt-check
fmt-check: $(READY)
	$(BIN)/ruff format --check .

.PHONY: lint
lint: $(READY) ## ruff, all rules
	$(BIN)/ruff check .

.PHONY: types
types: $(READY) ## mypy, strict
	$(BIN)/mypy $(SOURCES)

.PHONY: arch
arch: $(READY) ## layers and other import contracts
	$(BIN)/lint-imports

.PHONY: budgets
budgets: $(READY) ## sizes, complexity, types and docstrings in numbers
	$(BIN)/pytest -q tests/architecture/test_budgets.py

.PHONY: migrate
migrate: $(READY) ## bring the database to the newest schema
	@$(BIN)/labsetu migrate

.PHONY: seed
seed: $(READY) ## fill an empty database with a demo laboratory
	@$(BIN)/labsetu seed

.PHONY: doctor
doctor: $(READY) ## what is reachable, what is wrong, what to do
	@$(BIN)/labsetu doctor

.PHONY: histories
histories: $(READY) ## record the runs that changed workflows must replay; review before committing
	@$(BIN)/python -m devstack.histories $(ARGS)

.PHONY: bench
bench: $(READY) ## measure and write bench/RESULTS.md (T="parsers render" narrows, BENCH_QUICK=1 is short)
	@$(BIN)/python -m bench $(T) $(ARGS)

.PHONY: docs
docs: $(READY) ## write the reference pages that come from code
	@$(BIN)/python -m devstack.reference

.PHONY: lock
lock: $(READY) ## pin the newest dependencies that pyproject.toml allows, with hashes
	$(COMPILE) --upgrade pyproject.toml -o requirements/base.txt
	$(COMPILE) --upgrade --extra devstack --extra test pyproject.toml -o requirements/dev.txt

.PHONY: clean
clean: ## remove what was built (.venv and caches); data in .labsetu stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache htmlcov build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
