"""Timed comparisons: `python -m benchmarks.run PROBLEM`. The answer is checked before anything is timed."""
