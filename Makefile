# make demo    tune both classifiers on the bundled digits (no network once installed)
# make test    every test and doctest          make check   format, lint, types, import directions
# make bench   the timed comparisons           make docs    the manual, warnings as errors
# make fuzz    damaged files and hostile command lines against every door
# make notebook  execute the notebook on CIFAR-10 and store it
# make mutants   make chosen mistakes in the source: do the tests notice?
# make release-check  wheel and sdist from a clean clone: built, checked, installed, run
PYTHON ?= python3
BIN := .venv/bin
export MPLBACKEND := Agg

.PHONY: demo test check bench fuzz docs notebook mutants release-check clean
demo: .venv/.base
	$(BIN)/colinear tune digits

test: .venv/.dev
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_floors.py

bench: .venv/.dev
	$(BIN)/python -m benchmarks.run $(ARGS)

fuzz: .venv/.dev
	$(BIN)/python -m fuzz.run $(ARGS)

docs: .venv/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

notebook: .venv/.dev
	$(BIN)/python -m notebooks.build $(ARGS)

mutants: .venv/.dev
	$(BIN)/python -m mutants.run $(ARGS)

release-check: .venv/.release
	$(BIN)/python -m release.check $(ARGS)

.venv/.python:
	$(PYTHON) -m venv .venv
	touch $@

.venv/.base: .venv/.python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/.dev: .venv/.base
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv/.release: .venv/.python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[release]'
	touch $@

clean:
	rm -rf .venv build dist site
