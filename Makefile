# Two commands matter: `make demo` and `make test`. Both set everything up on first use.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON := .venv/bin/python
CODE := platform geo serving training migrations tests benchmarks examples docker scripts

# What programs keep for later lies in the checkout, not in the home folder; and none reports who runs it.
export XDG_CACHE_HOME := $(CURDIR)/.cache/home
export MPLCONFIGDIR := $(CURDIR)/.cache/home/matplotlib
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: help demo test lint format up clean

help: ## Show the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

.venv/.ready: pyproject.toml constraints.txt scripts/setup.sh
	scripts/setup.sh

demo: .venv/.ready ## Survey the example street: tiles in, map, GeoPackage and ranked segments out
	.venv/bin/pavemap demo

# Three processes share the cores: a process's threads would wait for each other's turns, twice as long in all.
test: export OMP_NUM_THREADS := 1
test: lint ## Linters, then every test against a real PostGIS and a real local Ray
	.venv/bin/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

lint: .venv/.ready ## ruff and mypy --strict
	.venv/bin/ruff check $(CODE)
	.venv/bin/ruff format --check $(CODE)
	.venv/bin/mypy --num-workers 2 $(CODE)

format: .venv/.ready ## Let ruff lay out the code
	.venv/bin/ruff check --fix $(CODE)
	.venv/bin/ruff format $(CODE)

up: .venv/.ready ## Run pavemap on this machine: database, Ray Serve, API
	.venv/bin/pavemap up

clean: ## Remove all that was made, experiments in .cache too, but not your surveys
	[ ! -x $(PYTHON) ] || $(PYTHON) scripts/stop_databases.py
	find $(CODE) docs -type d -name __pycache__ -prune -exec rm -rf {} +
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist demo .pavemap/demo
