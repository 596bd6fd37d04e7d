# `make demo` and `make test` set themselves up: they need Python, make and git, nothing else.

PYTHON ?= python3
VENV ?= .venv
CORPUS ?= ../shared/corpus
BIN = $(VENV)/bin

# What pages of some tests load; where there is no npm, these tests are skipped.
NODE = @hotwired/turbo@8.0.23 htmx2@npm:htmx.org@2.0.11 htmx4@npm:htmx.org@4.0.1

.PHONY: demo test fuzz mutation soak matrix lint docs bench bench-growth bench-profile bench-check linear clean

demo: $(VENV)/ready
	@$(BIN)/python -m examples.demo

test: $(VENV)/ready
	$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder $(or $(ARGS),--cov)

mutation: $(VENV)/ready
	@$(BIN)/python -m mutation $(ARGS)

soak: $(VENV)/ready
	@PYTHONPATH=tests $(BIN)/python -m soak $(ARGS)

fuzz: $(VENV)/fuzz-ready
	@$(BIN)/python -m fuzzing $(ARGS)

matrix: $(VENV)/ready
	$(BIN)/nox $(ARGS)

lint: $(VENV)/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: $(VENV)/ready
	$(BIN)/sphinx-build --fresh-env --write-all --fail-on-warning --keep-going --quiet $(ARGS) docs build/docs
	@echo "build/docs/index.html"

bench: $(VENV)/bench-ready
	@$(BIN)/python -m benchmarks --corpus $(CORPUS) $(ARGS)

bench-growth: $(VENV)/bench-ready
	@$(BIN)/python -m benchmarks growth --corpus $(CORPUS) $(ARGS)

bench-profile: $(VENV)/bench-ready
	@$(BIN)/python -m benchmarks.profile --corpus $(CORPUS)

bench-check: $(VENV)/ready
	@$(BIN)/python -m benchmarks.instructions $(ARGS)

linear: $(VENV)/ready
	@$(BIN)/python -m benchmarks.linear $(ARGS)

clean:
	rm -rf $(VENV) .nox build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(VENV)/ready: requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -e .
	@command -v npm >/dev/null || exit 0; npm install --prefix $(VENV)/node --silent --no-save --no-package-lock --no-audit --ignore-scripts $(NODE) || echo "npm cannot fetch $(NODE): the tests that need them are skipped."
	@touch $@

$(VENV)/fuzz-ready: requirements-fuzz.txt $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-fuzz.txt
	@touch $@

$(VENV)/bench-ready: requirements-bench.txt $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	@touch $@
