# Every command sets up what it needs first, and is quick about it when nothing changed: see bootstrap/.
PYTHON ?= python3

.PHONY: help setup run style check test docs lock audit clean

help:
	@echo "make run     run the pipeline on MovieLens 100K and show what it recommends"
	@echo "make check   check style, types and imports, then run the quick tests: for while you work"
	@echo "make test    the same with every test: what continuous integration runs"
	@echo "make docs    build the pages of docs/ as a site into build/site"
	@echo "make setup   only do the set-up that these begin with"
	@echo "make lock    work the requirements/*.in into the requirements/*.lock"
	@echo "make audit   look up known vulnerabilities of what is locked, but for those in docs/security.md"
	@echo "make clean   remove what the set-up and the checks made"

setup:
	@$(PYTHON) -m bootstrap

run: setup
	@.venv/bin/python local_runner.py

style: setup
	@.venv/bin/ruff check --quiet
	@.venv/bin/ruff format --quiet --check
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo

# The tests of a file run in one process, for they share fixtures; files in the order of tests/conftest.py. Compiled
# modules and rewritten assertions are kept even if the environment says not to: tests start many interpreters.
pytest = PYTHONDONTWRITEBYTECODE= .venv/bin/pytest \
	--numprocesses 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

check: style
	@$(pytest) -m "not slow and not e2e"

test: style
	@$(pytest)

# The variable silences a notice of the theme's about another major version of MkDocs than the locked one.
docs: setup
	@NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict
	@echo "The pages begin at build/site/index.html"

# uv reads no configuration here, so that nobody's own index gets into the lock files. A version changes when its .in
# file asks for it; delete a lock file to have the newest of everything.
compile = .tools/bin/uv pip compile --quiet --no-config --generate-hashes --python-version 3.10 \
	--python-platform x86_64-manylinux_2_28 --custom-compile-command "make lock"

lock: setup
	@$(compile) requirements/tools.in --output-file requirements/tools.lock
	@$(compile) requirements/build.in --output-file requirements/build.lock
	@$(compile) requirements/runtime.in --output-file requirements/runtime.lock --build-constraints requirements/build.lock
	@$(compile) requirements/dev.in --output-file requirements/dev.lock
	@$(compile) requirements/benchmarks.in --output-file requirements/benchmarks.lock

# Asks a server on the internet; its answer changes while nothing here does. So it is no part of `make test`.
audit: setup
	@.venv/bin/python -m bootstrap.audit

clean:
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
