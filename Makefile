# make demo    a whole training job on this machine, set-up included
# make test    set-up, build, lint and all tests
# make lint    formatting, lint, import arrows (types are checked by the build)
# make docs    writes the generated documents (docs/operators.md)
# make setup   what the others need: Node's packages, redis-server
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build lint format test demo docs clean

help:
	@sed -n 's/^# //p' Makefile

setup:
	@deploy/setup.sh

build: setup
	@node deploy/build.mjs

lint: setup
	@node_modules/.bin/prettier --check . --cache --cache-location node_modules/.cache/prettier --log-level warn
	@node_modules/.bin/eslint . --cache --cache-location node_modules/.cache/eslint/
	@node_modules/.bin/depcruise --config .dependency-cruiser.cjs --output-type err \
	  base graph data scheduler collectives protocol worker coordinator cli test examples bench

format: setup
	@node_modules/.bin/prettier --write . --log-level warn

# TESTS names folders or files under test/: make test TESTS="unit/data e2e"
test: build lint
	@deploy/setup.sh --test
	@node deploy/test.mjs $(TESTS)

demo: build
	@node dist/examples/demo/main.js

docs: build
	@node deploy/docs.mjs

clean:
	rm -rf dist .build .demo .tap node_modules/.cache
