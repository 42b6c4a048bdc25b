# Two commands do everything: `make audit` runs the main job, `make test` passes the tests.
PYTHON ?= python3
UV ?= $(shell command -v uv)# installs faster than pip where it is at hand; `make UV= …` does without
BIN := .venv/bin
WORKERS ?= 2
THREADS ?= 2# of what is measured; an audit takes all cores

ifeq ($(UV),)
WITH := pip
HELD := , .venv holds $$(du -sh .venv 2>/dev/null | cut -f1)
VENV := $(PYTHON) -m venv .venv
# pip unpacks inside .venv, so that what it has fetched can be counted.
INSTALL := mkdir -p .venv/tmp && TMPDIR=$(CURDIR)/.venv/tmp $(BIN)/python -m pip install --quiet --disable-pip-version-check
else
WITH := uv
VENV := $(UV) venv --quiet --seed --allow-existing --python $(PYTHON) .venv
INSTALL := $(UV) pip install --python $(BIN)/python
endif

# A line every 15 seconds while something long runs, also where no terminal shows a bar.
TELL = ( seconds=0; while sleep 15 >/dev/null 2>&1; do seconds=$$((seconds + 15)); \
	echo "     … $$seconds s$(1)"; done ) & told=$$!; trap 'kill $$told 2>/dev/null' EXIT

# While it installs, the environment takes 9.8 GB, most of it PyTorch's CUDA libraries, as packages and unpacked.
DISK ?= 11# GB that must be free before it does; `make DISK=0 …` tries with any
FITS = free=$$(df -Pk . | awk 'NR == 2 { print int($$4 / 976563) }'); held=$$(du -sm .venv 2>/dev/null | cut -f1); \
	if [ $$((free + $${held:-0} / 1000)) -lt $(DISK) ]; then \
	echo "Installing needs $(DISK) GB of free disk, 7 of them for good, and here are $$free: free some, or try with \`make DISK=0 …\`." >&2; exit 2; fi

.PHONY: help audit test check families every-family faults mutants bench bench-repair dashboard site clean

help:  ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1	\2/p' $(MAKEFILE_LIST) | expand -t 16

audit: .venv/ready  ## Audit both teacup models and print what they get wrong
	@echo "3/3  auditing teacup-narrow and teacup-broad on 40 pairs; stop it anywhere, it goes on where it was"
	@if [ ! -t 1 ]; then $(call TELL,); fi; $(BIN)/lcmis audit --yes --limit 40

dashboard: .venv/ready  ## Look at the last audit in a browser
	$(BIN)/lcmis dashboard

test: .venv/ready-dev  ## All tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile

check: .venv/ready-dev  ## Lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

site: .venv/ready-docs  ## These docs and a reference of the code as pages, in build/site; no network needed to read them
	$(BIN)/python docs/site/build.py

families: .venv/ready-dev  ## Try every family of pipelines, and write what works; minutes
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 0 tests/test_families.py --write-families

every-family: .venv/ready-dev  ## All that is told of families of pipelines, but of the slowest; minutes
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) tests/test_families.py --every-family

faults: .venv/ready-dev  ## Every point at which a disk may fail or a process may die, and 10,000 hostile texts; minutes
	OMP_NUM_THREADS=1 LCMIS_FAULTS=all $(BIN)/pytest tests/faults tests/test_hostile.py

mutants: .venv/ready-dev  ## Changes in the code that no test notices. ROOM=types WHICH=mean SAMPLE=150 SLOW=1
	$(INSTALL) -c constraints.txt -e ".[mutants]"
	OMP_NUM_THREADS=1 $(BIN)/python tests/mutating.py $(or $(ROOM),judge) \
		$(if $(WHICH),--which $(WHICH)) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SLOW),--slow)

bench: .venv/ready-dev  ## What is measured, not asserted: each beside its naive peer, ratios in one run; an hour
	OMP_NUM_THREADS=$(THREADS) $(BIN)/python tests/bench/suite.py --into build/bench

bench-repair: .venv/ready-dev  ## Methods of repair at equal budgets, by the oracle; hours on two cores
	OMP_NUM_THREADS=$(THREADS) $(BIN)/python tests/bench/bench_repair.py --store bench-repair

.venv/ready: pyproject.toml constraints.txt
	@$(call FITS)
	@echo "1/3  creating an environment in .venv, with $(WITH)"
	@$(VENV)
	@echo "2/3  installing what lcmis needs, the first time only: 3 to 5 minutes, 7 GB on the disk, most of it PyTorch"
	@$(call TELL,$(HELD)); $(INSTALL) -c constraints.txt -e .
	@rm -rf .venv/tmp
	@touch $@

.venv/ready-dev: .venv/ready
	@echo "     installing what the tests need, the first time only"
	@$(call TELL,$(HELD)); $(INSTALL) -c constraints.txt -e ".[dev]"
	@rm -rf .venv/tmp
	@touch $@

.venv/ready-docs: .venv/ready
	@echo "     installing what makes the pages, the first time only"
	@$(call TELL,$(HELD)); $(INSTALL) -c constraints.txt -e ".[docs]"
	@rm -rf .venv/tmp
	@touch $@

clean:  ## Forget the environment; audits are kept
	rm -rf .venv .mypy_cache .ruff_cache
