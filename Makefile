# Everything goes through one virtual environment, made from pyproject.toml when that changes.
VENV   := .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: run test full lint bench clean

run: $(READY)
	$(BIN)/emu run --stats examples/fork_cow.asm

test: $(READY)
	$(BIN)/python -m pytest -n 2 -q

full: $(READY)
	$(BIN)/python -m pytest -n 2 -q --full -m full

lint: $(READY)
	$(BIN)/ruff check emu mini_kernel userland tests
	$(BIN)/ruff format --check emu mini_kernel userland tests
	$(BIN)/lint-imports
	$(BIN)/pyright

bench: $(READY)
	$(BIN)/emu bench

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]' --config-settings editable_mode=compat
	$(BIN)/python -m compileall -q emu mini_kernel userland  # where PYTHONDONTWRITEBYTECODE is set, nobody else would
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
