# Targets for people who work on tarlayers. `make check` is what CI runs first.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: install test test-all lint types check conformance golden bench targets fuzz audit clean

install: $(VENV)/ready

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e '.[dev]'
	touch $@

test: install
	$(BIN)/python -m pytest -q

# Every CPython from 3.11 on that this machine has, each in an environment of its own.
test-all:
	@for python in $$(.ci/pythons); do \
	    version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    echo "== CPython $$version ($$python)"; \
	    $(MAKE) --no-print-directory test PYTHON=$$python VENV=.venv-$$version || exit 1; \
	done

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

check: lint types test

# The command line itself against the reference archives beside the checkout.
conformance: install
	.ci/conformance $(BIN)/tarlayers

# Run every golden case and every example of the docs again and write what they print; read the difference before
# you commit it.
golden: install
	$(BIN)/python -m tests.golden
	$(BIN)/python -m tests.docs

bench: install
	$(BIN)/python -m pytest -q --benchmark-only tests/benchmarks

# Every target of docs/performance.md: TARGETS="--images DIR --runs 5 verify" measures some, on archives of your own.
targets: install
	$(BIN)/python -m tests.benchmarks.targets $(TARGETS)

# Damaged archives through every question; FUZZ=1000000 takes half a day. docs/security.md has the figures.
FUZZ ?= 20000
fuzz: install
	$(BIN)/python -m tests.fuzz $(FUZZ)
	for reader in tar compression documents tarsplit archive; do \
	    $(BIN)/python -m tests.fuzz.coverage $$reader -max_total_time=3600 || exit 1; \
	done

# Known vulnerabilities of what is installed. Needs pip-audit, and the network.
audit: install
	pip-audit --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

clean:
	rm -rf .venv .venv-* dist build .*_cache .hypothesis .benchmarks
