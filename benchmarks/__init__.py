"""Timed comparisons: `python -m benchmarks.run PROBLEM`. An answer is checked before anything is timed."""
