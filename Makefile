# make demo    train and compare the six systems (about 3 minutes on 2 idle cores), into runs/demo
# make test    lint, types, doctests and the core's tests
# make check   the same, and everything slow or optional
# make torture  kill, fill, damage and mistype everything; sizes: ARGS="--lines 2000 --step 5" (hours; see docs/robustness.md)
# make bench   time iwax beside PyTorch, Pythae and NumPyro (half an hour, idle; ARGS=--quick: 10 minutes), into runs/bench
# make pages   write what is generated from the code and the records: options, tables, pages (seconds)
# make docs    build the site, links checked, into build/site
# make package build wheel and source archive, install each into an empty environment, and use it there (some minutes)
# make lock    write requirements.lock afresh

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test quick check bench torture pages docs package lint lock clean

demo: .venv/installed
	$(BIN)/python -m iwax.experiments.demo

# Tests are mostly compilation, so the quick ones compile without optimising, and share what they have compiled;
# `make check` optimises and shares nothing. docs/design-notes.md says what each of these is worth.
test: export JAX_DISABLE_MOST_OPTIMIZATIONS = 1
test: export XLA_FLAGS = --xla_cpu_use_fusion_emitters=false
test: export JAX_COMPILATION_CACHE_DIR = $(CURDIR)/build/compiled
test: export JAX_ENABLE_COMPILATION_CACHE = true
test: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS = 0
test: .venv/installed
	mkdir -p build/compiled && find build/compiled -type f -mtime +7 -delete
	$(MAKE) --no-print-directory -j2 lint quick

# Beside lint, which takes one core for half a minute.
quick: .venv/installed
	$(BIN)/pytest -q -n auto --dist worksteal -m "not slow" src tests

check: lint
	$(BIN)/pytest -q -n auto --dist worksteal src tests

torture: export JAX_DISABLE_MOST_OPTIMIZATIONS = 1
torture: export XLA_FLAGS = --xla_cpu_use_fusion_emitters=false
torture: export JAX_COMPILATION_CACHE_DIR = $(CURDIR)/build/compiled
torture: export JAX_ENABLE_COMPILATION_CACHE = true
torture: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS = 0
torture: export PYTHONPATH = $(CURDIR)/tests
torture: .venv/installed
	mkdir -p build/compiled
	$(BIN)/python -m torture --record $(ARGS)

bench: .venv/installed .venv-peers/installed
	$(BIN)/python -m benchmarks $(ARGS)

.venv-peers/installed: benchmarks/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check -r benchmarks/peers.txt
	touch $@

# The options first: what comes after imports them.
pages: .venv/installed
	$(BIN)/python scripts/objective_options.py
	$(BIN)/python scripts/gradients_page.py
	$(BIN)/python scripts/readme.py
	$(BIN)/python scripts/which_page.py
	$(BIN)/python scripts/reproductions_page.py
	$(BIN)/python scripts/speedrun_page.py
	$(BIN)/python scripts/imputation_page.py
	$(BIN)/python -m benchmarks.page
	$(BIN)/python -m benchmarks.gpu_page
	$(BIN)/python scripts/notebook_pages.py

docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

package:
	$(PYTHON) scripts/check_package.py

lint: .venv/installed
	$(BIN)/ruff check src tests scripts benchmarks examples docs/notebooks
	$(BIN)/ruff format --check src tests scripts benchmarks examples docs/notebooks
	$(BIN)/mypy

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "iwax needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet '.[dev]'
	build/lock/bin/pip freeze --exclude iwax > requirements.lock

clean:
	rm -rf .venv .venv-peers build dist
