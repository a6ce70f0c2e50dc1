# Each target sets up .venv when it is missing or its pins have changed, then does its job.
# On a GPU machine use environment.yml instead; see docs/hpc.md.
PYTHON ?= python3
PROFILE ?= default
JOBS ?= 0
TORCH ?= torch==2.13.0
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro test lab lint format clean
.DELETE_ON_ERROR:

repro: .venv/ready  ## regenerate the paper: results/$(PROFILE)/report.html
	topokd repro --profile $(PROFILE) --jobs $(JOBS)

test: .venv/ready  ## linters, unit tests, notebooks, and the pipeline in a scratch clone
	$(MAKE) --no-print-directory lint
	pytest --durations 10 $(ARGS)

lab: .venv/ready  ## JupyterLab on the notebooks
	topokd pair
	jupyter lab --notebook-dir . notebooks

lint: .venv/ready  ## formatting, style, types, layers, notebooks in step with their scripts
	ruff format --check .
	ruff check .
	mypy
	lint-imports --no-cache
	topokd pair --check

format: .venv/ready  ## what `lint` asks for, done
	ruff format .
	ruff check --fix .
	topokd pair

clean:  ## remove the environment and everything the pipeline can make again
	rm -rf .venv workspace .dvc/cache .dvc/tmp

.venv/ready: pyproject.toml constraints.txt tools/setup.sh
	PYTHON="$(PYTHON)" TORCH="$(TORCH)" bash tools/setup.sh
