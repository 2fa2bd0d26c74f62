"""`python -m fuzz.run [--mutations N] [--commands N] [--hypothesis N] [--seed S] [--jobs J]`: a campaign.

First the harness proves that it sees each kind of failure, and that every file of the corpus is read as it is made;
then cases run until there are as many as were asked for, or until `--seconds` are over. Exit status 1 if any failed.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from fuzz.cases import Case
from fuzz.child import Verdict
from fuzz.corpus import BASES, BEGUN, FOLDERS, GRID, MODELS, PICTURES, TABLES, Corpus, build_corpus
from fuzz.draws import seeded
from fuzz.proofs import PROOFS
from fuzz.summary import GOOD, Failure, Tally, describe
from fuzz.worker import ROOT, SECONDS, Worker

FAILURES = ROOT / "fuzz/failures"


class BlindHarnessError(Exception):
    """The harness misses a failure that is there, or sees one that is not."""


def prove(worker: Worker) -> None:
    """Run each of PROOFS and see that its outcome is found."""
    for name, proof in PROOFS.items():
        verdict = worker.run(proof.case(name))
        if verdict["outcome"] != proof.outcome:
            raise BlindHarnessError(f"{name} should be found as '{proof.outcome}'; the verdict was {verdict}")


def sound_cases(corpus: Corpus) -> Iterator[Case]:
    """Every item of the corpus as it is, called in a way that has to work."""
    for item in TABLES:
        labels = f"{Path(item).stem}_labels.npy"
        place = ((item, item), *(((labels, labels),) if item.endswith(".npy") else ()))
        yield Case(f"sound-{item}", "table", item, place=place)
    for item in PICTURES:
        yield Case(f"sound-{item}", "picture", item, place=((item, item),))
    for item in FOLDERS:
        yield Case(f"sound-{item}", "split", item, place=((item, item),))
    for item in MODELS:
        yield Case(f"sound-{item}", "model", item, place=((item, item),))
    yield Case("sound-cifar", "cifar10", "cifar", place=(("cifar", "cifar"),))
    yield Case("sound-pickle", "pickled", "cifar/test_batch", place=(("cifar", "cifar"),))
    for run in ("run", "exact", "few/try-1"):
        yield Case(f"sound-report-{run.partition('/')[0]}", "report", run, place=((run, run),))
    for run in BEGUN:
        place = ((run, run), (BASES[run], BASES[run]))
        yield Case(f"sound-resume-{run}", "command", run, ("tune", "--resume", run), place)
    yield Case("sound-sweep", "swept", "swept", place=(("swept", "swept"),))
    place = ((GRID, GRID), ("rows.npy", "rows.npy"))
    yield Case("sound-grid", "grid", GRID, place=place)
    yield Case("sound-compare", "compare", "run", ("exact",), (("run", "run"), ("exact", "exact")))


def check_corpus(worker: Worker, corpus: Corpus) -> None:
    for case in sound_cases(corpus):
        verdict = worker.run(case)
        if verdict["outcome"] != "fine":
            raise BlindHarnessError(describe(Failure(case, verdict)))


def run_cases(cases: Iterator[Case], workers: list[Worker], tally: Tally, *, shows: bool = True) -> None:
    """Share the cases among the workers; counts do not depend on their number."""
    lock = threading.Lock()

    def work(worker: Worker) -> None:
        while True:
            with lock:
                case = next(cases, None)
            if case is None:
                return
            verdict = worker.run(case)
            with lock:
                is_new = tally.add(case, verdict)
                if shows and is_new:
                    print(describe(Failure(case, verdict)), flush=True)
                if shows and tally.total % 500 == 0:
                    print(f"{tally.total:,} cases, {len(tally.failures)} kinds of failure", flush=True)

    with ThreadPoolExecutor(len(workers)) as pool:
        for done in [pool.submit(work, worker) for worker in workers]:
            done.result()


def campaign_cases(given: argparse.Namespace, corpus: Corpus) -> Iterator[Case]:
    """Mutations and command lines, mixed evenly so that a campaign that is cut short has had both."""
    started = time.monotonic()
    counts = {"mutation": given.mutations, "command": given.commands}
    order = sorted((number / max(1, count), kind, number) for kind, count in counts.items() for number in range(count))
    for _, kind, number in order:
        if given.seconds and time.monotonic() - started > given.seconds:
            return
        yield seeded(kind, given.seed, number, corpus)


def search(examples: int, seed: int, corpus: Corpus, worker: Worker, tally: Tally) -> None:
    """Let hypothesis draw cases, and make the first that fails as small as it can."""
    import hypothesis
    from hypothesis import strategies as st

    from fuzz.draws import draw_command, draw_mutation

    class FoundError(Exception):
        pass

    failed: list[tuple[Case, Verdict]] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(st.randoms(use_true_random=False), st.sampled_from((draw_mutation, draw_command)))
    def try_one(rng: random.Random, draw: object) -> None:
        case = draw(rng, corpus, "hypothesis")  # type: ignore[operator]
        verdict = worker.run(case)
        if verdict["outcome"] not in GOOD:
            failed.append((case, verdict))
            raise FoundError(verdict["detail"])
        tally.add(case, verdict)

    try:
        try_one()
    except FoundError:
        case, verdict = failed[-1]
        print("hypothesis' smallest:\n" + describe(Failure(case, verdict)))
        tally.add(case, verdict)


def find_again(name: str, corpus: Corpus) -> Case:
    """The case of a name, KIND-SEED-NUMBER, or of a file."""
    for path in (Path(name), FAILURES / f"{name}.json"):
        if path.is_file():
            return Case.from_json(path.read_text())
    kind, seed, number = name.split("-")
    return seeded(kind, int(seed), int(number), corpus)


def repeat(given: argparse.Namespace, corpus: Corpus, worker: Worker) -> int:
    """Run one case, show it, and leave its files where they are if a folder was named."""
    case = find_again(given.again, corpus)
    if given.keep is not None:
        given.keep.mkdir(parents=True)
        case.lay_out(corpus.folder, given.keep)
        print(f"its files: {given.keep}")
    verdict = worker.run(case)
    print(describe(Failure(case, verdict)))
    return 0 if verdict["outcome"] in GOOD else 1


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fuzz.run", description=__doc__)
    parser.add_argument("--mutations", type=int, default=10_000, metavar="N")
    parser.add_argument("--commands", type=int, default=1_000, metavar="N")
    parser.add_argument(
        "--hypothesis", type=int, default=300, metavar="N", help="cases drawn by hypothesis, and shrunk"
    )
    parser.add_argument("--seed", type=int, help="default: one that is drawn, and printed")
    parser.add_argument("--jobs", type=int, default=2, metavar="J", help="processes at once (2)")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after so many (default: never)")
    parser.add_argument("--limit", type=float, default=SECONDS, metavar="S", help=f"of one case ({SECONDS:g})")
    parser.add_argument("--again", metavar="NAME", help="run one case again: its name, as it is printed, or a file")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="with --again: lay the files out there too")
    return parser


def main(arguments: list[str] | None = None) -> int:
    given = make_parser().parse_args(arguments)
    given.seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    with tempfile.TemporaryDirectory(prefix="colinear-fuzz-") as place, ExitStack() as stack:
        corpus = build_corpus(Path(place) / "corpus")
        workers = [
            stack.enter_context(Worker(corpus.folder, Path(place) / f"worker-{number}", given.limit))
            for number in range(given.jobs)
        ]
        if given.again is not None:
            return repeat(given, corpus, workers[0])
        print(f"seed {given.seed}: {given.mutations:,} mutations, {given.commands:,} command lines", flush=True)
        prove(workers[0])
        check_corpus(workers[0], corpus)
        tally = Tally(FAILURES)
        started = time.monotonic()
        run_cases(campaign_cases(given, corpus), workers, tally)
        if given.hypothesis:
            search(given.hypothesis, given.seed, corpus, workers[0], tally)
        return conclude(tally, given, time.monotonic() - started)


def conclude(tally: Tally, given: argparse.Namespace, seconds: float) -> int:
    """Print the tables; 0 if nothing failed."""
    print("\n".join(["", *tally.lines(), "", tally.table(), ""]))
    print(f"seed {given.seed}, {tally.total:,} cases in {seconds:.0f} s, {given.jobs} at once")
    print(
        f"the longest took {tally.longest[0]:.1f} s ({tally.longest[1]}), "
        f"the largest {tally.largest[0]:,} MB ({tally.largest[1]})"
    )
    failed = sum(one.count for one in tally.failures.values())
    print(f"{failed} failed, in {len(tally.failures)} ways" + (f"; cases in {tally.folder}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
