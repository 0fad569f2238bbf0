# The two commands of a newcomer are `make run` and `make test`; `make help` lists the others.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: bench story.svg help setup setup-dev run test torture growth check format lock contracts ui-assets clean

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

test: .venv/ready-dev ## Run every test, on the embedded stack (STACK=containers: in containers, and Compose too)
	@$(BIN)/python -m tests

KILLS ?= 10
torture: .venv/ready-dev ## Let people work while KILLS=n things break, drawn from SEED=s
	@$(BIN)/python -m tests.torture --kills $(KILLS) $(if $(SEED),--seed $(SEED))

MONTHS ?= 14
growth: .venv/ready-dev ## Let MONTHS=n pass while people work, and judge what the tables keep
	@$(BIN)/python -m tests.growth --months $(MONTHS)

check: .venv/ready-dev ## Format, lint, types, import rules, generated files
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m services.contracts --check
	@$(BIN)/python -m services.compatibility --check
	@$(BIN)/python -m services.asyncapi --check
	@$(BIN)/python -m services.error_pages --check
	@$(BIN)/python -m services.settings_table --check
	@$(BIN)/python deploy/lock.py --check

format: .venv/ready-dev ## Format the code and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: .venv/ready-dev ## Choose package and jar versions anew and write their hashes
	@$(BIN)/python deploy/lock.py
	@$(BIN)/python -m shared.platform.jars

contracts: .venv/ready-dev ## Write what is generated: JSON Schemas, the AsyncAPI document, docs/errors.md, settings
	@$(BIN)/python -m services.contracts
	@$(BIN)/python -m services.asyncapi
	@$(BIN)/python -m services.error_pages
	@$(BIN)/python -m services.settings_table

bench: .venv/ready-dev ## Measure what a user pays; run nothing else meanwhile (BENCH="decisions queue" for some)
	@$(BIN)/python -m benchmarks $(BENCH)

story.svg: .venv/ready ## Record the story of a running product anew, as the README shows it
	@$(BIN)/iacs story --svg docs/story.svg

ui-assets: ## Compile the style sheets anew (needs Node.js; never needed to install or run)
	@sh shared/ui/source/build.sh

clean: ## Remove the environment and caches; data in .iacs stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
