"""What a run keeps until it is whole: where a search stands, the steps before it, and a note of every finished loss.

All say whose they are: settings, data, threads and versions must be the same for a run to go on from them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from colinear.checks import InputError
from colinear.datasets.base import Split, weights_fingerprint
from colinear.search.position import SearchPosition
from colinear.search.runfolder import RunFolder, check_identity
from colinear.search.settings import LOSS_NAMES, Settings
from colinear.search.written import entry_problem
from colinear.solvers.journal import Parts

CHECKPOINTS = "checkpoints"  # the folder, in that of a run


def run_identity(settings: Settings, split: Split, processes: int = 1) -> dict[str, Any]:
    """What must be the same for a checkpoint to go on: settings, data, threads, versions; processes, if several."""
    weights = weights_fingerprint(split.train)
    return {
        "settings": settings.to_json(),
        "training data": split.train.fingerprint,
        "validation data": split.validation.fingerprint,
        **({} if weights is None else {"sample weights": weights}),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "version": version("colinear"),
        **({"processes": processes} if processes > 1 else {}),
    }


@dataclass(frozen=True)
class Checkpoints:
    """The folder checkpoints/ of a run: LOSS.safetensors while a loss is searched, LOSS.json when it is finished.

    The exact path has LOSS-1.safetensors, LOSS-2.safetensors, ... too: its steps, while a loss is searched.

    Every method that reads raises `InputError` for what is damaged or of another run, that is, of another `identity`.
    """

    folder: RunFolder
    identity: dict[str, Any]

    def write(self, name: str, parts: Parts) -> None:
        self.folder.save_checkpoint(name, parts, self.identity)

    def read(self, name: str) -> Parts | None:
        """What was written under that name; None if nothing was."""
        return self.folder.load_checkpoint(name, self.identity)

    def steps(self, loss: str) -> frozenset[int]:
        """The numbers of the steps that are noted."""
        names = (path.name for path in (self.folder.path / CHECKPOINTS).glob(f"{loss}-*"))
        found = (re.fullmatch(rf"{loss}-([1-9]\d{{0,8}})\.safetensors", name) for name in names)
        return frozenset(int(match[1]) for match in found if match)

    def clear(self, loss: str) -> None:
        """Remove all that is noted of a search that is finished, but for the note that it is."""
        for name in (position_name(loss), *(step_name(loss, number) for number in self.steps(loss))):
            self.folder.remove(name)

    def save(self, loss: str, position: SearchPosition) -> None:
        self.write(position_name(loss), position.to_parts())

    def load(self, loss: str, device: torch.device) -> SearchPosition | None:
        """Where the search of `loss` stood when it was stopped; None if it was not begun."""
        parts = self.read(position_name(loss))
        try:
            return None if parts is None else SearchPosition.from_parts(*parts, device)
        except ValueError as error:
            raise self.folder.damaged_checkpoint(position_name(loss), error) from None

    def note(self, entry: dict[str, Any]) -> None:
        """Note the entry of a finished loss, so that --resume need not search it again."""
        self.folder.write_json(note_name(entry["loss"]), {"identity": self.identity, "entry": entry})

    def noted(self, loss: str) -> dict[str, Any] | None:
        """The entry of a loss that is finished; None if it is not."""
        path = self.folder.path / note_name(loss)
        if not path.is_file():
            return None
        noted = self.folder.read_json(note_name(loss))
        wrong = entry_problem(noted.get("entry")) if isinstance(noted, dict) else "it is no note of a finished loss"
        if wrong is None and noted["entry"]["loss"] != loss:
            wrong = f"it is of {noted['entry']['loss']}"
        if wrong is not None:
            raise InputError(f"{path} is damaged: {wrong}. Delete it to search {loss} anew, then --resume.")
        check_identity(f"{path}", noted.get("identity"), self.identity)
        return dict(noted["entry"])

    def refuse_foreign(self) -> None:
        """Raise `InputError`, before anything is written, for a started run of other data or settings."""
        for loss in LOSS_NAMES:
            self.noted(loss)
            for name in (position_name(loss), *(step_name(loss, number) for number in sorted(self.steps(loss)))):
                self.read(name)


def position_name(loss: str) -> str:
    """The file that says where the search of a loss stands, in the folder of its run."""
    return f"{CHECKPOINTS}/{loss}.safetensors"


def step_name(loss: str, number: int) -> str:
    """The file of a step of the exact path's search of a loss, in the folder of its run."""
    return f"{CHECKPOINTS}/{loss}-{number}.safetensors"


def note_name(loss: str) -> str:
    """The file that notes a finished loss, in the folder of its run."""
    return f"{CHECKPOINTS}/{loss}.json"
