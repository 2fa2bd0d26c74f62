"""Hostile files and command lines against every door of the package: `python -m fuzz.run`.

A case is a small JSON value made from a seed: which files lie in a folder, and what is called on them. Each runs in a
process of its own, with limits on memory and time, and may end in two ways only: it works, or it is refused in one or
two lines.
"""
