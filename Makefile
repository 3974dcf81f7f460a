# From a bare clone: `make demo` shows the product at work, `make test` checks it. Both need only Python 3.11-3.13 and make.
# PYTHON picks the interpreter (make test PYTHON=python3.12), PIP_ARGS goes to pip as it is.

PYTHON ?= python3
PIP_ARGS ?=
VENV ?= .venv
INPUT ?=
ARGS ?=

BIN := $(VENV)/bin
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
PIP := $(BIN)/python -m pip --disable-pip-version-check install -c constraints.txt $(PIP_ARGS)
DATA := $(CURDIR)/../shared/data

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint format bench soak clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

demo: $(VENV)/.stamp-demo  ## install, then run `magvit2 demo`: make demo [INPUT=clip.mp4] [ARGS="--device cuda"]
	@$(BIN)/magvit2 demo $(if $(INPUT),"$(INPUT)") $(ARGS)

test: lint  ## install, then lint, types and tests
	@$(ONE_THREAD) $(BIN)/python -m pytest -n 2 $(ARGS)

lint: $(VENV)/.stamp-test  ## ruff (rules and layout) and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.stamp-test  ## let ruff lay out the code and mend what it safely can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.stamp-test  ## speed and memory, each as a ratio against a named baseline
	@$(BIN)/magvit2 benchmark lfq $(ARGS)
	@$(BIN)/magvit2 benchmark tokenizer $(ARGS)
	@$(BIN)/magvit2 benchmark streaming $(ARGS)

soak: $(VENV)/.stamp-test  ## the tests that take minutes
	@$(ONE_THREAD) $(BIN)/python -m pytest -m soak $(ARGS)

clean:  ## remove the environment and every cache; results (demo-out/, runs/) stay
	rm -rf "$(VENV)" build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Tests on real data run where the data lies beside the clone; a value that is already set wins.
ifneq ($(wildcard ../shared/data/.),)
test soak: export MAGVIT2_DATA ?= $(DATA)
endif

$(VENV)/.stamp-venv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info)' 2>/dev/null || \
		{ echo "magvit2 needs Python 3.11 or newer, and \`$(PYTHON)\` is not: run make with PYTHON=python3.12, say" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "\`$(PYTHON)\` cannot make virtual environments: install its venv package (Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@$(PYTHON) -m venv --clear "$(VENV)"
	@touch $@

$(VENV)/.stamp-demo: $(VENV)/.stamp-venv pyproject.toml constraints.txt
	@$(PIP) -e '.[demo]'
	@touch $@

# The tests' packages include the demo's.
$(VENV)/.stamp-test: $(VENV)/.stamp-venv pyproject.toml constraints.txt
	@$(PIP) -e '.[test]'
	@touch $(VENV)/.stamp-demo $@
