# The two commands of a newcomer are `make run` and `make test`; `make help` lists the others.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help setup setup-dev run test check format lock contracts ui-assets clean

help: ## Show these lines
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | column -t -s '|'

setup: .venv/ready ## Make the environment: hash-locked packages, nothing else

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing packages (the first time some 150 MB, a minute or two)"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch .venv/ready

.venv/ready-dev: .venv/ready requirements-dev.lock
	@echo "Installing what tests and checks need"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch .venv/ready-dev

setup-dev: .venv/ready-dev ## Make the environment with what tests and checks need

run: .venv/ready ## Start everything, tell the story, stay until Ctrl-C
	@$(BIN)/iacs up

test: .venv/ready-dev ## Run every test, on the embedded stack
	@mkdir -p .pytest_cache; \
	$(BIN)/python -m pytest -m in_a_row -p no:cacheprovider >.pytest_cache/in-a-row.log 2>&1 & row=$$!; \
	$(BIN)/python -m pytest -m "not in_a_row" -n 2 --dist loadfile; rest=$$?; \
	wait $$row; row=$$?; cat .pytest_cache/in-a-row.log; \
	test $$rest -eq 0 && test $$row -eq 0

check: .venv/ready-dev ## Format, lint, types, import rules, generated files
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m services.contracts --check
	@$(BIN)/python -m services.asyncapi --check
	@$(BIN)/python deploy/lock.py --check

format: .venv/ready-dev ## Format the code and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: .venv/ready-dev ## Choose package and jar versions anew and write their hashes
	@$(BIN)/python deploy/lock.py
	@$(BIN)/python -m shared.platform.jars

contracts: .venv/ready-dev ## Write the JSON Schemas and the AsyncAPI document of the published language
	@$(BIN)/python -m services.contracts
	@$(BIN)/python -m services.asyncapi

ui-assets: ## Compile the style sheets anew (needs Node.js; never needed to install or run)
	@sh shared/ui/source/build.sh

clean: ## Remove the environment and caches; data in .iacs stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
