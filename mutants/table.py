"""What a mutant is, and the tables of them: one TOML file a floor of the house.

A table has a list `mutant` of

    file   = 'losses.py'                  below src/colinear
    old    = '''text'''                   stands there exactly once
    new    = '''other text'''             what stands there instead
    why    = 'what goes wrong then'
    tests  = 'test_losses.py -k softmax'  pytest's arguments, files in tests/; it is enough if one test fails
    survives = 'why no test can notice'   only of those that are known to
"""

from __future__ import annotations

import ast
import shlex
import tomllib
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = Path("src") / "colinear"


@dataclass(frozen=True)
class Mutant:
    """One mistake: in `file` stands `new` where `old` stood."""

    table: str
    file: str
    old: str
    new: str
    why: str
    tests: str
    survives: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.why}"

    @property
    def words(self) -> list[str]:
        """pytest's arguments, split as a shell does, with the folder of the tests before file names."""
        return [f"tests/{word}" if word.startswith("test_") else word for word in shlex.split(self.tests)]

    def apply(self, source: str) -> str:
        """The mutated source. Raises `LookupError` unless `old` stands there exactly once."""
        found = source.count(self.old)
        if found != 1:
            raise LookupError(f"the old text stands {found} times in {self.file}, not once")
        return source.replace(self.old, self.new)


@dataclass(frozen=True)
class Table:
    """All mutants of a folder of TOML files."""

    folder: Path

    @cached_property
    def mutants(self) -> list[Mutant]:
        return [
            Mutant(path.stem, **entry)
            for path in sorted(self.folder.glob("*.toml"))
            for entry in tomllib.loads(path.read_text())["mutant"]
        ]

    def choose(self, words: list[str]) -> list[Mutant]:
        """The mutants whose table, file or reason has one of the words; all without any."""
        return [m for m in self.mutants if not words or any(word in f"{m.table} {m}" for word in words)]

    def faults(self, root: Path = ROOT) -> list[str]:
        """One line for each entry that does not apply to the source and tests under `root`, or says too little."""
        found = []
        for mutant in self.mutants:
            try:
                found += [f"{mutant}: {fault}" for fault in _faults(mutant, root)]
            except (LookupError, OSError, SyntaxError) as error:
                found.append(f"{mutant}: {error}")
        seen: set[tuple[str, str]] = set()
        for mutant in self.mutants:
            key = mutant.file, mutant.why
            found += [f"{mutant}: stands twice in the tables"] if key in seen else []
            seen.add(key)
        return found


def _faults(mutant: Mutant, root: Path) -> list[str]:
    changed = mutant.apply((root / SOURCE / mutant.file).read_text())
    ast.parse(changed)  # a mistake that does not even compile proves nothing
    missing = [
        word for word in mutant.words if word.startswith("tests/") and not (root / word.split("::")[0]).is_file()
    ]
    faults = [f"there is no {word}" for word in missing]
    faults += [
        f"{field.name} is empty"
        for field in fields(mutant)[:-1]
        if not getattr(mutant, field.name).strip() and field.name != "new"
    ]
    return faults + (["old and new are the same"] if mutant.old == mutant.new else [])
