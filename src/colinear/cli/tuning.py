"""`colinear tune` and `colinear fit`: from options to settings, from settings to a folder of results."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from colinear.checks import InputError, check_number
from colinear.cli.console import Output
from colinear.cli.extracting import open_raw, open_rows
from colinear.cli.layers import run_layers
from colinear.cli.progress import Watcher, heard, open_log, patience, stop
from colinear.cli.signals import Stopped
from colinear.cli.together import following, together
from colinear.cli.tries import refuse_try, run_tries
from colinear.datasets import draw_shots
from colinear.datasets.base import Split
from colinear.datasets.shardfiles import EMBEDDINGS
from colinear.datasets.sources import NAMED
from colinear.outputs import MODEL, check_output
from colinear.parallel.group import Group
from colinear.parallel.launch import GroupError, Launch
from colinear.search.checkpoints import CHECKPOINTS
from colinear.search.classweights import class_weights, names_file
from colinear.search.device import pick_device
from colinear.search.memory import check_memory
from colinear.search.option import check_needs, list_options, solver_parameters
from colinear.search.regs import parse_regs
from colinear.search.runfolder import RunFolder, check_identity, refuse_used
from colinear.search.settings import Settings
from colinear.search.tries import tune_tries
from colinear.search.tune import Run, check_labels, check_processes, sgd_search, tune
from colinear.search.winner import LossRun
from colinear.search.written import read_settings
from colinear.tracking import TensorBoardLog, find_writer

Values = Mapping[str, Any]


def run_tune(values: Values, given: Mapping[str, str]) -> None:
    """Run or resume a search, or one for each layer of a network; show it, and write its figures."""
    if values["resume"] is None and Launch.find() is None:
        settings = tune_settings(values, given)
        if len(settings.layers or ()) > 1:
            _check_auto(values)
            named = {**given, "out": "--out"}
            place = partial(_default_folder, settings.data)
            run_layers(values, settings, place, lambda one, output: _run_one(one, named, output))
            return
    _run_one(values, given, Output(quiet=values["quiet"], as_json=values["json"]))


def _run_one(values: Values, given: Mapping[str, str], output: Output) -> None:
    with together(values["timeout"]) as group:
        if group.leads:
            _lead(values, given, group, output)
            return
        settings, split = _begin(values, given, Output(quiet=True), group)
        try:
            with following():
                if settings.shots is not None:
                    tune_tries(settings, split, None, group=group)
                elif not group.gather(False)[0]:
                    tune(settings, split, None, group=group)
        except GroupError as error:  # the first process may be the one that has gone
            place = values["resume"] or values["out"] or "RUN"
            raise GroupError(f"{error} What is written in {place} is kept. Go on with --resume {place}") from None


def _begin(values: Values, given: Mapping[str, str], output: Output, group: Group) -> tuple[Settings, Split]:
    """The settings and all rows, checked before a folder is made."""
    group.agree({"--resume": values["resume"]})
    if values["resume"] is not None:
        read = _settings_of(Path(values["resume"]), given).to_json() if group.leads else {}  # others may not see it
        settings = Settings(**group.gather(read)[0])
        check_processes(settings, group)
        return settings, open_rows(settings, output, partial(open_raw, group=group))
    settings = tune_settings(values, given)
    check_processes(settings, group)
    _check_auto(values)
    goes_on = group.leads and _goes_on(values)
    if values["out"] is not None and group.leads and not goes_on:
        refuse_used(Path(values["out"]))
    split = open_rows(settings, output, partial(open_raw, group=group))
    settings = settle(settings, values["regs"], split)
    if goes_on:
        theirs = _settings_of(Path(values["out"]), {})
        check_identity(f"{values['out']}", {"settings": theirs.to_json()}, {"settings": settings.to_json()})
    return settings, split


def settle(settings: Settings, regs: str | None, split: Split) -> Settings:
    """`settings` with the strengths that the text `regs` names for these rows, checked as far as they decide."""
    check_labels(settings, split.train)
    rows = split.train if settings.shots is None else draw_shots(split.train, settings.shots, settings.seed)
    if settings.regs is not None:
        settings = replace(settings, regs=parse_regs(str(regs), rows.n_samples))
    class_weights(settings.class_weight, rows)
    check_memory(settings, split.train.n_classes, split.train.n_features + 1, pick_device(settings.device))
    return settings


def _check_auto(values: Values) -> None:
    if values["auto_resume"] and values["out"] is None:
        raise InputError("--auto-resume needs --out, the folder of the run that it begins or goes on with. Add --out.")


def _goes_on(values: Values) -> bool:
    """Whether there is a run to go on with."""
    begun = values["auto_resume"] and (Path(values["out"]) / "settings.json").exists()
    return values["resume"] is not None or bool(begun)


def _lead(values: Values, given: Mapping[str, str], group: Group, output: Output) -> None:
    """The whole run in the only process, or the first of its group: it alone writes and speaks."""
    from colinear.report.page import check_report

    if values["log_dir"] is not None:
        find_writer()
    settings, split = _begin(values, given, output, group)
    path = values["resume"] or values["out"]
    with (
        open_log(values["log_dir"], settings) as log,
        RunFolder(Path(path) if path else _default_folder(settings.data)) as folder,
    ):
        path = folder.path
        if not _goes_on(values):
            refuse_used(path)
        check_report(path)
        if settings.shots is not None:
            run_tries(settings, split, folder, output, log, group)
            return
        runs = _finished_runs(settings, split, folder, output, log)
        group.gather(bool(runs))
        runs = runs or _tune(settings, split, folder, output, log, group)
        group.end()
        try:
            names = draw_figures(runs, split, folder, log, values["figures"])
            report = make_report(runs, split, folder)
        except (KeyboardInterrupt, Stopped) as error:
            stop(Watcher(output), folder, ", ".join(run.loss for run in runs), error)
        results = folder.read_json("results.json")
    models = ", ".join(f"model-{run.loss}.safetensors" for run in runs)
    output.say_path(f"Written to {path}: results.json, {models}, figures/ ({len(names)})")
    output.say_path(f"Look at it: {report}")
    output.emit({"folder": str(path), "report": str(report), "figures": names, **results})


def run_fit(values: Values, given: Mapping[str, str]) -> None:
    """Train one setting: a search of one candidate, of which the model file is kept."""
    output = Output(quiet=values["quiet"], as_json=values["json"])
    check_number("--reg", values["reg"], above=0)
    solver = choose_solver(values["solver"], {name: text for name, text in given.items() if name != "reg"})
    if solver == "sgd" and values["lr"] is None:
        raise InputError("--lr is needed to fit with sgd. Try --lr 1e-2, or --solver exact, which needs none.")
    rate = check_number("--lr", values["lr"] if values["lr"] is not None else 1.0, above=0)
    settings = _read_settings(
        values,
        solver=solver,
        candidates=1,
        learning_rates=(rate, rate),
        reg_range=(values["reg"], values["reg"]),
        regs=(values["reg"],) if solver == "exact" else None,
    )
    target = Path(values["out"])
    weights = values["class_weight"]
    inputs = [*list_inputs(settings), *([Path(weights)] if weights is not None and names_file(weights) else ())]
    check_output(target, MODEL, inputs=inputs, force=values["force"])
    split = open_rows(settings, output)
    with (
        tempfile.TemporaryDirectory(prefix="colinear-") as place,
        RunFolder(place) as folder,
        Watcher(output) as watcher,
    ):
        [run] = tune(settings, split, folder, watcher)
        watcher.heed()
    run.model.save(target)
    output.say_path(f"Written: {target}")
    output.emit({"model": str(target), **run.entry})


def list_inputs(settings: Settings) -> list[Path]:
    """Files and folders that are read: DATA, --label, --sample-weight, and what may hold labels of .npy or img_emb/."""
    data = Path(settings.data)
    named = [Path(name) for name in (settings.label, settings.sample_weight) if name is not None]
    label = [place for name in named for place in (name, data.parent / name)]
    above = [data.parent] if data.name == EMBEDDINGS else []
    return [data, *label, *above, *(data.parent.glob("*.npy") if data.suffix == ".npy" else ())]


def tune_settings(values: Values, given: Mapping[str, str]) -> Settings:
    """Everything that decides the run, checked as far as it can be without the data, which dino45 waits for."""
    check_needs(Settings, given.values())
    return _read_settings(values, solver=choose_solver(values["solver"], given))


def choose_solver(asked: str | None, given: Mapping[str, str]) -> str:
    """The solver asked for, or the one whose options were given, or the default; options of the other are refused."""
    names = sorted(given, key="reg".__eq__)  # it comes last, before the advice on it
    sgd, exact = (
        [given[name] for name in names if name in solver_parameters(Settings, one)] for one in ("sgd", "exact")
    )
    solver = str(asked) if asked is not None else ("sgd" if sgd and not exact else Settings.solver)
    wrong, other = (sgd, "sgd") if solver == "exact" else (exact, "exact")
    if wrong:
        rather = " (its strengths are --regs)" if "--reg" in wrong else ""
        raise InputError(
            f"{', '.join(wrong)} {'belongs' if len(wrong) == 1 else 'belong'} to --solver {other}; this is "
            f"--solver {solver}{rather}. Name one solver and give its options only."
        )
    return solver


def _read_settings(values: Values, **others: Any) -> Settings:
    """Settings from those parameters of a command that stand for them, and `others` as they are."""
    read = {
        name: option.setting(values)
        for name, option in list_options(Settings).items()
        if name not in others and option.parameters.keys() <= values.keys()
    }
    settings = Settings(data=values["data"] or "", **read, **others)
    if not settings.data:
        names = ", ".join(NAMED)
        raise InputError(
            f"DATA is missing: {names}, a feature file, or a folder of shards or images. Try `colinear tune digits`."
        )
    pick_device(settings.device)  # this and the solver would else be refused after reading the data
    for loss in settings.losses if settings.solver == "sgd" else ():
        sgd_search(loss, settings)
    return settings


def _tune(
    settings: Settings, split: Split, folder: RunFolder, output: Output, log: TensorBoardLog | None, group: Group
) -> list[LossRun]:
    """Search; a signal, or a process of the group that has gone, says what is kept and how to go on."""
    from colinear.report.record import Recorder

    with Watcher(output, patience(group)) as watcher:
        try:
            runs = tune(settings, split, folder, Recorder(heard(watcher, log), folder, split), group)
            watcher.heed()
        except (KeyboardInterrupt, Stopped, GroupError) as error:
            kept = ", ".join(watcher.finished_losses) or "no loss yet"
            begun = next(iter(settings.losses[len(watcher.finished_losses) :]), None)
            if begun is not None and any((folder.path / CHECKPOINTS).glob(f"{begun}*.safetensors")):
                kept += f"; {begun} up to its last checkpoint"
            stop(watcher, folder, kept, error)
    return runs


def _settings_of(path: Path, given: Mapping[str, str]) -> Settings:
    """The settings that the run in `path` was started with; nothing else may be asked of it."""
    others = [
        text for name, text in given.items() if name not in ("resume", "timeout", "quiet", "json", "log_dir", "figures")
    ]
    if others:
        raise InputError(
            f"--resume goes on with the run's own settings; leave out {', '.join(others)}, or start a new run."
        )
    refuse_try(path)
    return read_settings(RunFolder(path))


def _default_folder(data: str) -> Path:
    """A folder runs/DATA-DATE-TIME that no other run has."""
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in Path(os.path.realpath(data)).stem[:60]) or "data"
    name = f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in range(1, 1000):
        path = Path("runs") / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise InputError(f"run folder {path} cannot be made: {error.strerror}. Pass --out.") from None
        return path
    raise InputError(f"runs/ holds 999 runs named {name}. Pass --out.")


def _finished_runs(
    settings: Settings, split: Split, folder: RunFolder, output: Output, log: TensorBoardLog | None
) -> list[LossRun]:
    """The runs of a folder whose every loss is finished, shown again; none where there is something to do."""
    runs = Run(settings, split, folder).finished()
    if runs:
        output.note(f"{folder.path} is finished already.")
        for run in runs:
            heard(Watcher(output), log).finished(run)
    return runs


def make_report(runs: list[LossRun], split: Split, folder: RunFolder) -> Path:
    """Write the page of a finished run, and what it needs where that is gone."""
    from colinear.report import record_run, write_report

    for run in runs:
        if run.result is None:  # finished before: its record is there, unless that process died between the two
            record_run(folder, run, split)
    return write_report(folder.path)


def draw_figures(
    runs: list[LossRun], split: Split, folder: RunFolder, log: TensorBoardLog | None, form: str = "png"
) -> list[str]:
    """Draw what there is to draw; the loss curves of a loss that was finished before are those of its record."""
    from colinear.report.figures import write_figures  # matplotlib takes half a second to import
    from colinear.search.records import load_record

    records = {run.loss: load_record(folder, run.loss) for run in runs if run.result is None}
    show = None if log is None else log.figure
    written = write_figures(runs, split, folder.write, records, form, show)
    there = (folder.path / "figures").iterdir() if written else ()
    earlier = (f"figures/{path.name}" for path in there if path.suffix in (".png", ".svg", ".pdf"))
    return written + sorted(set(earlier) - set(written))  # of an earlier version, or drawn by somebody
