# Every target does its own set-up. `make help` is the list.
PYTHON := .venv/bin/python

.PHONY: help demo demo-cluster bench test test-faults test-quick sim lab docs clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

demo: ## move three real guests between three real hosts and watch (SIMULATED=1: hosts in memory)
	@tools/set-up && $(PYTHON) -m demo $(if $(SIMULATED),--simulated)

demo-cluster: ## the same with PostgreSQL, NATS, two conductors and agents, while all of them are killed
	@tools/set-up && $(PYTHON) -m demo --cluster

bench: ## what it costs, and how it compares to virsh in the lab: a table, and build/bench.json
	@tools/set-up quick && $(PYTHON) -m bench

test: ## everything, quickest first, stops at the first failure; as root on Debian the lab is part of it
	@tools/set-up && .venv/bin/godwit lab fetch && exec $(PYTHON) tools/check all

test-quick: ## all but the lab, on any machine with Python 3.11
	@tools/set-up quick && exec $(PYTHON) tools/check quick

test-faults: ## kill, freeze and cut off each process at each moment of real moves (CELLS='w*', LABS=2); goes on where it was
	@tools/set-up && $(PYTHON) -m tests.kills --cells '$(or $(CELLS),*)' --labs $(or $(LABS),1) $(if $(AGAIN),--again)

sim: ## run the whole system under seeds and break it (RUNS=300, or SEED=7 for one, step by step)
	@tools/set-up quick && .venv/bin/godwit sim $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS))

lab: ## bring up three lab hosts in the background and print the lines to type next
	@tools/set-up && .venv/bin/godwit lab up

docs: ## write the pages that are drawn from code
	@tools/set-up quick && $(PYTHON) -m tools.docs

clean: ## take the lab down, remove the virtual environment and everything built
	@if [ -x .venv/bin/godwit ]; then .venv/bin/godwit lab down --if-up; fi
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
