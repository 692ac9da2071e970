# make demo     trains S5 on real handwritten digits, draws the curves, then checks itself
# make test     runs the tests
# make docs     builds the pages and the API reference, docs/_build/docs/index.html
#
# All need Python ≥ 3.11, pip and make, and put everything into an environment of their own, $(VENV); nothing is
# installed outside it, so a system Python that refuses installations (PEP 668) is no obstacle.
#
#   make demo PYTHON=/path/to/python3.12        another Python than the first suitable one
#   make test VENV=/somewhere/else              another place for the environment
#   make test ARGS="tests/cli -k json"          arguments for pytest: -n 0 for one process, -m slow for tests of minutes

SHELL := /bin/sh
VENV ?= .venv
ARGS ?=
RUN_PYTHON := "$(VENV)/bin/python"
PIP_INSTALL := $(RUN_PYTHON) -m pip install --quiet --disable-pip-version-check
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'

# An explicit PYTHON is the only candidate; otherwise the first of these that is new enough is taken.
ifneq (,$(filter undefined default,$(origin PYTHON)))
CANDIDATES := python3 python3.13 python3.12 python3.11 python3.14 python
else
CANDIDATES := "$(PYTHON)"
endif

.PHONY: help demo test docs lint types clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -n 10

# runs/demo if it is free, else the next free name: no run is ever overwritten.
demo: $(VENV)/.installed-plot
	@run=runs/demo; n=2; while [ -e "$$run" ]; do run=runs/demo-$$n; n=$$((n + 1)); done; \
	$(RUN_PYTHON) -P -m s5ref train digits --out "$$run"
	@$(RUN_PYTHON) -P -m s5ref verify --level quick
	@echo
	@echo "next: open the curves.svg named above; README.md, \"From Python\", trains on your own arrays;"
	@echo "      $(VENV)/bin/s5ref recipes lists the paper's tasks, s5ref check judges an S5 of your own"

test: $(VENV)/.installed-dev
	@$(RUN_PYTHON) -m pytest -n auto --maxprocesses 8 --dist worksteal $(ARGS)

# Every warning is an error, a link that leads nowhere included. Nothing is fetched.
docs: $(VENV)/.installed-docs
	@$(RUN_PYTHON) -m sphinx -q -W --keep-going -n -c docs . docs/_build

lint: $(VENV)/.installed-dev
	@$(RUN_PYTHON) -m ruff check .

types: $(VENV)/.installed-dev
	@$(RUN_PYTHON) -m mypy

# Editable, so that the environment always runs the files that are here, and demo and test do not undo each other.
$(VENV)/.installed-plot $(VENV)/.installed-dev $(VENV)/.installed-docs: $(VENV)/.installed-%: pyproject.toml | $(VENV)/.made
	@echo "installing s5ref[$*] and what it needs into $(VENV) (once; a minute or two)"
	@$(PIP_INSTALL) --editable ".[$*]"
	@touch "$@"

# The environment, with pip in it. First `python -m venv`; where that cannot put pip into it (Debian's Python without
# python3-venv has no ensurepip) or does not exist, virtualenv, which pip unpacks into a folder of its own: --target
# installs into no Python at all, so PEP 668 does not apply, and the folder goes away again. An environment that is
# there already is used as it is, if it can be.
$(VENV)/.made:
	@if [ -e "$(VENV)/bin/python" ] && [ ! -e "$(VENV)/.making" ]; then \
	  if $(RUN_PYTHON) $(NEW_ENOUGH) && $(RUN_PYTHON) -m pip --version >/dev/null 2>&1; then exit 0; fi; \
	  echo "$(VENV) exists, but lacks Python >= 3.11 or pip. Remove it, or name another place: make VENV=.venv-s5ref" >&2; \
	  exit 2; \
	fi; \
	python=; for p in $(CANDIDATES); do \
	  if "$$p" $(NEW_ENOUGH) >/dev/null 2>&1; then python=$$p; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "s5ref needs Python >= 3.11; none of these is one:" $(CANDIDATES) >&2; \
	  echo "Install one (python.org, or your system's python3.12), or name it: make demo PYTHON=/path/to/python3" >&2; \
	  exit 2; \
	fi; \
	mkdir -p "$(VENV)" && : > "$(VENV)/.making" || exit 2; \
	if "$$python" -m venv "$(VENV)" >"$(VENV)/.log" 2>&1 && $(RUN_PYTHON) -m pip --version >/dev/null 2>&1; then :; else \
	  echo "$$python -m venv cannot make an environment with pip here; taking virtualenv"; \
	  rm -rf "$(VENV)/bin" "$(VENV)/lib" "$(VENV)/lib64" "$(VENV)/include" "$(VENV)/pyvenv.cfg"; \
	  PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 "$$python" -m pip install --quiet --disable-pip-version-check \
	    --target "$(VENV)/.virtualenv" virtualenv && \
	  PYTHONPATH="$(VENV)/.virtualenv" "$$python" -m virtualenv --quiet "$(VENV)" || { \
	    cat "$(VENV)/.log" >&2; \
	    echo "No environment could be made with $$python: it needs the module venv with ensurepip, or pip." >&2; \
	    exit 2; \
	  }; \
	  rm -rf "$(VENV)/.virtualenv"; \
	fi; \
	rm -f "$(VENV)/.making" "$(VENV)/.log"; touch "$@"

# What was built here; runs/ stays, and so does an environment that this Makefile did not make.
clean:
	@rm -rf build dist docs/_build docs/api.md ./*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find s5ref gpu verification tests -name __pycache__ -type d -prune -exec rm -rf {} +
	@if [ -e "$(VENV)/.made" ]; then rm -rf "$(VENV)"; fi
