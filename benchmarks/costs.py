"""What a pass and a path cost: bytes, flops and messages counted, seconds from constants that are measured.

`python -m benchmarks.run costs` measures them in one process of one thread and in two at a time; those of a GPU are of
its data sheet. docs/scaling.md has the tables of `tables`, made of the constants in benchmarks/results/.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from benchmarks.tables import Table, number
from colinear.datasets.features import CHUNK_ROWS
from colinear.parallel.group import MOST_GATHERED
from colinear.solvers.descent import CHECKED
from colinear.solvers.path import PRODUCT_ALONE
from colinear.solvers.tuning import USUAL

PASSES = 13  # of a strength of 1,000 classes: 90 of seven, benchmarks/results/classes-cpu-avx-512-vnni.json
ARRAYS = 30  # of weights' size that a step reads or writes beside its pairs
PAIR_ARRAYS = 10  # the same for each pair: two inner products, two sums
RANKS, GPUS = (1, 2, 8, 64), (1, 8, 64)


@dataclass(frozen=True)
class Machine:
    """What one process can do, in seconds, and bytes and flops a second.

    flops, flops64 : products of a pass.    rows : bytes of rows, from the file's pages to what is multiplied.
    score : seconds of the loss for one score.    weights : bytes of arrays of weights that are added and multiplied.
    eigen : flops of an eigendecomposition, 9 d^3.    opened : bytes of rows that are looked at when they are opened.
    hashed : bytes of weights.    latency, sent : seconds of a message, and bytes of one.
    launch : seconds that the host takes for a chunk, while the device works on the one before.
    room : bytes for rows, where they have to be held in memory.
    """

    flops: float
    flops64: float
    rows: float
    score: float
    weights: float
    eigen: float
    opened: float
    hashed: float
    latency: float = 0.0
    sent: float = math.inf
    launch: float = 0.0
    room: float = math.inf

    @classmethod
    def of(cls, measured: dict[str, float]) -> Machine:
        """From a JSON file, which may hold more."""
        return cls(**{field.name: measured[field.name] for field in fields(cls) if field.name in measured})


@dataclass(frozen=True)
class Size:
    """A problem: `columns` without the constant one, `bytes` of a stored number, so many ranks and strengths."""

    rows: int
    columns: int
    classes: int
    strengths: int = 9
    ranks: int = 1
    bytes: int = 4

    @property
    def weights(self) -> int:
        """Numbers of one strength."""
        return self.classes * (self.columns + 1)

    @property
    def together(self) -> int:
        """Strengths that a pass serves, where none is given weights to start from; see `solvers.path`."""
        product = 2.0 * self.weights * min(self.rows, CHUNK_ROWS)
        held = USUAL.batch_bytes // ((2 * USUAL.memory + 8) * self.weights * 8)
        return max(
            1, min(self.strengths, held, max(USUAL.batch_rows // self.classes, math.ceil(PRODUCT_ALONE / product)))
        )

    @property
    def pairs(self) -> int:
        """Pairs of L-BFGS, of 10,000 rows and more."""
        room = USUAL.batch_bytes // (16 * self.weights * self.together) - 4
        return max(USUAL.memory, min(4 * USUAL.memory, room))

    @property
    def spectrum(self) -> tuple[int, int]:
        """Eigenvectors, and rows that they are of."""
        rank, sampled = USUAL.spectrum_size(self.columns + 1, self.rows, self.classes)
        return rank, min(sampled, self.rows)

    @property
    def pass_flops(self) -> float:
        """Of the two products of a pass, in each rank."""
        return 4.0 * self.together * self.weights * self.rows / self.ranks

    @property
    def pass_bytes(self) -> float:
        """Of rows that a pass reads, in each rank."""
        return self.rows * self.columns * self.bytes / self.ranks

    @property
    def sent_bytes(self) -> float:
        """That each rank sends to sum gradients of float32: all to all others where they are few, else round a ring."""
        numbers = self.together * self.weights
        gathered = 8.0 * numbers * (self.ranks - 1)
        return gathered if numbers <= MOST_GATHERED else 8.0 * numbers * (self.ranks - 1) / self.ranks

    @property
    def messages(self) -> int:
        """One after another, of the sums of a pass."""
        few = self.together * self.weights <= MOST_GATHERED
        return (self.ranks - 1) * (1 if few else 3)

    @property
    def step_flops(self) -> float:
        """Of the preconditioner in a step, which every rank takes: it is asked twice."""
        return 8.0 * self.together * self.weights * self.spectrum[0]

    @property
    def step_bytes(self) -> float:
        """Of weights that a step reads and writes, in every rank."""
        return 4.0 * self.together * self.weights * (ARRAYS + PAIR_ARRAYS * self.pairs)


def pass_seconds(size: Size, machine: Machine, *, double: bool = False) -> dict[str, float]:
    """Seconds of a pass and its step, by what takes them; of a certificate's pass, in float64 and without a step.

    products, rows and loss are shared by the ranks, sums grow with them, and steps are the same in each.
    """
    scores = size.together * size.classes * size.rows / size.ranks
    products = size.pass_flops / (machine.flops64 if double else machine.flops)
    loss = scores * machine.score * (1 + double)
    rows = size.pass_bytes * (1 + double) / machine.rows
    launches = size.rows / size.ranks / CHUNK_ROWS * machine.launch
    idle = max(0.0, launches - products - rows - loss)
    hashed = 4.0 * size.together * size.weights / machine.hashed / CHECKED if size.ranks > 1 else 0.0
    wide = double and size.together * size.weights > MOST_GATHERED  # what is gathered is float64 in any case
    sums = size.messages * machine.latency + size.sent_bytes * (1 + wide) / machine.sent + hashed
    step = 0.0 if double else size.step_flops / machine.flops + size.step_bytes / machine.weights
    return {"products": products, "rows": rows, "loss": loss, "launches": idle, "sums": sums, "steps": step}


def path_seconds(size: Size, machine: Machine, passes: float = PASSES) -> dict[str, float]:
    """Seconds of a path by what takes them: opening and spectrum, passes of every group, a certificate of each.

    passes : of each group of strengths.
    """
    groups = math.ceil(size.strengths / size.together)
    first, last = pass_seconds(size, machine), pass_seconds(size, machine, double=True)
    spent = {name: groups * (passes * first[name] + last[name]) for name in first}
    d = size.columns + 1
    rank, sampled = size.spectrum
    moment = 2.0 * sampled * d * rank / size.ranks / machine.flops
    return {
        **spent,
        "spectrum": moment + 9.0 * d * rank * rank / machine.eigen,
        "opening": size.pass_bytes / machine.opened,
    }


def limit(spent: dict[str, float]) -> str:
    """The two that take most, and their shares.

    >>> limit({"sums": 1.0, "products": 3.0, "steps": 0.0})
    'products 75 %, sums 25 %'
    """
    first, second = sorted(spent, key=lambda name: -spent[name])[:2]
    shares = {name: 100 * spent[name] / sum(spent.values()) for name in (first, second)}
    return ", ".join(f"{name} {share:.0f} %" for name, share in shares.items())


# An H100 SXM's data sheet: 67 TFLOP/s float32 and float64 (tensor cores), of which matrix products reach about 0.85
# and 0.8; 3.35 TB/s, of which operators reach 0.8: a row is read, written scaled and read again, a score is passed over
# about ten times. NVLink: 450 GB/s each way, of which sums reach 300; between machines 400 Gbit/s, of which they reach
# 40 GB/s. A chunk is 20 kernels of 5 us. What the host does, opening and hashes, is as measured here.
HELD = 2.7e12
GPU = {
    "flops": 57e12, "flops64": 53e12, "rows": HELD / 3, "score": 40 / HELD, "weights": HELD, "eigen": 2e11,
    "launch": 1e-4, "latency": 1e-5, "room": 72e9,
}  # fmt: skip
GPU_SENT = {1: math.inf, 8: 300e9, 64: 40e9}
LARGE = (Size(1_281_167, 2048, 1000), Size(100_000_000, 1024, 1000))


def processors(measured: dict[str, dict[str, float]], ranks: int) -> Machine:
    """A process of one thread: alone, or as it is beside another."""
    return Machine.of(measured["alone" if ranks == 1 else "together"])


def accelerator(measured: dict[str, dict[str, float]], gpus: int) -> Machine:
    """A process with a GPU, on a host like this one."""
    host = {name: measured["together"][name] for name in ("opened", "hashed")}
    return Machine.of({**GPU, **host, "sent": GPU_SENT[gpus]})


def counted() -> Table:
    """What a pass of each large problem is, in one of so many ranks."""
    table = Table(
        "a pass in each rank", ["rows x columns x classes", "ranks", "flops", "bytes read", "sent", "repeated flops"]
    )
    for problem in LARGE:
        for ranks in (1, 8, 64):
            size = replace(problem, ranks=ranks)
            table.add(
                _shape(size), ranks, _amount(size.pass_flops), _amount(size.pass_bytes), _amount(size.sent_bytes),
                _amount(size.step_flops),
            )  # fmt: skip
    return table


def predicted(measured: dict[str, dict[str, float]], *, gpus: bool = False) -> Table:
    """Seconds of a pass and hours of paths of nine and 45 strengths, and what takes most of them."""
    what = "GPUs" if gpus else "ranks"
    table = Table(
        f"on {what}", ["rows x columns x classes", what, "a pass", "9 strengths", "45 strengths", "most of nine"]
    )
    for problem in LARGE:
        for ranks in GPUS if gpus else RANKS:
            machine = accelerator(measured, ranks) if gpus else processors(measured, ranks)
            size = replace(problem, ranks=ranks)
            if size.pass_bytes > machine.room:
                table.add(_shape(size), ranks, "its rows do not fit", "", "", "memory")
                continue
            nine, more = (path_seconds(replace(size, strengths=count), machine) for count in (9, 45))
            one = sum(pass_seconds(size, machine).values())
            table.add(
                _shape(size),
                ranks,
                *(_time(sum(times)) for times in ([one], nine.values(), more.values())),
                limit(nine),
            )
    return table


UNITS = {
    "flops": ("products of float32, GFLOP/s", 1e9), "flops64": ("products of float64, GFLOP/s", 1e9),
    "rows": ("rows made ready, GB/s", 1e9), "score": ("loss of a score, ns", 1e-9),
    "weights": ("operators on weights, GB/s", 1e9), "eigen": ("eigenvectors, 9 d^3 GFLOP/s", 1e9),
    "opened": ("rows opened, GB/s", 1e9), "hashed": ("weights hashed, GB/s", 1e9),
    "latency": ("a small sum, ms", 1e-3), "sent": ("a large sum, GB/s sent", 1e9),
}  # fmt: skip


def constants(measured: dict[str, dict[str, float]]) -> Table:
    """What is measured, and that of a pass what the model makes of it."""
    table = Table("constants", ["of one process", "alone", "beside another"])
    for name, (what, unit) in UNITS.items():
        table.add(what, *(number(one[name] / unit) if name in one else "" for one in _both(measured)))
    table.add("a pass, measured, s", *(number(one["pass"]) for one in _both(measured)))
    table.add("the same by the model, s", *(number(modelled(measured, name)) for name in ("alone", "together")))
    return table


CHECKED_SIZE = Size(32_768, 1024, 1000, strengths=1)  # of the pass that is measured


def modelled(measured: dict[str, dict[str, float]], name: str) -> float:
    """Seconds of the measured pass by the model: no step was taken, and no weights were compared."""
    size = replace(CHECKED_SIZE, ranks=1 if name == "alone" else 2)
    spent = pass_seconds(size, Machine.of({**measured[name], "hashed": math.inf}))
    return sum(spent.values()) - spent["steps"]


def tables(measured: dict[str, dict[str, float]]) -> list[Table]:
    """Those of docs/scaling.md."""
    return [constants(measured), counted(), predicted(measured), predicted(measured, gpus=True)]


def as_markdown(table: Table) -> str:
    """The table as the manual has it.

    >>> table = Table("t", ["a", "b"])
    >>> table.add(1, 2)
    >>> print(as_markdown(table))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    lines: Iterator[tuple[str, ...]] = iter((tuple(table.columns), ("---",) * len(table.columns), *table.rows))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _both(measured: dict[str, dict[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    return measured["alone"], measured["together"]


def _shape(size: Size) -> str:
    rows = f"{size.rows / 1e6:.3g}M"
    return f"{rows} x {size.columns:,} x {size.classes:,}"


def _amount(value: float) -> str:
    """
    >>> _amount(0), _amount(8.19e6), _amount(1.05e13)
    ('0', '8.19 M', '10.5 T')
    """
    for unit, name in ((1e12, " T"), (1e9, " G"), (1e6, " M")):
        if value >= unit:
            return f"{number(value / unit)}{name}"
    return number(value) if value else "0"


def _time(seconds: float) -> str:
    """
    >>> _time(0.0123), _time(90), _time(7200), _time(1e6)
    ('12.3 ms', '1.50 min', '2.00 h', '11.6 days')
    """
    for unit, name in ((86_400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s")):
        if seconds >= unit * (1.5 if name == "days" else 1):
            return f"{number(seconds / unit)} {name}"
    return f"{number(1000 * seconds)} ms"
