# make test   lint, types, tests           make demo    the main job, end to end
# make lint   lint and types alone         make format  rewrite the sources in the agreed format
# make clean  remove what the others made     make bench  speed beside PyTorch (tools/bench/README.md)
#
# Each starts from nothing but a C library, make and Python >= 3.10 with its venv module; a virtual
# environment in .venv is made first, and again when pyproject.toml or constraints.txt change.
# Another Python: make test PYTHON=python3.12. One test: make test TESTS=compat_tests/test_cli.py
# One workload: make bench WORKLOAD=lenet

PYTHON ?= python3
VENV   ?= .venv
TESTS  ?= compat_tests
WORKLOAD ?=

BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: test demo bench lint format clean
.DELETE_ON_ERROR:

test: lint
	@echo "== tests"
	@$(BIN)/python -m pytest -q $(TESTS)

demo: $(STAMP)
	@$(BIN)/python porting_guide/digits/demo.py

bench: $(STAMP)
	@$(BIN)/python -m tools.bench $(WORKLOAD)

lint: $(STAMP)
	@echo "== lint"
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check || { echo "to format them: make format"; exit 1; }
	@echo "== types"
	@$(BIN)/mypy

format: $(STAMP)
	@$(BIN)/ruff check --quiet --fix-only
	@$(BIN)/ruff format

$(STAMP): pyproject.toml constraints.txt
	@echo "== installing into $(VENV)"
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 10) and f"luann needs Python 3.10, {sys.executable} is {v[0]}.{v[1]}; try make PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	@echo "== removing $(VENV) and caches"
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find luann compat_tests porting_guide tools -name __pycache__ -type d -prune -exec rm -rf {} +
