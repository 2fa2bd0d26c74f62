"""Chosen mistakes in the source that the tests have to notice: `python -m mutants.run`."""
