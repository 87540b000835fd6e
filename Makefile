# `make test` is all that a bare machine with Python 3.11, Java and Maven needs.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Two processes, each with servers of its own: tests on Kafka mostly wait. What luck of timing fails
# once is tried once more, a few times in all, and shown with its traceback.
PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder \
  --reruns 1 --max-suite-reruns 4 --rerun-show-tracebacks

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install java run test train lint format bench bench-quick scaling links fuzz chaos dataset dataset-full audit constraints clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make the virtual environment

$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "expected $(PYTHON) on PATH; install Python 3.11, or say which: make PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[dev]'
	@# pip does so with what it copies; where PYTHONDONTWRITEBYTECODE is set, nobody else would
	$(BIN)/python -m compileall -q gress_ml operators
	@touch $@

java: install # Have a Java and Kafka's jars, or say what is missing
	@deploy/ensure-java.sh $(BIN)/python

run: install java ## Show the flagship topology at work on real servers
	$(BIN)/gress demo

test: install java lint ## Lint and run all tests, on real Kafka, Redis and PostgreSQL
	$(PYTEST) $(PYTEST_ARGS)

train: install ## Train the selector on build/dataset, judge it: TRAIN_ARGS='--no-publish --quick'
	$(BIN)/gress train selector $(TRAIN_ARGS)

lint: install ## Check style, types and the borders between the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## Put all files in form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install java ## Measure all that the documentation gives numbers for: BENCH_ARGS='--only gress,quix'
	$(BIN)/python -m benchmarks.run $(BENCH_ARGS)

bench-quick: install java ## The same in short, to see that it works
	$(BIN)/python -m benchmarks.run --quick $(BENCH_ARGS)

scaling: install java ## Measure what an event costs as things grow: SCALING_ARGS='--quick --write'
	$(BIN)/python -m benchmarks.scaling $(SCALING_ARGS)

links: install ## Hold the link model against kernel TCP: LINKS_ARGS='--quick'
	$(BIN)/python -m benchmarks.links $(LINKS_ARGS)

fuzz: install ## Try odd input on every door: FUZZ_ARGS='--seconds 60 --target topologies'
	$(BIN)/python -m fuzz $(FUZZ_ARGS)

chaos: install java ## Storms of a hundred blows under load, judged: CHAOS_ARGS='--scenario kill'
	$(BIN)/python -m benchmarks.chaos $(CHAOS_ARGS)

dataset: install ## Measure and label a small data set of transfers, in minutes, in build/dataset-small
	$(BIN)/gress dataset build build/dataset-small --size small $(DATASET_ARGS)

dataset-full: install ## The full one, most of an hour; goes on where it was: DATASET_ARGS='--workers 2'
	$(BIN)/gress dataset build build/dataset $(DATASET_ARGS)

audit: install ## Check dependencies: pins, licences and, where pip-audit is, known vulnerabilities
	@$(BIN)/python deploy/audit.py

constraints: ## Write down the versions that are installed now, as the tested ones
	@{ echo '# The exact versions that the tests ran on; written by `make constraints`.'; \
	  $(BIN)/python -m pip freeze --exclude-editable | grep -E '^[A-Za-z0-9._-]+=='; } > constraints.new
	@mv constraints.new constraints.txt

clean: ## End the servers; remove their data, caches and build outputs (.venv stays)
	@if [ -x $(BIN)/gress ]; then $(BIN)/gress dev down; fi
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
