# Each target sets up .venv when it is missing or its pins have changed, then does its job. `make help` lists them.
# On a GPU machine use environment.yml instead; see docs/hpc.md.
PYTHON ?= python3
PROFILE ?= default
JOBS ?= 0
TORCH ?= torch==2.13.0
# One test worker per core, at most four: each holds about 1 GB. A file's tests stay together and share its fixtures.
WORKERS ?= logical
XDIST := --numprocesses $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# Packages whose annotations `make test` checks while tests run, with commas between them; an int passes for a float, as
# in mypy. `CHECKED=topokd.topology` checks less and faster.
CHECKED ?= topokd
SHAPES := --jaxtyping-packages="$(CHECKED),beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
BIN := .venv/bin
# The programs in .venv contain the path of this folder; if it has been renamed, they are corrected first.
MOVED := $(shell tools/relocate.sh)
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro pdf check test test-bounds test-cluster lab docs lint format pins clean help
.DELETE_ON_ERROR:

repro: .venv/ready  ## regenerate the paper: results/$(PROFILE)/report.html
	topokd repro --profile $(PROFILE) --jobs $(JOBS)

pdf: .venv/ready  ## the report as PDF: results/$(PROFILE)/report.pdf (needs Chromium)
	topokd pdf --profile $(PROFILE)

check: lint  ## linters and unit tests, for use while you work: 3 minutes on two cores
	pytest $(XDIST) -m unit $(ARGS)

test: lint  ## linters, coverage, all tests but those of test-cluster: also wheel, browser, the pipeline in a clone
	pytest $(XDIST) $(SHAPES) -m "not cluster" --durations 30 --cov --cov-report term $(ARGS)

test-bounds: .venv/ready  ## all tests with compiled loops that check every index (NUMBA_BOUNDSCHECK); slower
	NUMBA_BOUNDSCHECK=1 pytest $(XDIST) -m "not cluster" $(ARGS)

test-cluster: .venv/ready  ## tests on SLURM, and those of interrupts, which take many minutes
	pytest -m cluster $(ARGS)

lab: .venv/ready  ## JupyterLab on the notebooks
	topokd pair
	-git config filter.topokd-notebook.clean 'if [ -x $(BIN)/topokd ]; then exec $(BIN)/topokd pair --clean; else cat; fi'
	jupyter lab --notebook-dir . notebooks

docs: .venv/ready  ## the documentation as a site that opens offline: site/index.html
	python tools/docs.py
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet --config-file build/mkdocs.yml --site-dir ../site
	@echo "open site/index.html"

lint: .venv/ready  ## formatting, style, types, layers, pairing of notebooks with their scripts
	ruff format --check .
	ruff check .
	mypy
	lint-imports --no-cache
	topokd pair --check

format: .venv/ready  ## fix what `lint` can fix by itself
	ruff format .
	ruff check --fix .
	python tools/comments.py
	topokd pair

pins: .venv/ready  ## write the versions installed in .venv to constraints.txt
	python tools/pins.py

clean:  ## remove the environment and everything that can be generated again
	rm -rf .venv site build dist workspace .dvc/cache .dvc/tmp

help:  ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 14

.venv/ready: pyproject.toml constraints.txt tools/setup.sh
	PYTHON="$(PYTHON)" TORCH="$(TORCH)" bash tools/setup.sh
