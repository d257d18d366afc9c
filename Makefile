# Every target makes the environment .venv first; a stamp file marks it as complete.
PYTHON ?= python3
VENV := .venv
UV_VERSION := 0.13.9
comma := ,
BIN := $(VENV)/bin
# CPU=true installs torch without CUDA, for machines without an NVIDIA GPU; GPU=true adds CuPy and cuCIM. An environment keeps what it was made with.
CPU ?= $(if $(wildcard $(VENV)/.installed-cpu),true)
GPU ?= $(if $(wildcard $(VENV)/.installed-gpu),true)
ifeq ($(CPU)$(GPU),truetrue)
$(error CPU=true and GPU=true exclude each other: remove $(VENV), and give one of them)
endif
STAMP := $(VENV)/.installed$(if $(filter true,$(CPU)),-cpu)$(if $(filter true,$(GPU)),-gpu)
EXTRAS := test,scale,docs$(if $(filter true,$(GPU)),$(comma)gpu)
RESULTS_ROOT ?= results

export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
# Stages set their threads; idle threads that spin cost more time than they save.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export OMP_WAIT_POLICY := PASSIVE

.PHONY: env demo test test-environments test-pythons test-slow test-all lint docs benchmark gpu-check pins bill clean

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "spherovem needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
ifeq ($(CPU),true)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend cpu --no-verify-hashes -c constraints.txt torch torchvision
endif
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[$(EXTRAS)]'
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

# Tests that need no torch, with every other Python from 3.11 on that this machine has.
test-pythons: $(STAMP)
	$(BIN)/python -m pytest tests/deployments/test_pythons.py

# Tests marked slow, one file after another: build/slow-tests.tsv lists what ran and for how long. An interrupted run goes on.
test-slow: $(STAMP)
	$(BIN)/python tests/core/slow_files.py

test-all: test test-environments test-slow

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

# On a machine with a GPU, after `make env GPU=true`. Exit code 3 (make: 2) says that there is none.
gpu-check: $(STAMP)
	$(BIN)/python benchmarks/gpu.py

# Versions of constraints.txt as they are, with the hashes of their files.
pins: $(STAMP)
	mkdir -p build
	grep -oE '^[A-Za-z0-9._-]+==[^\]*' constraints.txt > build/pins.in
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-deps --no-annotate --no-header --python-version 3.11 build/pins.in -o build/pins.txt
	{ grep '^#' constraints.txt; cat build/pins.txt; } > build/constraints.txt && mv build/constraints.txt constraints.txt

# Packages with versions and licences (CycloneDX), and their known vulnerabilities.
bill: $(STAMP)
	mkdir -p build
	$(BIN)/uvx --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py environment --pyproject pyproject.toml --mc-type application --no-validate -o build/bill-of-materials.json $(BIN)/python
	$(BIN)/uvx --quiet pip-audit==2.10.1 --strict --skip-editable --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

clean:
	rm -rf .mypy_cache .ruff_cache .pytest_cache build *.egg-info
