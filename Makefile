# Needs Python 3.11+ and make; everything else is installed into .venv on first use.
PYTHON ?= python3
BIN := .venv/bin
HOOKSIFT = $(BIN)/hooksift $(if $(CONFIG),--config $(CONFIG))
UV_VERSION := 0.13.9

.DEFAULT_GOAL := help
.PHONY: bench-history bench-enrich help setup demo serve lab test test-all check bench faults soak clean

help: ## what one can make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/'

.venv/.ready: requirements.lock pyproject.toml
	@echo "Setting up .venv from requirements.lock (once; about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Hooksift needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 ...")'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python -e .
	@touch $@

setup: .venv/.ready ## create .venv (the others do it by themselves)

demo: .venv/.ready ## the whole product, end to end, on signed sample deliveries
	@$(HOOKSIFT) demo $(ARGS)

serve: .venv/.ready ## all stages at once
	@$(HOOKSIFT) serve $(ARGS)

lab: .venv/.ready ## JupyterLab on the notebooks
	@$(HOOKSIFT) lab $(ARGS)

test: .venv/.ready ## the tests that need Python only
	@$(BIN)/python -m pytest -m "not heavy" $(ARGS)

test-all: .venv/.ready ## also those that need Debian packages, Node, root or over a minute
	@HOOKSIFT_TEST_NO_SKIP=1 $(BIN)/python -m pytest $(ARGS)

bench: .venv/.ready ## measure receiving, serving, claims, upkeep and a flood of forgeries into tests/bench/RESULTS.md; after some minutes of running: make bench MINUTES=10
	@$(BIN)/python -m tests.bench.receive --minutes $(or $(MINUTES),0) --write $(ARGS)
	@$(BIN)/python -m tests.bench.serve --minutes $(or $(MINUTES),0) --write
	@$(BIN)/python -m tests.bench.two_receivers --write
	@$(BIN)/python -m tests.bench.claim --write
	@$(BIN)/python -m tests.bench.upkeep --write
	@$(BIN)/python -m tests.bench.flood

faults: .venv/.ready ## kill, crash and fill up everything, and count what became of it; longer: make faults CHAOS_SECONDS=600
	@CHAOS_SECONDS=$(or $(CHAOS_SECONDS),60) $(BIN)/python -m pytest tests/faults tests/analytics/test_landing_kill.py tests/acceptance/test_kill.py $(ARGS)

soak: .venv/.ready ## a long run at a fixed rate, memory and files must not grow: make soak MINUTES=30
	@$(BIN)/python -m tests.bench.soak --minutes $(or $(MINUTES),30) --write $(ARGS)

check: .venv/.ready ## format, lint, types
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

bench-history: .venv/.ready ## the notebooks' questions on ten million made-up events (15 GB of disk)
	@$(BIN)/python -m tests.bench.history --write $(ARGS)
	@$(BIN)/python -m tests.bench.landing --write

bench-enrich: .venv/.ready ## how close to a model's limit calls come; fingerprints of public logs, where the samples are
	@$(BIN)/python -m tests.bench.pace --write $(ARGS)
	@$(BIN)/python -m tests.bench.fingerprint --write

clean: ## remove .venv and caches
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
