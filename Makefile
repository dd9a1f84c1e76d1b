# Every target sets up .venv by itself. The two that matter: `make demo`, `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
FLOORS ?= build/floors
PORT ?= 8500
REST_PORT ?= 8501
MODELS ?= build/demo/models
TEST_ARGS ?=
CASES ?= 20000
ANSWERS ?= 5000
REQUESTS ?= 5000
SEED ?= 0

export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test test-floors test-system soak check bench serve protos lock format clean

help:  ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 13

$(STAMP): requirements.lock client/pyproject.toml serving/pyproject.toml training/pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vcam needs Python 3.11 or newer; choose one with PYTHON=…")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e client -e serving -e training
	@touch $@

demo: $(STAMP)  ## Train, export, serve and explain phantoms on the embedded server
	$(BIN)/python -m vcam_training.demo --out build/demo

test: $(STAMP)  ## Run the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile $(TEST_ARGS) --ignore=tests/system tests

# The floors of client/pyproject.toml, and the client's tests without what needs TensorFlow.
$(FLOORS)/.installed: $(STAMP) client/pyproject.toml tests/floors.in
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(FLOORS)
	$(BIN)/uv pip compile --quiet --resolution lowest-direct --no-header client/pyproject.toml \
	  -o $(FLOORS)/floors.txt
	$(BIN)/uv pip install --quiet --python $(FLOORS) -c $(FLOORS)/floors.txt -r tests/floors.in -e client
	@touch $@

test-floors: $(FLOORS)/.installed  ## Run the client's tests on the oldest libraries it allows
	$(FLOORS)/bin/python -m pytest -n 2 --dist loadfile $(TEST_ARGS) tests/client

test-system: $(STAMP)  ## Compare with dcm2niix, where it is installed
	$(BIN)/python -m pytest $(TEST_ARGS) tests/system

soak: $(STAMP)  ## Read 20,000 damaged files, 5,000 damaged answers and as many requests; SEED chooses which
	$(BIN)/python tests/soak/run.py --cases $(CASES) --seed $(SEED)
	$(BIN)/python tests/soak/run.py answers --cases $(ANSWERS) --seed $(SEED)
	$(BIN)/python tests/soak/rest_requests.py --cases $(REQUESTS) --seed $(SEED)

check: $(STAMP)  ## Lint, types, import rules, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	for place in client serving training; do (cd $$place && ../$(BIN)/deptry --no-ansi src) || exit 1; done
	$(BIN)/python protos/generate.py --check

bench: $(STAMP)  ## Measure, side by side with peers; writes build/bench.json
	$(BIN)/python tests/bench/run.py --out build/bench.json

serve: $(STAMP)  ## Serve MODELS with the embedded server
	$(BIN)/vcam-serve $(MODELS) --port $(PORT) --rest-port $(REST_PORT)

protos: $(STAMP)  ## Generate the Python code of protos/ again
	$(BIN)/python protos/generate.py

lock: $(STAMP)  ## Resolve requirements.lock again
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  requirements.in \
	  --no-emit-package vcam-client --no-emit-package vcam-serving --no-emit-package vcam-training \
	  -o requirements.lock

format: $(STAMP)  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove what was built; keeps .venv
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
