"""The table of everything that decides what `tune` does. One entry is one option: on the command line, in
settings.json, in results.json, and in the command that repeats a run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from colinear.checks import MOST_INTERCEPT_SCALING, InputError, Range, check_choice
from colinear.search.classweights import ClassWeight, check_class_weight, parse_class_weight, write_class_weight
from colinear.search.option import (
    LAYERS,
    SEED,
    Kind,
    check_augment,
    check_extractor,
    check_values,
    choice,
    count,
    number,
    setting,
    span,
    strengths,
)

LOSS_NAMES = ("hinge", "softmax", "logistic", "squared-hinge")
BOTH = LOSS_NAMES[:2]
RATES = {"least": 1e-20, "most": 1e20}  # of --reg, --regs and --lr: beyond, products with them leave float32
# of `colinear.metrics.METRICS`, whose module needs torch; a test holds both to each other
METRIC_NAMES = ("accuracy", "balanced-accuracy", "macro-f1", "micro-f1", "map", "auc", "log-loss")
COURSE_BATCH = dict.fromkeys(LOSS_NAMES, 200) | {"hinge": 500}  # the course's batch sizes


def check_losses(flag: str, losses: tuple[str, ...]) -> None:
    """Raise `InputError` for a loss that there is none of, and for one that is named twice."""
    for place, loss in enumerate(losses):
        check_choice(flag, loss, LOSS_NAMES)
        if loss in losses[:place]:
            raise InputError(f"{flag} must name each loss once; got {','.join(losses)}.")


LOSSES = Kind(str, check_losses, lambda flag, text: BOTH if text == "both" else tuple(text.split(",")), write=",".join)


@dataclass(frozen=True)
class Settings:
    """Settings of a tuning run; the defaults are the command line's.

    data .. seed : what is trained on, and what selects.   candidates .. subspace : the course's search (solver 'sgd').
    regs .. cv : the exact path (solver 'exact').   shots, tries : few-shot runs, None for all training rows.
    Raises `InputError` for values out of range: strengths and rates lie in [1e-20, 1e20], the constant feature in
    [0, 1e8], tol in (0, 1], seeds in [0, 2^63), candidates in [1, 100,000].
    """

    # fmt: off
    data: str
    data_dir: str | None = setting(
        None, "--data-dir", Kind(Path), "Where CIFAR-10 lies; else COLINEAR_DATA, else the cache.", "data", "DIR")
    label: str | None = setting(
        None, "--label", Kind(), "Where a feature file has its labels: column, key or file.", "data", "NAME")
    sample_weight: str | None = setting(
        None, "--sample-weight", Kind(),
        "What each row counts: a column or key of a feature file, or a .npy file of one number a row.", "data", "NAME")
    losses: tuple[str, ...] = setting(
        "both", "--loss", LOSSES, "What is minimised: softmax, hinge, logistic, squared-hinge, several of them with a "
        "comma, or both: hinge and softmax.", metavar="NAMES")
    metric: str = setting(
        "accuracy", "--metric", choice(*METRIC_NAMES), "What the best setting has the best of, on validation rows.",
        search_only=True)
    solver: str = setting(
        "exact", "--solver", choice("exact", "sgd"),
        "exact: every strength to a certificate, no learning rate. sgd: the course's random search.",
        shown="exact; sgd if one of its options is given", repeated=True)
    seed: int = setting(0, "--seed", SEED, "Draws rows, settings and first weights.", "run", "N", repeated=True)
    device: str = setting(
        "auto", "--device", Kind(), "cpu, cuda, cuda:1 ..., or auto: a GPU if there is one.", "run", "NAME")
    features: str | None = setting(
        None, "--features", Kind(check=check_extractor),
        "Learn from features of the rows: hog, hog+color, patches:K, kernel:D, hf:NAME_OR_FOLDER or MODULE:FUNCTION.",
        "features", "EXTRACTOR")
    pool: str | None = setting(
        None, "--pool", choice("cls", "mean", "pooled"),
        "What is kept of a network's tokens: cls, the first; mean, of its patches; pooled, its own.", "features",
        shown="cls", needs="--features hf:NAME_OR_FOLDER")
    layers: tuple[int, ...] | None = setting(
        None, "--layers", LAYERS, "Hidden states of a network, 0 being its embeddings: a run for each, in one pass.",
        "features", "N,N", shown="the network's output", needs="--features hf:NAME_OR_FOLDER")
    standardize: bool = setting(
        False, "--standardize", Kind(bool), "Divide each feature by its standard deviation.", "features")
    max_abs: bool = setting(
        False, "--max-abs", Kind(bool), "Divide each feature by its largest magnitude.", "features",
        forbids=("standardize",), because="--max-abs and {other} both divide each feature")
    intercept_scaling: float = setting(
        1.0, "--intercept-scaling", number(least=0, most=MOST_INTERCEPT_SCALING),
        "Value of the constant feature; large: the bias is hardly penalised.", "features", "VALUE")
    free_intercept: bool = setting(
        False, "--free-intercept", Kind(bool), "No penalty on the bias: a certificate of its own.", "features")
    class_weight: ClassWeight | None = setting(
        None, "--class-weight",
        Kind(str, check_class_weight, parse_class_weight, write_class_weight),
        "What the rows of a class count in training: balanced, or a .csv or .json file of classes and weights.",
        "features", "balanced|FILE")
    calibrate: str | None = setting(
        None, "--calibrate", choice("temperature", "thresholds", "both"),
        "Fit to validation rows, and keep in the model: a temperature of its probabilities, thresholds of its classes.",
        "features", forbids=("cv", "refit"),
        because="--calibrate {value} is fitted on validation rows; {other} would train on these too")
    augment: str | None = setting(
        None, "--augment", Kind(check=check_augment), "Train on copies too: mirror, shift:1, or both with a comma.",
        "features", "KINDS")

    candidates: int = setting(  # the course tries 50; the memory of fewer than the most is checked with the data
        50, "--candidates", count(most=100_000), "How many random settings are tried.", "sgd", "N", search_only=True)
    learning_rates: Range = setting(
        "1e-4:1e-1", "--lr", span(**RATES), "Learning rates, log-uniform.", "sgd", "LOW:HIGH", search_only=True)
    reg_range: Range = setting(
        "1e-3:1", "--reg", span(**RATES), "Strengths, log-uniform.", "sgd", "LOW:HIGH", search_only=True)
    steps: int = setting(5000, "--steps", count(), "Minibatches each candidate sees.", "sgd", "N")
    batch_size: int | None = setting(  # full passes belong to the exact path
        None, "--batch-size", count(most=1_000_000), "Rows a step.", "sgd", "N",
        shown="500 for hinge, 200 for softmax")
    momentum: float = setting(0.0, "--momentum", Kind(float), "In [0, 1).", "sgd", "M", late=True)
    schedule: str = setting(
        "constant", "--schedule", choice("constant", "cosine"), "Of the learning rate.", "sgd", late=True)
    averaging: float = setting(
        0.0, "--averaging", Kind(float), "Average the iterates of this last share of the steps.", "sgd", "SHARE",
        late=True)
    precision: str = setting(
        "highest", "--matmul-precision", choice("highest", "high"),
        "high: tensor cores may multiply float32 in TF32; certificates are float64.", "run", late=True)
    eta: int | None = setting(
        3, "--eta", count(least=2), "With --halving: 1 in N stays at each rung.", "sgd", "N",
        switch=("--halving", "Drop losers at rungs (successive halving)."), needs="--halving", search_only=True)
    subspace: float | None = setting(
        None, "--subspace", number(above=0, most=1),
        "Search in the principal subspace with this share of variance, as 0.985.", "sgd", "SHARE", search_only=True)

    regs: tuple[float, ...] | None = setting(
        "auto", "--regs", strengths(**RATES),
        "Strengths: a log-spaced range, a comma list, dino45 (45 values of C from 1e-6 to 1e5), or auto: a range that "
        "follows the features and goes on beyond an end.", "exact", "LOW:HIGH:COUNT", search_only=True)
    rule: str = setting(
        "best", "--rule", choice("best", "1se"),
        "best: the highest accuracy wins. 1se: the strongest within one standard error of it.", "exact",
        search_only=True)
    tol: float = setting(
        1e-3, "--tol", number(above=0, most=1), "Relative duality gap to reach: 1e-3 is 0.1 % of the optimum.",
        "exact", "GAP")
    max_passes: int = setting(
        300, "--max-passes", count(), "Passes over the data after which a strength stops.", "exact", "N")
    refit: bool = setting(
        False, "--refit", Kind(bool), "Train the winner on training and validation rows.", "exact", search_only=True)
    cv: int | None = setting(
        None, "--cv", count(least=2), "Select by N-fold cross-validation.", "exact", "N", forbids=("refit",),
        because="--cv trains the winner on training and validation rows anyway", search_only=True)

    shots: int | None = setting(
        None, "--shots", count(), "Few-shot: train on K rows of each class, several times.", "features", "K",
        forbids=("cv", "refit"),
        because="--shots trains on {value} rows of each class and selects on the validation rows; {other} would train "
                "on these too", search_only=True)
    tries: int = setting(  # each has a folder
        5, "--tries", count(most=10_000), "With --shots: so many draws of the rows.", "features", "N",
        needs="--shots K", search_only=True)
    # fmt: on

    def __post_init__(self) -> None:
        check_values(self)
        if self.free_intercept and not self.intercept_scaling:
            raise InputError(
                "--free-intercept needs the constant feature, which --intercept-scaling 0 leaves out. Leave one out."
            )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Settings:
        """The settings written by an earlier run; unknown or missing names are refused."""
        from colinear.search.written import results_schema  # nothing that `colinear --help` waits for

        names = {f.name for f in fields(cls)}
        if not isinstance(values, dict) or set(values) != names:
            raise InputError("the run's settings were written by another version. Start a new run.")
        wrong = results_schema().problem(values, "#/$defs/settings")
        if wrong is not None:
            raise InputError(f"the run's settings are damaged: {wrong}. Start a new run.")
        tuples: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**tuples)
