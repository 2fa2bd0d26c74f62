"""A search selects by the metric it is given, on rows that count by their weights; and says so everywhere."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.processes import run_well
from tests.program import Program
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets import ArrayDataset
from colinear.datasets.augment import AugmentedDataset
from colinear.datasets.base import Split, sample_weights
from colinear.datasets.derived import JoinedDataset
from colinear.datasets.features import Features, fit_scaling
from colinear.datasets.stratified import deal_folds
from colinear.losses import LOSSES
from colinear.metrics import METRICS
from colinear.metrics.metric import Metric
from colinear.model import LinearModel
from colinear.objective import Objective
from colinear.parallel.group import ALONE, Group
from colinear.report.panels import read_panels
from colinear.search import Candidate, SGDSearch
from colinear.search.checkpoints import run_identity
from colinear.search.classweights import class_weights, parse_class_weight
from colinear.search.judging import judge, weigh_rows
from colinear.search.path_search import PathSearch
from colinear.search.prepared import Prepared
from colinear.search.runfolder import check_identity
from colinear.search.score import measure_model
from colinear.search.settings import METRIC_NAMES, Settings
from colinear.solvers import SGD
from colinear.solvers.path import solve_path

NAMES = ("a", "b", "c")


def draw(n: int = 150, seed: int = 0, weighted: bool = True) -> ArrayDataset:
    """Rows of three unequal classes, which overlap, with weights."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(torch.tensor([0.7, 0.2, 0.1]), n, replacement=True, generator=generator)
    labels[:3] = torch.arange(3)
    features = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    features[torch.arange(n), labels] += 1.2
    weights = torch.rand(n, generator=generator, dtype=torch.float64) * 2
    return ArrayDataset(features, labels, NAMES, name="rows", sample_weight=weights if weighted else None)


def see(data: Any, scaled_by: ArrayDataset | None = None) -> Features:
    return Features(data, fit_scaling(scaled_by or data), torch.float64)


def scores_of(features: Features, coef: Tensor) -> Tensor:
    rows = features.at(torch.float64).gather(slice(0, features.n_samples))
    return rows @ coef.double().mT


def test_the_choices_of_the_option_are_the_table() -> None:
    assert tuple(METRICS) == METRIC_NAMES


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", METRICS)
def test_the_exact_path_selects_by_the_metric(name: str, weighted: bool) -> None:
    """Every trial has the metric's value on each part, and the best of them wins; accuracies count rows as ever."""
    train, validation = draw(weighted=weighted), draw(seed=1, weighted=weighted)
    rows = see(train), see(validation, train)
    found = PathSearch("softmax", (1e-4, 1e-2, 1e-1, 1.0), 1e-8, metric=name).run(*rows)
    metric: Metric = METRICS[name]
    for number, trial in enumerate(found.trials):
        for part, features in (("train", rows[0]), ("val", rows[1])):
            scores, labels = scores_of(features, found.coef[number]), features.labels
            expected = metric(scores, labels, sample_weights(features.dataset))
            accuracy = getattr(trial, f"{part}_accuracy")
            assert accuracy == pytest.approx(METRICS["accuracy"](scores, labels))
            own = getattr(trial, f"{part}_score")
            assert (own is None) == (name == "accuracy" and not weighted)
            assert (accuracy if own is None else own) == pytest.approx(expected, rel=1e-9)
    best = min if name == "log-loss" else max
    assert found.winner.score == best(trial.score for trial in found.trials)
    assert found.details["choice"]["at_least"] == pytest.approx(found.winner.score)


@pytest.mark.parametrize("name", ["balanced-accuracy", "map", "log-loss"])
def test_errors_and_the_rule_of_one_standard_error_are_the_metrics(name: str) -> None:
    train, validation = draw(), draw(seed=1)
    rows = see(train), see(validation, train)
    search = PathSearch("softmax", tuple(10.0**power for power in range(-5, 1)), 1e-8, metric=name, rule="1se")
    found, metric = search.run(*rows), METRICS[name]
    best = found.trials[found.details["choice"]["best"]]
    scores = scores_of(rows[1], found.coef[found.trials.index(best)])
    low, high = metric.estimate(scores, validation.labels, sample_weights(validation)).interval
    if not metric.share:
        assert best.val_error == pytest.approx((high - low) / 2 / 1.959963984540054)
    limit = metric.merit(best.score) - (best.val_error or 0.0)
    allowed = [trial.reg for trial in found.trials if metric.merit(trial.score) >= limit]
    assert found.winner.reg == max(allowed)
    assert metric.merit(found.details["choice"]["at_least"]) == pytest.approx(limit)


@pytest.mark.parametrize("name", ["macro-f1", "map", "log-loss", "accuracy"])
def test_folds_are_judged_by_the_metric_and_their_weights(name: str) -> None:
    data, metric = draw(), METRICS[name]
    rows, regs = see(data), (1e-3, 1e-1)
    found = PathSearch("softmax", regs, 1e-9, metric=name).cross_validate(rows, rows, 3)
    folds = deal_folds(data.labels, 3, 0, NAMES)
    weights = sample_weights(data)
    assert weights is not None
    for number, reg in enumerate(regs):
        values, sizes = [], []
        for fold in range(3):
            held = folds == fold
            kept = Features(data.subset(~held), rows.scaling, torch.float64)
            alone = solve_path(Objective(kept, weights[~held]), LOSSES["softmax"], [reg], tol=1e-9)
            values.append(metric(scores_of(rows, alone.coef[0])[held], data.labels[held], weights[held]))
            sizes.append(float(weights[held].sum()))
        trial = found.trials[number]
        assert found.details["folds"]["val_scores"][number] == pytest.approx(values, rel=1e-4)
        assert trial.score == pytest.approx(np.average(values, weights=sizes), rel=1e-4)
        assert trial.spread == pytest.approx(np.std(values, ddof=1), rel=1e-3)
        assert trial.val_error == pytest.approx(np.std(values, ddof=1) / math.sqrt(3), rel=1e-3)


@pytest.mark.parametrize("eta", [None, 3])
def test_the_course_search_ranks_by_the_metric_at_rungs_and_in_the_end(eta: int | None) -> None:
    train, validation = draw(), draw(seed=1)
    rows = see(train), see(validation, train)
    candidates = tuple(Candidate(rate, reg) for rate in (1e-3, 1e-1, 1.0) for reg in (1e-3, 1e-1, 1.0))
    search = SGDSearch("softmax", candidates, SGD(90, 30), eta=eta, metric="log-loss")
    found = search.run(*rows)
    ended = [found.trials[number].score for number in found.order if found.trials[number].status.key == "completed"]
    assert ended == sorted(ended)
    for number, trial in enumerate(found.trials):
        scores = scores_of(rows[1], found.coef[number])
        assert trial.score == pytest.approx(METRICS["log-loss"](scores, validation.labels, validation.sample_weight))
    for rung in found.rungs:
        assert rung.val_scores is not None
        left = [
            rung.val_scores[place] for place, number in enumerate(rung.candidates) if _left(found, number, rung.step)
        ]
        stayed = [score for score in rung.val_scores if score not in left]
        assert max(stayed) <= min(left)


def _left(found: Any, number: int, step: int) -> bool:
    return bool(found.trials[number].steps == step)


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_a_row_of_weight_two_is_the_row_twice_to_sgd(loss: str) -> None:
    """One step on all rows at once, drawn by hand: the weighted mean of the gradients."""
    data = draw(6, weighted=False)
    weights = torch.tensor([2.0, 1, 1, 1, 0, 3], dtype=torch.float64)
    features, sgd = see(data), SGD(1, 6)
    coef = torch.randn(3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rate, reg = torch.tensor([0.1]), torch.tensor([0.5])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(6, (6,), generator=torch.Generator().manual_seed(0))
    state = sgd.advance(sgd.start(coef, rate, reg, generator), features, LOSSES[loss], 1, weights)
    rows = features.gather(slice(0, 6))[drawn]
    scores = (coef @ rows.mT).unsqueeze(0)
    LOSSES[loss].value_and_gradient_(scores, data.labels[drawn], weights[drawn] * 6 / 8)
    expected = coef - 0.1 * (scores[0] @ rows / 6 + coef)
    torch.testing.assert_close(state.coef[0], expected, rtol=1e-6, atol=1e-7)


def test_weighted_slopes_of_the_hinge_are_no_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where steps of bytes are made for slopes that are whole numbers, weights keep them away."""
    from colinear import products

    data = ArrayDataset(torch.zeros(300, 4, dtype=torch.uint8), torch.arange(300) % 3, NAMES, (1, 2, 2), "b", 255.0)
    features = Features(data, fit_scaling(data))
    monkeypatch.setattr(products, "suits_bytes", lambda features: True)
    made = {
        plain: type(products.step_products(features, LOSSES["hinge"], 200, unweighted=plain)) for plain in (True, False)
    }
    assert made == {True: products.ByteProducts, False: products.FloatProducts}


def test_every_view_of_rows_has_their_weights() -> None:
    data = draw(12)
    weights = data.sample_weight
    assert weights is not None
    picked = data.subset(torch.tensor([5, 2])).subset(slice(0, 1))
    assert picked.sample_weight is not None
    assert picked.sample_weight.tolist() == [float(weights[5])]
    joined = JoinedDataset(data, data.subset(slice(0, 3)))
    assert torch.equal(joined.subset(slice(10, 14)).sample_weight, torch.cat([weights[10:], weights[:2]]))  # type: ignore[attr-defined]
    assert sample_weights(JoinedDataset(data, draw(3, weighted=False))) is None
    images = ArrayDataset(torch.zeros(2, 4, dtype=torch.uint8), torch.arange(2), ("a", "b"), (1, 2, 2), "images", 255.0,
                          sample_weight=torch.tensor([1.0, 3.0]))  # fmt: skip
    assert sample_weights(AugmentedDataset(images, mirror=True)).tolist() == [1, 3, 1, 3]  # type: ignore[union-attr]
    heavier = replace(images, sample_weight=torch.tensor([1.0, 4.0]))
    settings = Settings("images")
    mine, theirs = (run_identity(settings, Split(one, one)) for one in (images, heavier))
    with pytest.raises(InputError, match="is of other sample weights: the data has changed since"):
        check_identity("the checkpoint", theirs, mine)
    assert images.fingerprint == heavier.fingerprint  # the same rows, whatever they count
    with pytest.raises(InputError, match="one weight per row; got 1 for 2 rows"):
        replace(images, sample_weight=torch.ones(1))


@pytest.mark.parametrize("cv", [None, 2])
def test_weights_flow_to_scaling_objective_and_preconditioner(cv: int | None) -> None:
    """A run on weighted rows is one on rows that are there as often as they weigh."""
    data = draw(60)
    counts = torch.randint(1, 4, (60,), generator=torch.Generator().manual_seed(3))
    weighted = replace(data, sample_weight=counts.double())
    repeated = replace(data, sample_weight=None).subset(torch.arange(60).repeat_interleave(counts))
    settings = Settings("rows", standardize=True, class_weight="balanced", cv=cv, solver="exact")
    mine, theirs = (Prepared.fit(settings, Split(one, one)) for one in (weighted, repeated))
    for part in ("scale", "shift"):
        torch.testing.assert_close(getattr(mine.scaling, part), getattr(theirs.scaling, part))
    assert mine.class_weight == pytest.approx(theirs.class_weight)
    objectives = [
        Objective(one.trained_on, weigh_rows(one.trained_on.dataset, one.class_weight)) for one in (mine, theirs)
    ]
    coef = torch.randn(1, 3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = [one.evaluate(coef, torch.tensor([0.1]), LOSSES["softmax"]).objective for one in objectives]
    torch.testing.assert_close(*values)
    plain = Prepared.fit(replace(settings, class_weight=None), Split(weighted, weighted))
    assert plain.preconditioner is not None
    assert mine.preconditioner is not None
    assert not torch.equal(plain.preconditioner.spectrum.values, mine.preconditioner.spectrum.values)
    assert plain.class_weight is None


def test_balanced_classes_weigh_the_same() -> None:
    data = draw()
    factors = class_weights("balanced", data)
    assert factors is not None
    total = weigh_rows(data, factors)
    assert total is not None
    shares = torch.bincount(data.labels, total)
    torch.testing.assert_close(shares, shares.mean().expand(3))
    from sklearn.utils.class_weight import compute_class_weight

    even = replace(data, sample_weight=None)
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=data.labels.numpy())
    assert class_weights("balanced", even) == pytest.approx(theirs.tolist())
    assert class_weights({"b": 3.0}, even) == (1.0, 3.0, 1.0)


def judge_all(group: Group, data: ArrayDataset) -> Any:
    own = data.subset(group.own(data.n_samples))
    features = see(own) if group.size == 1 else Features(own, fit_scaling(data), torch.float64)
    coef = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = {name: judge(features, coef, metric, group, error=True) for name, metric in METRICS.items()}
    model = LinearModel(torch.eye(3, 4, dtype=torch.float64), torch.zeros(3).double(), NAMES)
    tested = {name: measure_model(model, own, metric, group) for name, metric in METRICS.items()}
    return class_weights("balanced", own, group), found, tested


TOGETHER = """
import sys, torch
from colinear.parallel.group import Group
from colinear.parallel.launch import Launch
from tests.test_judging import draw, judge_all
group = Group.join(Launch.find(), 20)
torch.save(judge_all(group, draw(50)), sys.argv[1] + f"/{group.rank}.pt")
group.end()
"""


def test_processes_judge_as_one(tmp_path: Path) -> None:
    """Three processes, each with a range of the rows: the same values, errors, intervals and class weights as one."""
    data = draw(50)
    alone = judge_all(ALONE, data)
    run_well(["-c", TOGETHER, str(tmp_path)], 3, Path(__file__).parents[1])
    for found in (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(3)):
        assert found[0] == pytest.approx(alone[0])
        for name in METRICS:
            for part in ("accuracies", "scores", "errors"):
                assert getattr(found[1][name], part) == pytest.approx(getattr(alone[1][name], part), rel=1e-12), name
            assert found[2][name].value == pytest.approx(alone[2][name].value)
            assert found[2][name].interval == pytest.approx(alone[2][name].interval)


# --- at the command line


@pytest.fixture
def table(tmp_path: Path) -> Path:
    data = draw(240)
    path = tmp_path / "rows.npz"
    names = np.array(NAMES)[data.labels.numpy()]
    np.savez(path, X=data.features.numpy(), y=names, t=names, w=data.sample_weight.numpy())  # type: ignore[union-attr]
    return path


def test_a_run_names_its_metric_everywhere(
    colinear: Program, without_figures: None, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    options = ("--metric", "macro-f1", "--class-weight", "balanced", "--sample-weight", "w", "--loss", "softmax")
    said = colinear("tune", table, *options, "--regs", "1e-3,1e-2,1e-1", "--out", out)
    assert said.status == 0, said.err
    assert "softmax: 3 strengths by macro-f1, best first" in said.out
    results = json.loads((out / "results.json").read_text())
    [entry] = results["runs"]
    trial = entry["trials"][entry["best"]]
    assert trial["val_score"] == max(one["val_score"] for one in entry["trials"])
    assert f"softmax test macro-f1 {entry['test_score']:.4f} (95 %" in said.out
    assert f"softmax test accuracy {entry['test_accuracy']:.4f} (95 %" in said.out
    assert f"{trial['train_score']:.4f}      {trial['val_score']:.4f}" in said.out
    assert entry["metric"] == results["settings"]["metric"] == "macro-f1"
    assert results["settings"]["class_weight"] == "balanced"
    assert len(entry["class_weight"]) == 3
    [panel] = read_panels(out)
    assert panel["metric"] == {"name": "macro-f1", "higher": True, "share": True}
    assert panel["test"]["score"] == entry["test_score"]
    for word in ("--metric macro-f1", "--class-weight balanced", "--sample-weight w"):
        assert word in panel["command"]
    model = LinearModel.load(out / "model-softmax.safetensors")
    assert model.provenance["metric"] == "macro-f1"
    assert model.provenance["val_score"] == trial["val_score"]
    again = colinear("tune", "--resume", out)
    assert "is finished already" in again.err


@pytest.mark.parametrize("solver", ["exact", "sgd"])
def test_a_weight_of_zero_takes_a_row_out_of_training_and_of_the_score(
    colinear: Program, without_figures: None, tmp_path: Path, solver: str
) -> None:
    """Rows with hostile labels that count nothing: a model as good as one without them, in the score too."""
    data = draw(200, weighted=False)
    hostile = torch.arange(200) % 2 == 1
    labels = torch.where(hostile, (data.labels + 1) % 3, data.labels)
    np.save(tmp_path / "X.npy", data.features.numpy())
    np.save(tmp_path / "y.npy", labels.numpy())
    np.save(tmp_path / "w.npy", (~hostile).double().numpy())
    options = ("--solver", solver, *(("--steps", "100", "--candidates", "4") if solver == "sgd" else ()))
    found = {}
    for name, weights in (("with", ("--sample-weight", "w.npy")), ("without", ())):
        out = tmp_path / name
        said = colinear("tune", tmp_path / "X.npy", "--loss", "softmax", *options, *weights, "--out", out)
        assert said.status == 0, said.err
        found[name] = json.loads((out / "results.json").read_text())["runs"][0]
    assert found["with"]["test_score"] > found["without"]["test_accuracy"] + 0.15
    assert found["with"]["test_score"] > found["with"]["test_accuracy"] + 0.1  # which counts the hostile rows too
    assert "test_score" not in found["without"]
    assert not any("val_score" in trial for trial in found["without"]["trials"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sample-weight", "v"), "has no column or key v"),
        (("--sample-weight", "t"), "column t of .* must be numbers"),
        (("--sample-weight", "none.npy"), "none.npy must be a file of weights; there is none"),
        (("--class-weight", "none.csv"), "none.csv does not exist"),
        (("--class-weight", "half"), "--class-weight must be balanced, a .csv or .json file"),
        (("--class-weight", '{"a": -1}'), "the weight of a in --class-weight must be a finite number >= 0"),
        (("--class-weight", '{"z": 1}'), "names classes that rows does not have: z"),
        (("--class-weight", '{"a": 0, "b": 0}'), "rows of at least 2 classes must have a weight"),
        (("--class-weight", "{}"), "or a weight for each of some classes"),
        (("--class-weight", '{"a": '), "as JSON; it is no JSON"),
        (("--metric", "best"), "Invalid value for '--metric'"),
    ],
)
def test_a_mistake_about_weights_is_told(
    colinear: Program, table: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    said = colinear("tune", table, *options, "--out", tmp_path / "run")
    assert said.status == 2
    assert re.search(message, " ".join(said.err.split())), said.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("w.csv", "class,weight\na,2\nb,0.5\n"),
        ("w.csv", "\ufeffa,2\r\nb,0.5\r\n"),
        ("w.json", '{"a": 2, "b": 0.5}'),
    ],
)
def test_class_weights_are_read_from_files(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, newline="")
    assert parse_class_weight("--class-weight", str(tmp_path / name)) == {"a": 2.0, "b": 0.5}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.csv", b"a,1\na,2\n", "each class once; line 2 has 'a,2'"),
        ("w.csv", b"a,1\nb,x\n", "line 2 has 'b,x'"),
        ("w.csv", b"a\n", "line 1 has 'a'"),
        ("w.csv", b"a,nan\n", "the weight of a in"),
        ("w.csv", b"\xff,1\n", "must be text of lines class,weight"),
        ("w.csv", b"\n", "or a weight for each of some classes"),
        ("w.json", b"[1]", 'must hold {"class": weight'),
        ("w.json", b'{"a": "1"}', "the weight of a in"),
    ],
)
def test_a_damaged_file_of_class_weights_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as told:
        parse_class_weight("--class-weight", str(tmp_path / name))
    assert message in str(told.value)


def test_a_file_of_class_weights_is_no_place_for_a_model(colinear: Program, table: Path, tmp_path: Path) -> None:
    place = tmp_path / "w.json"
    place.write_text('{"a": 2}')
    said = colinear("fit", table, "--class-weight", place, "--out", place, "--force")
    assert said.status == 2
    assert place.read_text() == '{"a": 2}'
