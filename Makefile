# wideseek: `make demo` and `make test` set everything up on a machine that has Python 3.11, pip and make.
# Each target installs what it needs and no more: the demo needs the models, the training also its own packages,
# and the tests and checks also the developers' tools.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCAL := $(VENV)/installed-local
TRAIN := $(VENV)/installed-train
DEV := $(VENV)/installed-dev
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt

# Tests on real data run where that data lies beside the checkout; they skip elsewhere.
ifneq ($(wildcard ../shared/data/README.md),)
export WIDESEEK_DATA ?= $(abspath ../shared/data)
endif

SEEDS ?= 1
QUESTION := Which administrative divisions of South Africa are there? Give the provincial capital and largest city of each.

.PHONY: help demo train-demo test test-slow lint check format bench world nano clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(LOCAL): pyproject.toml constraints.txt
$(TRAIN): $(LOCAL)
$(DEV): $(TRAIN)
$(LOCAL) $(TRAIN) $(DEV): $(VENV)/installed-%:
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[$*]'
	@touch $@

demo: $(LOCAL)  ## Ask one broad question on the bundled world; prints the table with its sources
	$(BIN)/wideseek ask "$(QUESTION)"

train-demo: $(TRAIN)  ## Train the lead and subagents of nano-base by reinforcement learning (minutes; SEEDS=3 for three)
	$(BIN)/wideseek study ablation configs/nano-marl.toml --arms joint --no-controls --seeds $(SEEDS) --jobs 2 \
		--out runs/train-demo

test: $(DEV)  ## Run all tests (minutes)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto -m "not slow"

test-slow: $(DEV)  ## Run the long tests too
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto

lint: $(DEV)  ## Check format, lint, types and the import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test  ## What has to pass before a change lands: lint and test

format: $(DEV)  ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(DEV)  ## Measure: orchestration, scoring, engine, training, and search where WIDESEEK_DATA is
	$(BIN)/python bench/orchestration.py
	$(BIN)/python bench/scorer.py
	$(BIN)/python bench/engine.py
	$(BIN)/python bench/training.py
	$(if $(WIDESEEK_DATA),$(BIN)/python bench/corpus.py,@echo "bench/corpus.py: left out, WIDESEEK_DATA is not set")

world: $(DEV)  ## Build the pocket world again from its sources (byte-identical)
	$(BIN)/pip install --quiet --requirement scripts/world-requirements.txt
	$(BIN)/python scripts/build_world.py

nano: $(DEV)  ## Train the bundled nano models again (three and a half hours of two cores; goes on where it was stopped)
	cd scripts && ../$(BIN)/python -m nano.build

clean:  ## Remove what was built
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
