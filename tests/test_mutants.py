"""The tables of mutants fit the source, and the runner tells killed from surviving."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from mutants.run import Campaign, Judged, Tree, Verdict, summarize
from mutants.table import ROOT, Mutant, Table

TABLE = Table(ROOT / "mutants")
SOURCE = "def double(x):\n    return 2 * x\n\n\ndef wait():\n    return None\n"
TESTS = (
    "from colinear.sums import double, wait\n\n\ndef test_double():\n    assert double(3) == 6\n\n\n"
    "def test_wait():\n    assert wait() is None\n"
)
WRONG = Mutant("t", "sums.py", "2 * x", "3 * x", "a triple", "test_sums.py")
EQUAL = replace(WRONG, new="x + x", why="the same")
SLOW = replace(WRONG, old="return None", new="while True: pass", why="no end", tests="test_sums.py -k wait")
BROKEN = replace(WRONG, new="4 * x", why="no tests", tests="test_sums.py -k nothing")


def test_every_mutant_applies_to_the_source_as_it_is() -> None:
    assert TABLE.faults() == []


def test_there_are_mutants_of_every_floor() -> None:
    assert len(TABLE.mutants) >= 150
    assert {mutant.file.split("/")[0].removesuffix(".py") for mutant in TABLE.mutants} >= {
        "checks", "cli", "datasets", "estimators", "export", "losses", "metrics", "model", "objective", "products",
        "report", "search", "solvers", "tracking",
    }  # fmt: skip


def test_words_choose_by_table_file_and_reason() -> None:
    chosen = TABLE.choose(["losses.py", "Armijo"])
    assert {"losses.py", "solvers/lbfgs.py"} <= {mutant.file for mutant in chosen}
    assert len(chosen) < len(TABLE.choose([])) == len(TABLE.mutants)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A source of two functions, and a test for each."""
    for name, text in {
        "src/colinear/__init__.py": "", "src/colinear/sums.py": SOURCE, "tests/test_sums.py": TESTS,
    }.items():  # fmt: skip
        (tmp_path / "house" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "house" / name).write_text(text)
    shutil.copytree(ROOT / "mutants", tmp_path / "house" / "mutants", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "house"


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        (replace(WRONG, old="4 * x"), "the old text stands 0 times in sums.py, not once"),
        (replace(WRONG, old="return"), "the old text stands 2 times"),
        (replace(WRONG, new=WRONG.old), "old and new are the same"),
        (replace(WRONG, new="2 *"), "invalid syntax"),
        (replace(WRONG, tests="test_products.py"), "there is no tests/test_products.py"),
        (replace(WRONG, why=" "), "why is empty"),
        (replace(WRONG, file="quotients.py"), "No such file"),
    ],
    ids=["absent", "twice", "no change", "syntax", "no tests", "no reason", "no file"],
)
def test_an_entry_that_does_not_apply_is_a_fault(house: Path, tmp_path: Path, entry: Mutant, fault: str) -> None:
    lines = [f"{name} = '''{getattr(entry, name)}'''" for name in ("file", "old", "new", "why", "tests")]
    (tmp_path / "t.toml").write_text("\n".join(["[[mutant]]", *lines]))
    faults = Table(tmp_path).faults(house)
    assert any(fault in line for line in faults), faults


def test_the_same_mistake_twice_is_a_fault(house: Path, tmp_path: Path) -> None:
    lines = [f"{name} = '{getattr(WRONG, name)}'" for name in ("file", "old", "new", "why", "tests")]
    (tmp_path / "t.toml").write_text("\n".join(["[[mutant]]", *lines] * 2))
    assert Table(tmp_path).faults(house) == ["sums.py: a triple: stands twice in the tables"]


def test_a_campaign_tells_what_became_of_each_and_leaves_the_source_alone(house: Path, tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "trees").mkdir()
    campaign = Campaign(house, tmp_path / "trees", workers=2, limit=20.0, say=said.append, company=())
    judged = campaign.run([WRONG, EQUAL])
    assert [one.verdict for one in judged] == [Verdict.KILLED, Verdict.SURVIVED]
    assert set(campaign.limits) == {WRONG.tests}
    assert [line.split(" (")[0] for line in said] == ["survived: sums.py: the same"]
    assert (house / "src/colinear/sums.py").read_text() == SOURCE
    assert {path.read_text() for path in (tmp_path / "trees").rglob("sums.py")} == {SOURCE}


def test_tests_that_run_on_are_stopped_and_tests_that_are_none_judge_nothing(house: Path, tmp_path: Path) -> None:
    (tmp_path / "trees").mkdir()
    with closing(Tree.copy(house, tmp_path / "trees" / "0", company=())) as tree:
        assert tree.judge(SLOW, 3.0).verdict is Verdict.HANGS
        assert tree.judge(BROKEN, 20.0).verdict is Verdict.BROKEN
        assert tree.judge(replace(WRONG, old="absent"), 20.0).verdict is Verdict.BROKEN


def test_tests_that_fail_without_a_mutant_are_an_error(house: Path, tmp_path: Path) -> None:
    (house / "tests/test_sums.py").write_text(TESTS.replace("== 6", "== 7"))
    (tmp_path / "trees").mkdir()
    with pytest.raises(RuntimeError, match="these tests fail without any mutant"):
        Campaign(house, tmp_path / "trees", workers=1, limit=20.0, company=()).run([WRONG])


@pytest.mark.parametrize(
    ("verdicts", "explained", "passes", "word"),
    [
        ([Verdict.KILLED] * 40, False, True, "40 killed"),
        ([Verdict.KILLED] * 39 + [Verdict.HANGS], False, True, "1 killed by the time limit"),
        ([Verdict.KILLED] * 39 + [Verdict.SURVIVED], True, True, "because"),
        ([Verdict.KILLED] * 39 + [Verdict.SURVIVED], False, False, "NOT EXPLAINED"),
        ([Verdict.KILLED] * 9 + [Verdict.SURVIVED], True, False, "10.0% survive; at most 5% may"),
        ([Verdict.KILLED] * 39 + [Verdict.BROKEN], False, False, "1 could not be judged"),
    ],
    ids=["all killed", "one hangs", "explained", "not explained", "too many", "broken"],
)
def test_a_campaign_passes_with_few_survivors_each_explained(
    verdicts: list[Verdict], explained: bool, passes: bool, word: str
) -> None:
    judged = [
        Judged(replace(WRONG, survives="because" if explained and verdict is Verdict.SURVIVED else ""), verdict, 1.0)
        for verdict in verdicts
    ]
    lines, passed = summarize(judged)
    assert passed is passes
    assert any(word in line for line in lines), lines


def test_an_explanation_of_what_is_killed_is_to_be_deleted() -> None:
    lines, passed = summarize([Judged(replace(WRONG, survives="because"), Verdict.KILLED, 1.0)])
    assert passed
    assert any("no longer survives" in line for line in lines)
