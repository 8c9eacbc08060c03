# `make` alone prints this menu. Every recipe is a script in scripts/, so CI and people run the same thing.
.DEFAULT_GOAL := menu
.PHONY: menu env demo test quick lint bench clean

menu:    ## print this menu
	@grep -E '^[a-z]+: .*##' Makefile | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-8s %s\n", $$1, $$2}'

env:     ## make .venv with everything the project uses
	@scripts/env

demo: env     ## convert a real network, run it in the agent, watch it in the fleet page
	@.venv/bin/python scripts/demo.py

test: env     ## lint, types, floors and the tests but the longest (installs mosquitto, PostgreSQL and Chromium when root)
	@scripts/test

quick: env    ## the tests without those marked slow
	@scripts/test quick

lint: env     ## ruff, mypy and import-linter only
	@scripts/lint

bench: env    ## the benchmarks against the peers (needs a few minutes and several GB)
	@.venv/bin/python benchmarks/convert.py

clean:   ## remove what the other recipes made
	rm -rf .venv .venv-* demo-output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache *.egg-info
