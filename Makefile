# Everything here sets itself up in .venv; a stamp keeps a second call from doing it again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RESULTS_ROOT ?= results

export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
# Stages set the threads they want; idle ones that spin cost more than they give.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export OMP_WAIT_POLICY := PASSIVE

.PHONY: env demo test test-environments test-all lint docs benchmark clean

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "spherovem needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[test,scale,docs]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/spherovem demo --results-root "$(RESULTS_ROOT)"

# Two processes, each with servers of its own. A file's tests stay in one process, since they share its fixtures.
PARALLEL ?= -n 2 --dist loadfile

test: $(STAMP) lint
	$(BIN)/python -m pytest -m "not slow and not environment" $(PARALLEL)

# Tests with Chromium, PostgreSQL and Python environments of their own. They skip where one of these is absent; with CI=true
# or REQUIRE_ENVIRONMENTS=1 they fail.
test-environments: $(STAMP)
	$(BIN)/python -m pytest -m environment

test-all: $(STAMP) lint
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)
	$(BIN)/sphinx-build --fail-on-warning --keep-going --nitpicky --quiet docs build/docs
	@echo "build/docs/index.html"

benchmark: $(STAMP)
	for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf .mypy_cache .ruff_cache .pytest_cache build *.egg-info
