"""A run whose every loss is finished, read back from its folder."""

from __future__ import annotations

from colinear.checks import InputError
from colinear.datasets.base import Split
from colinear.model import LinearModel
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.tune import LossRun
from colinear.search.written import check_settings_of_results, read_results


def finished_runs(settings: Settings, split: Split, folder: RunFolder) -> list[LossRun]:
    """Return the losses of a finished run (without `result` and `test`), or nothing if there is work left.

    Raises `InputError` if results.json is damaged or has other settings, or if the run was trained on other rows than
    those of `split`.
    """
    if not (folder.path / "results.json").is_file() or any((folder.path / "checkpoints").glob("*")):
        return []
    results = read_results(folder)
    check_settings_of_results(folder, results, settings)
    entries = results["runs"]
    same = results["dataset"]["fingerprint"] == split.train.fingerprint
    whole = tuple(entry["loss"] for entry in entries) == settings.losses
    if not whole:
        return []
    if not same:
        raise InputError(f"{folder.path} is a run on other data than {settings.data} holds now. Start a new run.")
    models = [LinearModel.load(folder.path / f"model-{entry['loss']}.safetensors") for entry in entries]
    return [LossRun(entry["loss"], model, entry, None, None) for entry, model in zip(entries, models, strict=True)]
