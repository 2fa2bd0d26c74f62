"""The harness misses nothing, its cases repeat themselves, and a short campaign finds nothing."""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fuzz import run
from fuzz.cases import MODES, Case
from fuzz.child import judge_command, judge_message
from fuzz.commands import BAD_NUMBERS, GOOD, draw_value, list_parameters
from fuzz.corpus import Corpus, build_corpus
from fuzz.draws import FAMILIES, seeded
from fuzz.mutate import mutate
from fuzz.proofs import PROOFS
from fuzz.seals import seal
from fuzz.structure import EDITS, split_safetensors
from fuzz.summary import Failure, Tally, describe
from fuzz.worker import FALSE_PROGRAMS, Worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc as Linux has them")
SEED = 0
MUTATIONS, COMMANDS, EXAMPLES = 150, 40, 20
EXAMPLES_OF = {
    ".json": "run/settings.json", ".safetensors": "model.safetensors", ".npy": "rows.npy", ".npz": "stored.npz",
    ".pt": "tensors.pt", ".pth": "cifar/test_batch", "pickle": "cifar/test_batch", ".svm": "rows.svm",
    ".png": "one.png", ".jpg": "one.jpg",
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return build_corpus(tmp_path_factory.mktemp("fuzz") / "corpus")


@pytest.fixture(scope="module")
def worker(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with Worker(corpus.folder, tmp_path_factory.mktemp("worker")) as one:
        yield one


# the campaign ----------------------------------------------------------------------------------------------------


def test_a_short_campaign_finds_nothing(worker: Worker, corpus: Corpus) -> None:
    given = run.make_parser().parse_args(["--mutations", str(MUTATIONS), "--commands", str(COMMANDS), "--seed", "0"])
    tally = Tally()
    run.run_cases(run.campaign_cases(given, corpus), [worker], tally, shows=False)
    assert tally.lines() == []
    assert tally.total == MUTATIONS + COMMANDS


def test_hypothesis_finds_nothing(worker: Worker, corpus: Corpus) -> None:
    tally = Tally()
    run.search(EXAMPLES, SEED, corpus, worker, tally)
    assert tally.lines() == []


def test_hypothesis_makes_what_it_finds_small(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Fragile:
        def run(self, case: Case) -> dict[str, Any]:
            outcome = "exception" if int(case.path) >= 10 else "fine"
            return {"outcome": outcome, "detail": "too large", "seconds": 0.0, "peak_mb": 0}

    for name in ("draw_mutation", "draw_command"):
        monkeypatch.setattr(
            f"fuzz.draws.{name}", lambda rng, *_: Case("hypothesis", "table", str(rng.randrange(10**6)))
        )
    tally = Tally()
    run.search(100, SEED, corpus, Fragile(), tally)  # type: ignore[arg-type]
    [failure] = tally.failures.values()
    assert failure.case.path == "10"
    assert "hypothesis' smallest:" in capsys.readouterr().out


def test_every_file_of_the_corpus_is_read_as_it_is(worker: Worker, corpus: Corpus) -> None:
    run.check_corpus(worker, corpus)
    assert sum(len(corpus.read(item, file)) for item, files in corpus.files.items() for file in files) < 550_000


# the harness sees ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROOFS)
def test_what_goes_wrong_is_seen(name: str, worker: Worker) -> None:
    verdict = worker.run(PROOFS[name].case(name))
    assert verdict["outcome"] == PROOFS[name].outcome, verdict


def test_an_exception_is_named_with_its_place(worker: Worker) -> None:
    verdict = worker.run(Case("x", "proof", "an exception"))
    assert (verdict["type"], verdict["detail"]) == ("KeyError", "KeyError: 'x'")
    assert "fuzz/proofs.py" in verdict["frame"]


def test_no_program_outlives_its_case(worker: Worker) -> None:
    assert worker.run(Case("x", "proof", "a program that stays"))["outcome"] == "program"
    state = Path("/proc", (worker.place / "case/in/pid").read_text(), "stat")

    def alive() -> bool:  # Z: dead, and not yet buried by its new parent
        with contextlib.suppress(OSError):
            return state.read_text().rpartition(")")[2].split()[0] not in "ZX"
        return False

    deadline = time.monotonic() + 30  # the kernel takes a moment
    while alive() and time.monotonic() < deadline:
        os.sched_yield()
    assert not alive()


def test_network_and_disk_are_closed_by_the_harness(worker: Worker) -> None:
    assert "no network in here" in worker.run(Case("x", "proof", "the network"))["detail"]
    assert "File too large" in worker.run(Case("x", "proof", "a large file"))["detail"]


def test_a_hang_is_named_with_its_place(worker: Worker) -> None:
    verdict = worker.run(Case("x", "proof", "a hang", seconds=0.5))
    assert "fuzz/proofs.py" in verdict["frame"]
    assert verdict["seconds"] < 60


def test_a_campaign_does_not_start_with_a_blind_harness(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PROOFS", {"nothing": replace(PROOFS["nothing"], outcome="hang")})
    with pytest.raises(run.BlindHarnessError, match="nothing should be found as 'hang'"):
        run.prove(worker)


def test_a_file_that_is_damaged_beforehand_stops_a_campaign(
    worker: Worker, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case("sound-x", "table", "nowhere.npy")
    monkeypatch.setattr(run, "sound_cases", lambda _: iter([case]))
    with pytest.raises(run.BlindHarnessError, match=r"nowhere\.npy"):
        run.check_corpus(worker, corpus)


@pytest.mark.parametrize("mode", MODES)
def test_the_streams_and_folder_of_a_mode_are_what_they_say(mode: str, worker: Worker) -> None:
    """A refused command: whatever is closed or full, the status is 2; and what can be said is said."""
    verdict = worker.run(Case("x", "command", words=("info", "nowhere.npy", "--label", "a" * 5000), mode=mode))
    assert verdict["outcome"] == "refused", verdict
    assert ("nowhere.npy" in verdict["detail"]) == (mode != "no stderr")


def test_a_read_only_folder_is_one(worker: Worker) -> None:
    words = ("fit", "rows.npy", "--max-passes", "2", "--out", "model.safetensors")
    place = (("rows.npy", "rows.npy"), ("rows_labels.npy", "rows_labels.npy"))
    assert worker.run(Case("x", "command", words=words, place=place))["outcome"] == "fine"
    verdict = worker.run(Case("x", "command", words=words, place=place, mode="read-only folder"))
    assert verdict["outcome"] == "refused"


def test_false_programs_are_first_on_the_path(worker: Worker) -> None:
    worker.run(Case("x", "proof", "nothing"))
    assert {path.name for path in (worker.place / "programs").iterdir()} == set(FALSE_PROGRAMS) >= {"gs", "djpeg"}
    verdict = worker.run(Case("x", "proof", "a program by C"))
    assert verdict["detail"].count("gs -v") == 2  # heard when it was called, and marked by itself


@pytest.mark.parametrize("text", ["x" * 601, "a\nb\nc", "", "a\x1bb", "a\u202eb"])
def test_a_refusal_that_is_long_or_unprintable_is_a_failure(text: str) -> None:
    assert judge_message(text)["outcome"] == "message"
    assert judge_message("x must be 1; got 2.\nTry 1.")["outcome"] == "refused"


@pytest.mark.parametrize(
    ("status", "out", "err", "outcome"),
    [
        (0, "accuracy 0.5\n", "", "fine"),
        (0, "accuracy nan\n", "", "nan"),
        (0, "banana, info, -infinite\n", "", "fine"),
        (0, '{"a": -Inf}', "", "nan"),
        (2, "", "softmax: 3 strengths\nerror: x must be 1.\n", "refused"),
        (2, "", "error: a\nb\nc\n", "message"),
        (2, "", "", "message"),
        (2, "", "error: a\nerror: b\n", "message"),
        (1, "", "", "exception"),
        (130, "", "", "exception"),
        (0, "", "Traceback (most recent call last):\n", "exception"),
    ],
)
def test_what_a_command_may_say(status: int, out: str, err: str, outcome: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "stdout").write_text(out)
    (tmp_path / "stderr").write_text(err)
    case = Case("x", "command", words=("info", "digits"))
    assert judge_command(case, status, tmp_path / "in")["outcome"] == outcome


# cases -----------------------------------------------------------------------------------------------------------


def test_a_seed_makes_the_same_cases_again_and_another_seed_others(corpus: Corpus, tmp_path: Path) -> None:
    again = build_corpus(tmp_path / "again")
    assert [again.read(item, file) for item in again.files for file in again.files[item]] == [
        corpus.read(item, file) for item in corpus.files for file in corpus.files[item]
    ]
    for kind in ("mutation", "command"):
        first = [seeded(kind, 3, number, corpus) for number in range(60)]
        assert [seeded(kind, 3, number, again) for number in range(60)] == first
        assert [Case.from_json(case.to_json()) for case in first] == first
        assert [seeded(kind, 4, number, corpus).words for number in range(60)] != [case.words for case in first]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_every_family_draws_cases_that_can_be_laid_out(family: object, corpus: Corpus, tmp_path: Path) -> None:
    for number in range(20):
        case = family(random.Random(number), corpus, "x")  # type: ignore[operator]
        case.lay_out(corpus.folder, tmp_path / str(number))
        assert (tmp_path / str(number)).exists() == bool(case.writes)  # a device is written nowhere


def test_every_command_and_option_is_drawn_with_good_and_bad_values(corpus: Corpus) -> None:
    words = [word for number in range(1500) for word in seeded("command", 0, number, corpus).words]
    drawn = {word.split("=")[0] for word in words}
    for command, parameters in list_parameters().items():
        assert command in drawn
        for parameter in parameters:
            assert not parameter.options or drawn & set(parameter.options), parameter
    assert drawn & set(BAD_NUMBERS)


def test_an_option_that_nobody_has_written_values_for_gets_those_of_its_type() -> None:
    [part] = [one for one in list_parameters()["evaluate"] if one.name == "part"]
    assert "part" not in GOOD
    drawn = {draw_value(random.Random(number), part, bad=0.0) for number in range(60)}
    assert drawn == {"train", "validation", "test", "all"}
    assert "nan" in {draw_value(random.Random(number), part, bad=1.0) for number in range(500)}


@pytest.mark.parametrize("kind", EDITS)
def test_edits_change_a_file_and_keep_its_form(kind: str, corpus: Corpus) -> None:
    item, _, file = EXAMPLES_OF[kind].partition("/")
    content = corpus.read(item, file)
    made = [EDITS[kind](random.Random(number), content)[0] for number in range(40)]
    assert len(set(made) - {content}) > 20
    for one in made:
        if kind == ".safetensors":
            split_safetensors(one)
        elif kind in (".npz", ".pt"):
            assert zipfile.is_zipfile(io.BytesIO(one))
        elif kind in (".npy", ".png", ".jpg"):
            assert one[:3] == content[:3]


@pytest.mark.parametrize(
    ("kind", "item", "file"),
    [
        ("model", "model.safetensors", ""),
        ("checkpoint", "begun", "checkpoints/softmax.safetensors"),
        ("checkpoint", "path", "checkpoints/softmax.safetensors"),
        ("settings.json", "begun", "settings.json"),
    ],
)
def test_a_seal_fits_as_the_writers_own_does(kind: str, item: str, file: str, corpus: Corpus) -> None:
    """Else the checks behind a digest are never reached. A change without a seal is refused by the digest alone."""
    content = corpus.read(item, file)
    made, done = seal(kind, content)
    assert done
    digests = [re.findall(rb"digest\W+([0-9a-f]{32,64})", one) for one in (made, content)]
    assert digests[0] == digests[1] != []


def test_mutations_survive_any_content() -> None:
    for number in range(300):
        rng = random.Random(number)
        content = rng.randbytes(rng.randrange(40))
        made, notes = mutate(rng, content, rng.choice((*EDITS, "")), (b"abc",))
        assert isinstance(made, bytes)
        assert notes


# what is left of a failure ---------------------------------------------------------------------------------------


def test_failures_of_one_place_are_one_and_are_kept(tmp_path: Path) -> None:
    tally = Tally(tmp_path / "failures")
    verdict = {
        "outcome": "exception",
        "type": "KeyError",
        "frame": "a.py:1 f",
        "detail": "",
        "seconds": 1.0,
        "peak_mb": 2,
    }
    cases = [Case(f"mutation-0-{number}", "table", "x.npy").write("x.npy", b"1") for number in range(3)]
    assert [tally.add(case, verdict) for case in cases] == [True, False, False]
    assert tally.add(Case("z", "table"), {**verdict, "frame": "a.py:2 f"})
    assert not tally.add(Case("z", "table"), {**verdict, "outcome": "fine"})
    assert [path.name for path in sorted((tmp_path / "failures").iterdir())] == ["mutation-0-0.json", "z.json"]
    assert "3 x exception" in tally.lines()[0]
    assert "python -m fuzz.run --again mutation-0-0" in tally.lines()[0]
    assert tally.table().splitlines()[-1].split() == ["5", "1", "4"]
    kept = Case.from_json((tmp_path / "failures/mutation-0-0.json").read_text())
    assert kept == cases[0]
    kept.lay_out(tmp_path, tmp_path / "laid")
    assert (tmp_path / "laid/x.npy").read_bytes() == b"1"


def test_what_is_shown_of_a_failure_can_be_printed() -> None:
    case = Case("x", "table", "a\udcff.npy", notes=("b\x1b[31m",))
    text = describe(Failure(case, {"outcome": "message", "detail": "c\nd\udcff"}))
    assert "\udcff" not in text
    assert "\x1b" not in text
    assert len(text.splitlines()) == 4


def test_a_case_is_found_again_by_its_name_or_its_file(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FAILURES", tmp_path)
    assert run.find_again("mutation-5-17", corpus) == seeded("mutation", 5, 17, corpus)
    other = Case("hypothesis", "table", "x.npy")
    (tmp_path / "hypothesis.json").write_text(other.to_json())
    assert run.find_again("hypothesis", corpus) == other == run.find_again(str(tmp_path / "hypothesis.json"), corpus)


@pytest.fixture
def lent(worker: Worker, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`run.main` works with the worker and the corpus that are there; returns its folder of failures."""
    monkeypatch.setattr(run, "Worker", lambda *_: contextlib.nullcontext(worker))
    monkeypatch.setattr(run, "build_corpus", lambda _: corpus)
    monkeypatch.setattr(run, "FAILURES", tmp_path / "failures")
    return tmp_path / "failures"


def test_a_case_is_run_again_by_the_command_that_was_printed(
    lent: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lent.mkdir()
    case = Case("x", "table", "x.npy", notes=("by hand",)).write("x.npy", b"no array")
    (lent / "x.json").write_text(case.to_json())
    assert run.main(["--again", "x", "--keep", str(tmp_path / "kept")]) == 0
    assert "1 x refused: x.npy cannot be read as .npy" in capsys.readouterr().out
    assert (tmp_path / "kept/x.npy").read_bytes() == b"no array"


@pytest.mark.parametrize(("kind", "status"), [("an exception", 1), ("a refusal", 0)])
def test_a_campaign_says_its_seed_and_fails_if_a_case_does(
    kind: str, status: int, lent: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "seeded", lambda *_: Case("mutation-7-0", "proof", kind))
    monkeypatch.setattr(run, "prove", lambda _: None)
    monkeypatch.setattr(run, "check_corpus", lambda *_: None)
    options = ["--mutations", "2", "--commands", "0", "--hypothesis", "0", "--seed", "7", "--jobs", "1"]
    assert run.main(options) == status
    said = capsys.readouterr().out
    assert "seed 7: 2 mutations, 0 command lines" in said
    assert f"{2 * status} failed, in {status} ways" in said
    assert (lent / "mutation-7-0.json").exists() == bool(status)
