# Two commands do everything: `make audit` runs the main job, `make test` passes the tests.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
export OMP_NUM_THREADS ?= 2

.PHONY: audit test check faults bench bench-repair dashboard clean

audit: .venv/ready  ## Audit both teacup models and print what they get wrong
	$(BIN)/lcmis audit --limit 40

dashboard: .venv/ready  ## Look at the last audit in a browser
	$(BIN)/lcmis dashboard

test: .venv/ready-dev  ## All tests, under 15 minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile

check: .venv/ready-dev  ## Lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

faults: .venv/ready-dev  ## Every point at which a disk may fail or a process may die; minutes
	OMP_NUM_THREADS=1 LCMIS_FAULTS=all $(BIN)/pytest tests/faults

bench: .venv/ready-dev  ## What is measured, not asserted: ratios in one run
	$(BIN)/python tests/bench/bench_render.py data/teacup/teacup-narrow
	$(BIN)/python tests/bench/bench_stopping.py
	$(BIN)/python tests/bench/bench_store.py

bench-repair: .venv/ready-dev  ## Methods of repair at equal budgets, by the oracle; hours on two cores
	$(BIN)/python tests/bench/bench_repair.py --store bench-repair

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/ready-dev: .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

clean:  ## Forget the environment; audits are kept
	rm -rf .venv .mypy_cache .ruff_cache
