# Every target does its own set-up. `make help` is the list.
PYTHON := .venv/bin/python

.PHONY: help test test-quick clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

test: ## everything, quickest first, stops at the first failure; as root on Debian the lab is part of it
	@tools/set-up && $(PYTHON) tools/check all

test-quick: ## all but the lab, on any machine with Python 3.11
	@tools/set-up quick && $(PYTHON) tools/check quick

clean: ## take the lab down, remove the virtual environment and everything built
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
