"""From sweep.toml to runs, and sweep.json."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from colinear.checks import InputError
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.sweep.grid import Draft, read_grid
from colinear.sweep.plan import (
    MOST_RUNS,
    Planned,
    check_plan,
    go_on,
    name_runs,
    read_plan,
    refuse_foreign,
    stamp_of,
    write_plan,
)


def grid(folder: Path, text: str) -> list[Draft]:
    (folder / "sweep.toml").write_text(text)
    return read_grid(folder / "sweep.toml")


def test_every_combination_is_a_run_and_data_comes_first(tmp_path: Path) -> None:
    for layer in (1, 10, 2):
        (tmp_path / f"layer-{layer}.npz").touch()
    drafts = grid(
        tmp_path,
        'data = ["digits", "layer-{layer}.npz"]\nloss = ["softmax", "hinge"]\nseed = [0, 1]\ntol = [0.1, 1]\n'
        'standardize = true\nmax-passes = 5\nregs = "1e-2"\n',
    )
    assert len(drafts) == 4 * 2 * 2
    assert [draft.data for draft in drafts[::4]] == ["digits", *(str(tmp_path / f"layer-{n}.npz") for n in (1, 2, 10))]
    assert drafts[4].fields == {"layer": 1}
    assert [(draft.values["seed"], draft.values["tol"]) for draft in drafts[:4]] == [
        (0, 0.1),
        (0, 1.0),
        (1, 0.1),
        (1, 1.0),
    ]
    shared = {"loss": "softmax,hinge", "standardize": True, "max_passes": 5, "regs": "1e-2"}
    assert all(shared.items() <= draft.values.items() for draft in drafts)
    assert drafts[0].given["max_passes"] == "--max-passes"
    assert isinstance(drafts[1].values["tol"], float)


def test_each_table_of_runs_is_a_grid_over_what_stands_above(tmp_path: Path) -> None:
    text = (
        'data = "digits"\nseed = [0, 1]\n[[runs]]\nloss = "hinge"\n[[runs]]\nsolver = "sgd"\nhalving = true\nseed = 7\n'
    )
    values = [dict(draft.values) for draft in grid(tmp_path, text)]
    assert values == [
        {"seed": 0, "loss": "hinge"}, {"seed": 1, "loss": "hinge"}, {"seed": 7, "solver": "sgd", "halving": True},
    ]  # fmt: skip


def test_a_number_may_stand_for_text(tmp_path: Path) -> None:
    [draft] = grid(tmp_path, 'data = "digits"\nregs = 0.01\nlabel = 3\nlayers = [6, 12]\n')
    assert draft.values == {"regs": "0.01", "label": "3", "layers": "6,12"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data = ", "cannot be read as TOML"),
        ("seed = 1", "must say data"),
        ("data = 3", "must say data"),
        ('data = [""]', "must say data"),
        ('data = "digits"\nlos = "hinge"', "los is no option of tune. Did you mean loss?"),
        ('data = "digits"\nseed = "1"', "seed must be int; got '1'"),
        ('data = "digits"\nseed = true', "seed must be int; got True"),
        ('data = "digits"\nseed = 1.0', "seed must be int"),
        ('data = "digits"\ntol = "1"', "tol must be int or float"),
        ('data = "digits"\nstandardize = 1', "standardize must be true or false; got 1"),
        ('data = "digits"\nhalving = "yes"', "halving must be true or false"),
        ('data = "digits"\nregs = [[1]]', "regs must be text or int or float"),
        ('data = "digits"\nseed = []', "seed is an empty list"),
        ('data = "digits"\nruns = 3', "runs must be tables"),
        ('data = "digits"\nruns = []', "runs must be tables"),
        (f'data = "digits"\nseed = {list(range(200))}\nsteps = {list(range(1, 100))}', "makes 19,800 runs"),
    ],
)
def test_a_file_that_says_no_sweep_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=r"sweep\.toml") as refused:
        grid(tmp_path, text)
    assert words in str(refused.value)


def test_a_file_of_data_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at most 1,048,576 bytes"):
        grid(tmp_path, "#" * (1 << 20) + "\n")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    for name in ("bytes.toml", "nowhere.toml", "."):
        with pytest.raises(InputError):
            read_grid(tmp_path / name)


def plan(**settings: Any) -> Planned:
    return Planned.of(Settings(**{"data": "a/rows.npz", **settings}), {})


def test_a_run_has_its_folder_by_what_decides_it() -> None:
    assert plan() == plan()
    others = [plan(), plan(seed=1), plan(data="b/rows.npz"), plan(losses=("hinge",)), plan(standardize=True)]
    assert len({one.folder for one in others}) == 5
    assert plan(steps=7).folder == plan().folder  # of the other solver: it decides nothing
    named = Planned.of(Settings("x/y.npz"), {"dataset": "birds/../ é<", "layer": 7})
    assert named.folder.startswith("birds-..--é--layer-7-")
    assert name_runs([named]) == {named.folder: "dataset birds/../ é< layer 7"}


def test_runs_are_called_by_what_tells_them_apart() -> None:
    runs = [plan(seed=seed, standardize=seed == 1, regs=(0.1,)) for seed in (0, 1)]
    assert list(name_runs(runs).values()) == ["a/rows.npz, seed 0", "a/rows.npz, standardize, seed 1"]


@pytest.mark.parametrize("data", ["..", ".hidden", "/", "-x.npz", "\udcff.npz", "a" * 300, " ", "x\n.npz"])
def test_any_data_makes_a_plain_folder(data: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    one = Planned.of(Settings(data), {})
    assert Path(one.folder).name == one.folder
    assert len(one.folder) < 80
    write_plan(folder, [one])
    assert read_plan(folder) == [one]


def test_a_plan_comes_back(tmp_path: Path) -> None:
    runs = [
        replace(plan(), state="finished", seconds=1.5, stamp="ab"),
        replace(Planned.of(Settings("b.npz"), {"layer": 3, "set": "x"}), state="failed", error="no"),
    ]
    write_plan(RunFolder(tmp_path), runs)
    assert read_plan(RunFolder(tmp_path)) == runs


@pytest.mark.parametrize(
    "change",
    [
        {"folder": "../up-0123456789"}, {"folder": "/tmp/x-0123456789"}, {"folder": ".-0123456789"}, {"folder": "a"},
        {"folder": "a-0123456789\n"}, {"fields": {"loss": "x"}}, {"fields": {"a b": 1}}, {"fields": {"a": [1]}},
        {"fields": {"a": True}}, {"state": "odd"}, {"seconds": -1}, {"options": [1]}, {"more": 1}, {"data": None},
    ],
)  # fmt: skip
def test_a_plan_that_was_edited_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    write_plan(RunFolder(tmp_path), [plan()])
    value = json.loads((tmp_path / "sweep.json").read_text())
    value["runs"][0] |= change
    (tmp_path / "sweep.json").write_text(json.dumps(value))
    with pytest.raises(InputError, match=r"sweep\.json is damaged"):
        read_plan(RunFolder(tmp_path))


def test_a_folder_stands_in_a_plan_once(tmp_path: Path) -> None:
    write_plan(RunFolder(tmp_path), [plan(), plan()])
    with pytest.raises(InputError, match="a folder twice"):
        read_plan(RunFolder(tmp_path))
    with pytest.raises(InputError, match=r"a/rows\.npz is in the sweep twice"):
        check_plan([plan(), plan()])
    for runs in ([], [plan()] * (MOST_RUNS + 1)):
        with pytest.raises(InputError, match=f"1 to {MOST_RUNS:,} runs"):
            check_plan(runs)


def test_what_failed_waits_again_and_what_is_finished_stays() -> None:
    first, second, third = plan(), plan(seed=1), plan(seed=2)
    earlier = [replace(first, state="finished", seconds=1.0), replace(second, state="failed", error="no"), plan(seed=9)]
    renamed = replace(first, fields={"depth": 1})  # what it is called may change
    assert go_on([third, second, renamed], earlier) == [third, second, replace(earlier[0], fields={"depth": 1})]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    refuse_foreign(tmp_path / "new")
    refuse_foreign(tmp_path)
    (tmp_path / ".lock").touch()
    refuse_foreign(tmp_path)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match=r"holds mine\.txt, and no sweep"):
        refuse_foreign(tmp_path)
    with pytest.raises(InputError, match="cannot be used"):
        refuse_foreign(tmp_path / "mine.txt")
    (tmp_path / "sweep.json").touch()
    refuse_foreign(tmp_path)


def test_a_stamp_sees_size_time_and_what_folders_hold(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "a"
    file.parent.mkdir()
    file.write_text("a")
    stamps = [stamp_of([tmp_path / "folder"])]
    os.utime(file, ns=(1, 1))
    stamps.append(stamp_of([tmp_path / "folder"]))
    file.write_text("ab")
    os.utime(file, ns=(1, 1))
    stamps.append(stamp_of([tmp_path / "folder"]))
    file.rename(tmp_path / "folder" / "b")
    stamps.append(stamp_of([tmp_path / "folder"]))
    stamps.append(stamp_of([tmp_path / "nowhere"]))
    assert len(set(stamps)) == 5
    assert stamp_of([tmp_path / "folder"]) == stamps[3]
