# Everything a contributor runs. Works with GNU make 3.81 (macOS) and later; needs Python 3.11 or newer.
# `make test PYTHON=/path/to/python3.12` chooses the interpreter that .venv is made with.

PYTHON  ?=
WORKERS ?= 3
SKUS    ?= 100000

BENCH    = bench/run.py
CHANNELS_BENCH = bench/channels.py
REPLAY   = bench/replay.py

VENV = .venv
BIN  = $(VENV)/bin

.PHONY: help demo test lint format bench bench-channels replay docs dist clean

help:
	@echo "make demo            three sandbox marketplaces, a sample catalogue, buyers: the whole loop"
	@echo "make test            the whole suite, on SQLite and on a real PostgreSQL"
	@echo "make lint            ruff, mypy, import-linter"
	@echo "make format          let ruff lay out the code"
	@echo "make bench           measure every hot path beside its floor (SKUS=1000000 for the whole)"
	@echo "make bench-channels  how each adapter drains 10,000 stock changes: requests, share of the rate, refusals"
	@echo "make replay          play a month of real orders while the daemon is killed again and again"
	@echo "make replay CHANNELS=real    the same on Kaufland, Amazon, eBay, Shopify and WooCommerce at once"
	@echo "make docs            write the generated pages and the JSON Schema"
	@echo "make dist            wheel and source distribution into dist/"
	@echo "make clean           remove .venv and everything that was generated"

demo: $(VENV)/.installed
	@$(BIN)/marketsync demo $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	SKUS=$(SKUS) $(BIN)/python $(BENCH) $(ARGS)

bench-channels: $(VENV)/.dev
	$(BIN)/python $(CHANNELS_BENCH) $(ARGS)

replay: $(VENV)/.dev
	$(BIN)/python $(REPLAY) $(ARGS)

docs: $(VENV)/.installed
	$(BIN)/python -m marketsync.telemetry.docs
	$(BIN)/marketsync schema > config/marketsync.schema.json.new
	mv config/marketsync.schema.json.new config/marketsync.schema.json

dist: $(VENV)/.dev
	$(BIN)/python -m build --no-isolation

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .import_linter_cache .marketsync-demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment, made once and again whenever pyproject.toml changes. `make demo` does without the developers' tools.

$(VENV)/.python:
	@python=`sh .ci/find-python $(PYTHON)` || exit 1; \
	echo "setting up $(VENV) with $$python"; \
	"$$python" -m venv $(VENV) && $(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml
	@echo "installing marketsync into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	@echo "installing the developers' tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet --group dev
	@touch $@
