# Every target makes the environment .venv first; a stamp file marks it as complete.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RESULTS_ROOT ?= results

export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
# Stages set their threads; idle threads that spin cost more time than they save.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export OMP_WAIT_POLICY := PASSIVE

.PHONY: env demo test test-environments test-all lint docs benchmark gpu-check clean

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "spherovem needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[test,scale,docs]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/spherovem demo --results-root "$(RESULTS_ROOT)"

# Two processes, each with its own servers. The tests of one file stay together, since they share fixtures. PARALLEL= runs them
# one after another, PARALLEL="-n 8 --dist loadfile" in eight processes.
PARALLEL ?= -n 2 --dist loadfile

test: $(STAMP) lint
	$(BIN)/python -m pytest -m "not slow and not environment" $(PARALLEL)

# Tests that need Chromium, PostgreSQL or a separate Python environment. Without it they skip; with CI=true or
# REQUIRE_ENVIRONMENTS=1 they fail.
test-environments: $(STAMP)
	$(BIN)/python -m pytest -m environment $(PARALLEL)

test-all: $(STAMP) lint
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: $(STAMP)
	$(BIN)/sphinx-build --fail-on-warning --keep-going --nitpicky --quiet docs build/docs
	@echo "build/docs/index.html"

benchmark: $(STAMP)
	for script in $(filter-out benchmarks/gpu.py,$(wildcard benchmarks/[a-z]*.py)); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

# On a machine with a GPU, after `.venv/bin/uv pip install -c constraints.txt -e '.[gpu]'`. Exit code 3 (make: 2) says that there is none.
gpu-check: $(STAMP)
	$(BIN)/python benchmarks/gpu.py

clean:
	rm -rf .mypy_cache .ruff_cache .pytest_cache build *.egg-info
