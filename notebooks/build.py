"""Executes the notebook and stores it with its numbers, curves and templates: `make notebook`.

The .ipynb is the source, and the students': edit its cells, then run this. Its cells tagged `your-turn` define a
function that is still to be written. Everything is executed with those of `solutions.py` in their place, and stored
without, unless `--solutions` asks for the instructor's notebook. Cells tagged `data-images` show images of the data set
and are stored without output; time stamps and versions of the kernel are dropped; a notebook that is too large, shows a
local path, had an error or a solution that its check does not take is not written.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import os
import re
import socket
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from notebooks import solutions

NOTEBOOK = Path(__file__).with_name("linear_classifier.ipynb")
SWITCH = "COLINEAR_NOTEBOOK_DATA"
STRIPPED = "data-images"  # the tag of cells whose output is never stored
TURN, CHECK = "your-turn", "your-turn-check"  # the tags of a function to be written, and of the cell that checks it
MOST_BYTES = 5_000_000
CELL_SECONDS = 1800
QUIET = ["--log-level=ERROR"]  # ipykernel remarks at every start that its local ports are not encrypted
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# /folder, ~/name, C:\name: an output has no reason to show where it was made
LOCAL_PATH = re.compile(r"(?<![\w.:/<)])(?:/[A-Za-z][\w.+/-]*|~/[\w.+-]+|[A-Za-z]:\\\w)")


def read(path: Path = NOTEBOOK) -> NotebookNode:
    """The notebook as it is stored."""
    return nbformat.read(path, as_version=4)


def execute(notebook: NotebookNode, data: str) -> None:
    """Run all cells in a clean kernel, in place, on `data`. Raises nbclient's CellExecutionError if one fails."""
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}  # figures go inline
    environment["PYTHONWARNINGS"] = "ignore:IProgress not found"  # of tqdm, where that is installed: no bar is drawn
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=QUIET,
    )
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:  # not the user's: its start files may do anything
        client.execute(env=environment | {SWITCH: data, "IPYTHONDIR": profile})


def solve(notebook: NotebookNode) -> NotebookNode:
    """The instructor's notebook: each function that is still to be written is that of `solutions.py`."""
    solved = deepcopy(notebook)
    for cell in code_cells(solved):
        if TURN in tags(cell):
            name = re.findall(r"^def (\w+)", cell.source, re.MULTILINE)[0]
            cell.source = inspect.getsource(getattr(solutions, name)).rstrip()
    return solved


def hide(solved: NotebookNode, notebook: NotebookNode) -> None:
    """Put back, in place, what `notebook` has for the solutions, and drop what was said of them."""
    sources = {cell.id: cell.source for cell in notebook.cells}
    for cell in code_cells(solved):
        cell.source = sources[cell.id]
        if CHECK in tags(cell):
            cell.outputs = []


def refused(solved: NotebookNode) -> Iterator[str]:
    """The solutions that their checks do not take, one sentence each."""
    for cell in code_cells(solved):
        said = "".join(texts(cell)).strip()
        if CHECK in tags(cell) and not said.startswith("right: "):
            yield f"cell {cell.id} does not take its solution: {said}"


def tidy(notebook: NotebookNode, data: str) -> None:
    """Drop what must not be stored and what changes without meaning; note which source and data the outputs are of."""
    for cell in code_cells(notebook):
        if STRIPPED in tags(cell):
            cell.outputs = []
        cell.metadata = NotebookNode({"tags": tags(cell)} if tags(cell) else {})
    notebook.metadata = nbformat.from_dict(METADATA | {"colinear": {"data": data, "source": digest(notebook)}})


def faults(notebook: NotebookNode, machine: str = "") -> Iterator[str]:
    """What keeps the notebook from being published, one sentence each; `machine` is a name it must not tell."""
    cells = code_cells(notebook)
    if [cell.execution_count for cell in cells] != list(range(1, len(cells) + 1)):
        yield "the cells were not executed once each, from the first to the last"
    if notebook.metadata.get("colinear", {}).get("source") != digest(notebook):
        yield "the outputs belong to another source: run `make notebook`"
    for cell in cells:
        if STRIPPED in tags(cell) and cell.outputs:
            yield f"cell {cell.id} shows images of the data set, which must not be stored"
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                yield f"cell {cell.id} stored an error or a warning"
        for text in texts(cell):
            if found := LOCAL_PATH.search(text):
                yield f"cell {cell.id} shows the path {found.group()}"
            if machine and re.search(rf"\b{re.escape(machine)}\b", text):
                yield f"cell {cell.id} shows the machine's name"
    if (size := len(nbformat.writes(notebook).encode())) >= MOST_BYTES:
        yield f"it has {size:,} bytes; the limit is {MOST_BYTES:,}"


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def texts(cell: NotebookNode) -> Iterator[str]:
    """Everything a cell printed, showed as text or raised."""
    for output in cell.outputs:
        yield from [output.get("text", ""), *output.get("traceback", [])]
        yield from (str(value) for kind, value in output.get("data", {}).items() if kind.startswith("text/"))


def digest(notebook: NotebookNode) -> str:
    """16 hex digits of the code cells' source, which tell stale outputs apart."""
    return hashlib.sha256("\0".join(cell.source for cell in code_cells(notebook)).encode()).hexdigest()[:16]


def main() -> int:
    parser = argparse.ArgumentParser(prog="notebooks.build", description="Execute the notebook and store it.")
    parser.add_argument("--data", choices=("cifar10", "digits"), default="cifar10")
    parser.add_argument("--solutions", action="store_true", help="the instructor's notebook, with the solutions in it")
    parser.add_argument("--out", type=Path, help="where to write it (default: in place; needed for --solutions)")
    arguments = parser.parse_args()
    if arguments.solutions and not arguments.out:
        parser.error("--solutions needs --out FILE: the notebook in place is the students'.")
    out = arguments.out or NOTEBOOK
    notebook = read()
    solved = solve(notebook)
    execute(solved, arguments.data)
    found = list(refused(solved))
    if not arguments.solutions:
        hide(solved, notebook)
    tidy(solved, arguments.data)
    if found := [*found, *faults(solved, socket.gethostname())]:
        print("not written:", *found, sep="\n  ", file=sys.stderr)
        return 1
    nbformat.write(solved, out)
    print(f"{out.name}: {len(nbformat.writes(solved).encode()):,} bytes, executed on {arguments.data}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
