# Everything a newcomer needs: `make run` to try the server, `make test` to check it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_FLAGS ?=

.PHONY: help env run test lint types imports unit bench soak fuzz fuzz-short docs lock clean

help:
	@echo "make run     build the environment and start a demonstration server"
	@echo "make test    lint, types, import rules and all tests"
	@echo "make bench   measure, beside Dovecot where it is installed"
	@echo "make soak    the long crash tests, and 100,000 guesses; make fuzz   every fuzzer for a while"
	@echo "make docs    build the documentation site"

env: $(BIN)/.installed

# A venv whose last install is older than the lock is brought up to date.
$(BIN)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Pillarbox needs Python 3.11 or later; set PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --editable .
	@touch $@

run: env
	@$(BIN)/python -m pillarbox.cli.demo

test: lint types imports unit

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env
	$(BIN)/mypy

imports: env
	$(BIN)/lint-imports

unit: env
	rm -rf .run/coverage-events && mkdir -p .run/coverage-events
	PILLARBOX_EVENT_COVERAGE=$(CURDIR)/.run/coverage-events \
		$(BIN)/python -m pytest -q -n 3 --dist loadfile $(PYTEST_FLAGS)
	$(BIN)/python scripts/event_coverage.py .run/coverage-events

bench: env
	$(BIN)/python -m bench

soak: env
	PILLARBOX_CRASH_ROUNDS=200 $(BIN)/python -m pytest -q -m crash --timeout 3600 tests
	$(BIN)/python -m bench.guessing

fuzz: env
	$(BIN)/python scripts/fuzz_all.py --seconds 60

fuzz-short: env
	$(BIN)/python scripts/fuzz_all.py --seconds 5

docs: env
	$(BIN)/python -m pillarbox.cli.reference docs/reference
	$(BIN)/mkdocs build --strict --quiet

lock:
	$(BIN)/uv pip compile pyproject.toml --all-extras --generate-hashes --universal \
		--python-version 3.11 --quiet -o requirements.lock

clean:
	rm -rf $(VENV) .run site .mypy_cache .ruff_cache .pytest_cache
