"""The README, followed from top to bottom: each command and each block as it is written, in one folder.

What stands for a file of the reader's (`features.npy`, `table.parquet`, ...) is there, made of digits. What is not
done is listed in `LEFT`, with the reason.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLACEHOLDER = "/path/to/the/folder"
LEFT = {
    "make test": "the whole suite, which runs on its own",
    "pip install .": "each artifact has been installed",
    "pip install '.[onnx,parquet,embed,tracking]'": "each artifact has been installed",
}
MADE = """
import numpy as np
import pyarrow
import pyarrow.parquet
import scipy.sparse
from sklearn.datasets import load_digits

digits = load_digits()
X, y = digits.data.astype(np.float32), digits.target
np.save("features.npy", X)
np.save("features_labels.npy", y)
scipy.sparse.save_npz("text.npz", scipy.sparse.csr_matrix(X))
np.save("text_labels.npy", y)
for layer in (1, 2):
    np.savez(f"layer-{layer}.npz", X=X[:, ::layer], y=y)
columns = {f"f{number}": X[:, number] for number in range(64)}
weights = {"weight": np.ones(len(y)), "label": y}
pyarrow.parquet.write_table(pyarrow.table(columns | weights), "table.parquet")
tags = {"sky": y > 5, "sea": y % 2, "sand": y < 3}
pyarrow.parquet.write_table(pyarrow.table(columns | {k: v.astype(int) for k, v in tags.items()}), "tags.parquet")
"""


class StuckError(Exception):
    """A command or a block of the README did not do what it should; the text says which, and what came."""


def steps(text: str) -> Iterator[tuple[str, str]]:
    """('sh', one command) and ('python', one block), in their order.

    >>> list(steps("```sh\\nmake demo    # first\\n```\\n"))
    [('sh', 'make demo')]
    """
    for language, block in BLOCK.findall(text):
        if language == "python":
            yield language, block
            continue
        for line in block.splitlines():
            if command := re.sub(r"\s+#\s.*$", "", line).strip():
                yield language, command


def follow(source: Path, programs: Path, place: Path) -> Iterator[str]:
    """Do what the README of the clone `source` says, with the programs of an environment that has it and all extras.

    Yields a line for each step. Raises `StuckError` at the first one that fails.
    """
    place.mkdir()
    variables = dict(os.environ) | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "MPLBACKEND": "Agg"}
    data = variables.pop("COLINEAR_DATA", "")
    variables.pop("PYTHONPATH", None)

    def do(words: list[str], what: str, cwd: Path = place) -> None:
        done = subprocess.run(
            words, cwd=cwd, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode:
            raise StuckError(f"the README's `{what}` ended with status {done.returncode}:\n{done.stdout[-2000:]}")

    python = os.fspath(programs / "python")
    do([python, "-c", MADE], "the reader's files")
    for language, step in steps((source / "README.md").read_text("utf-8")):
        shown = step.splitlines()[0]
        if step in LEFT:
            yield f"README, left out: {shown} ({LEFT[step]})"
        elif PLACEHOLDER in step:
            if data:
                variables["COLINEAR_DATA"] = data
        elif "cifar10" in step.split() and not data:
            yield f"README, left out: {shown} (COLINEAR_DATA names no folder with CIFAR-10)"
        elif language == "python":
            do([python, "-c", step], shown)
            yield f"README, a block of Python: {shown} ..."
        elif step.startswith("make "):
            do(step.split(), step, source)
            yield f"README: {step}"
        else:
            do(["bash", "-ec", step], step)
            yield f"README: {step}"
