"""`make mutants`: make one chosen mistake after another in a copy of the source, and see whether a test fails.

    python -m mutants.run                      all of them
    python -m mutants.run losses Armijo        those whose table, file or reason has one of these words
    python -m mutants.run --workers 4 --limit 60

A mutant is killed when a test fails, or when the tests named run into the time limit; it survives when they pass.
First every selection of tests is run on the source as it is: it has to pass. Exit status 1: more than 5 % survive, or
one does without an explanation in its table, or an entry does not apply.
"""

from __future__ import annotations

import argparse
import enum
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from mutants.table import ROOT, SOURCE, Mutant, Table

COPIED = ("src", "tests", "docs", "benchmarks", "notebooks", "mutants", "pyproject.toml", "README.md", "CHANGELOG.md")
MOST_SURVIVORS = 0.05
LIMIT = 120.0  # seconds; the slowest selection takes 10 on an idle core
SLOWER = 10  # times its seconds on the source as it is, and LIMIT at least: then a mutant hangs
# not hypothesis: pytest wants to rewrite the asserts of its plugins before they are imported
COMPANY = (
    "torch", "torch.utils.data", "numpy", "scipy.sparse", "sklearn.datasets", "sklearn.linear_model", "sklearn.svm",
    "sklearn.model_selection", "sklearn.utils.estimator_checks", "matplotlib.figure", "PIL.Image", "pooch", "typer",
    "rich.table", "safetensors.torch",
)  # fmt: skip

Item = TypeVar("Item")
Result = TypeVar("Result")


class Verdict(enum.Enum):
    """What became of a mutant."""

    KILLED = "killed"
    HANGS = "killed by the time limit"
    SURVIVED = "survived"
    BROKEN = "could not be judged"


@dataclass(frozen=True)
class Judged:
    """A mutant, its verdict, the seconds it took, and the last line that pytest said."""

    mutant: Mutant
    verdict: Verdict
    seconds: float
    said: str = ""


@dataclass
class Tree:
    """A copy of the repository in which one mutant at a time is made."""

    root: Path
    company: tuple[str, ...] = COMPANY
    _worker: subprocess.Popen[str] | None = None

    @classmethod
    def copy(cls, source: Path, root: Path, company: tuple[str, ...] = COMPANY) -> Tree:
        """What the tests need of `source`, bytecode included, so that a run need not compile it again."""
        root.mkdir()
        for name in COPIED:
            if (source / name).is_dir():
                shutil.copytree(source / name, root / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
            elif (source / name).is_file():
                shutil.copy2(source / name, root / name)
        return cls(root, company)

    def judge(self, mutant: Mutant, limit: float) -> Judged:
        """Make the mistake, run the tests named, put the source back."""
        path = self.root / SOURCE / mutant.file
        began, source = time.monotonic(), path.read_text()
        try:
            path.write_text(mutant.apply(source))
        except (LookupError, OSError) as error:
            return Judged(mutant, Verdict.BROKEN, 0.0, f"{mutant}: {error}")
        try:
            self._forget(path)  # bytecode is told apart by size and whole seconds only
            status, said = self.test(mutant.words, limit)
        finally:
            path.write_text(source)
            self._forget(path)
        return Judged(mutant, _verdict(status), time.monotonic() - began, said)

    def test(self, words: Sequence[str], limit: float) -> tuple[int | None, str]:
        """pytest's exit status, None at the time limit, and the last line it said."""
        if self._worker is None:
            self._worker = self._start()
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        self._worker.stdin.write(json.dumps({"words": list(words), "limit": limit}) + "\n")
        self._worker.stdin.flush()
        answer = self._worker.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker in {self.root} ended with {self._worker.wait()}")
        told = json.loads(answer)
        return told["status"], told["said"]

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            with self._worker as worker:
                assert worker.stdin is not None
                worker.stdin.close()
            self._worker = None

    def _start(self) -> subprocess.Popen[str]:
        # CI: hypothesis draws the same every time
        env = {**os.environ, "PYTHONPATH": str(self.root / "src"), "CI": "1", "OMP_NUM_THREADS": "1"}
        env |= {"PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "Agg"}
        env.pop("COLINEAR_DATA", None)
        return subprocess.Popen(
            [sys.executable, "-m", "mutants.worker", *self.company], cwd=self.root, env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def _forget(self, path: Path) -> None:
        for cached in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            cached.unlink()


def _verdict(status: int | None) -> Verdict:
    if status is None:
        return Verdict.HANGS
    if status < 0:
        return Verdict.KILLED  # a crash of the interpreter
    # 1: a test failed;  2: the tests could not even be imported;  4, 5: nothing was run, and nothing is known
    return {0: Verdict.SURVIVED, 1: Verdict.KILLED, 2: Verdict.KILLED}.get(status, Verdict.BROKEN)


@dataclass
class Campaign:
    """Trees at work; `say` takes one line of progress."""

    source: Path
    place: Path
    workers: int
    limit: float = LIMIT
    say: Callable[[str], None] = print
    company: tuple[str, ...] = COMPANY  # what each worker imports once
    limits: dict[str, float] = field(default_factory=dict)

    def run(self, mutants: Sequence[Mutant]) -> list[Judged]:
        """Judge every mutant. Raises `RuntimeError` if tests fail on the source as it is."""
        trees = [Tree.copy(self.source, self.place / str(number), self.company) for number in range(self.workers)]
        self._trees: SimpleQueue[Tree] = SimpleQueue()
        for tree in trees:
            self._trees.put(tree)
        try:
            failed = [line for line in self._each(self._rehearse, sorted({m.tests for m in mutants})) if line]
            if failed:
                raise RuntimeError("these tests fail without any mutant:\n" + "\n".join(failed))
            return self._each(self._judge, mutants)
        finally:
            for tree in trees:
                tree.close()

    def _each(self, work: Callable[[Tree, Item], Result], items: Iterable[Item]) -> list[Result]:
        def borrow(item: Item) -> Result:
            tree = self._trees.get()
            try:
                return work(tree, item)
            finally:
                self._trees.put(tree)

        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(borrow, items))

    def _rehearse(self, tree: Tree, tests: str) -> str:
        """Run a selection of tests on the source as it is; a line if it does not pass."""
        began = time.monotonic()
        status, said = tree.test(Mutant("", "", "", "", "", tests).words, 10 * self.limit)
        self.limits[tests] = max(self.limit, SLOWER * (time.monotonic() - began))
        return "" if status == 0 else f"  {tests}: {said}"

    def _judge(self, tree: Tree, mutant: Mutant) -> Judged:
        judged = tree.judge(mutant, self.limits[mutant.tests])
        if judged.verdict is not Verdict.KILLED:
            self.say(f"{judged.verdict.value}: {mutant} ({judged.seconds:.0f} s) {judged.said}")
        return judged


def summarize(judged: Sequence[Judged]) -> tuple[list[str], bool]:
    """Lines of the summary, and whether the campaign passed."""
    of = {verdict: [one for one in judged if one.verdict is verdict] for verdict in Verdict}
    survivors = of[Verdict.SURVIVED]
    share = len(survivors) / max(1, len(judged))
    lines = [f"{len(judged)} mutants: " + ", ".join(f"{len(of[verdict])} {verdict.value}" for verdict in Verdict)]
    lines += [f"  survives: {one.mutant}\n    {one.mutant.survives or 'NOT EXPLAINED'}" for one in survivors]
    dead = [one.mutant for one in judged if one.mutant.survives and one.verdict is not Verdict.SURVIVED]
    lines += [f"  no longer survives, delete its explanation: {mutant}" for mutant in dead]
    lines += [f"  {one.said}" for one in of[Verdict.BROKEN]]
    unexplained = any(not one.mutant.survives for one in survivors)
    if share > MOST_SURVIVORS:
        lines.append(f"{share:.1%} survive; at most {MOST_SURVIVORS:.0%} may.")
    return lines, share <= MOST_SURVIVORS and not (unexplained or of[Verdict.BROKEN])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m mutants.run", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("words", nargs="*", help="only mutants whose table, file or reason has one of these")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="copies of the source at work")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for one mutant")
    options = parser.parse_args(arguments)
    table = Table(Path(__file__).parent)
    faults, chosen = table.faults(), table.choose(options.words)
    if faults or not chosen:
        print("\n".join(faults) or "no mutant has these words")
        return 1
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        try:
            say = partial(print, flush=True)
            judged = Campaign(ROOT, Path(place), options.workers, options.limit, say).run(chosen)
        except RuntimeError as error:
            print(error)
            return 1
    lines, passed = summarize(judged)
    print("\n".join([*lines, f"{time.monotonic() - began:.0f} s on {options.workers} workers"]))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
