# Every command prepares what it needs: `make demo` and `make test` work on a machine with Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup setup-dev demo test test-full soak lint format rules mutants bench lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 12

setup: .venv/.runtime ## .venv with everything Rung needs to run
setup-dev: .venv/.dev ## .venv with the tools for tests as well

# pip comes last into a new environment: where it is, the environment is whole.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Rung needs Python 3.11 or newer, and $(PYTHON) is not. Try: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "This Python cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/.runtime: requirements/runtime.txt pyproject.toml | .venv/bin/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

demo: .venv/.runtime ## three sample databases and the dashboard, nothing to install
	@$(BIN)/rung demo $(ARGS)

lint: .venv/.dev ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.dev ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Three for two cores: a good part of the tests waits for something.
test: lint ## everything that must be green on every commit
	@$(BIN)/python tests/browser_setup.py
	$(BIN)/python -m pytest -n 3 --dist worksteal -m "not slow" $(ARGS)

test-full: lint ## the same and everything slow: kill sweeps, every fault, several PostgreSQL majors
	@$(BIN)/python tests/browser_setup.py
	@$(BIN)/python -m tests.full_setup
	$(BIN)/python -m pytest -n 2 --durations 20 $(ARGS)

soak: .venv/.dev ## runners killed at random moments: make soak KILLS=200 SECONDS=900 SEED=1
	@$(BIN)/python -m tests.sweep.soak --kills $(or $(KILLS),200) --seconds $(or $(SECONDS),900) $(if $(SEED),--seed $(SEED))

rules: .venv/.dev ## write docs/rules from the rules and their examples
	$(BIN)/python -m tests.rule_pages

mutants: .venv/.dev ## plant defects in copies of the runner, and count those that the tests notice
	$(BIN)/python -m tests.mutants.harness $(ARGS)

bench: .venv/.dev ## how fast, as ratios in one run
	$(BIN)/python -m bench $(ARGS)

lock: .venv/.dev ## make the lock files anew (names, versions, hashes; no addresses)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --universal --python-version 3.11 requirements/runtime.in -o requirements/runtime.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --universal --python-version 3.11 requirements/dev.in -o requirements/dev.txt

clean: ## away with what was built
	rm -rf .venv dist build .rung
