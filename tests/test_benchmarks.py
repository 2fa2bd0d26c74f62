"""Each problem's code at toy size on the digits; nothing about speed is asserted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import command, machine, sameness, strengths
from benchmarks.certificates import CERTIFICATES, hinge_certificate, write_rows
from benchmarks.machine import file_name, spread
from benchmarks.methods.course import course_hinge, course_softmax
from benchmarks.methods.loops import mean_hinge
from benchmarks.methods.ours import solve
from benchmarks.problems import CourseSearch, WrongAnswerError, hinge_path, softmax_path
from benchmarks.run import main
from benchmarks.small import REAL, small_problems
from benchmarks.sparse import SparseOptions, certify, cut_sources, draw_words, run_sparse, sparse_table
from benchmarks.tune_memory import peak_of

from colinear import SoftmaxClassifier
from colinear.datasets import Features, Split, fit_scaling
from colinear.estimators.base import CertificateWarning
from colinear.losses import LOSSES
from colinear.reference import hinge_loops, softmax_loops

SEARCH = ("--candidates", "4", "--steps", "12", "--repeats", "1", "--baseline-steps", "3", "--check-steps", "4")


def run(out: Path, *arguments: str) -> dict[str, Any]:
    main([*arguments, "--data", "digits", "--device", "cpu", "--out", str(out)])
    report: dict[str, Any] = json.loads((out / file_name(arguments[0], torch.device("cpu"))).read_text())
    return report


def test_files_of_processors_that_multiply_bytes_otherwise_have_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for instructions, name in (
        ("AMX", "path-cpu"),
        ("AVX-512 VNNI", "path-cpu-avx-512-vnni"),
        (None, "path-cpu-float"),
    ):
        monkeypatch.setattr(machine, "byte_instructions", lambda instructions=instructions: instructions)
        monkeypatch.setattr(machine, "multiplies_bytes", lambda instructions=instructions: instructions is not None)
        assert machine.file_name("path", torch.device("cpu")) == f"{name}.json"


def test_course_search_reports_every_variant_beside_the_baseline(tmp_path: Path) -> None:
    report = run(tmp_path, "course-search", *SEARCH)
    assert set(report["variants"]) == {"full", "halving", "subspace", "halving + subspace"}
    for variant in report["variants"].values():
        assert variant["n"] == 1
        assert variant["speedup"] == pytest.approx(report["baseline"]["seconds"] / variant["median"])
        assert all(0 < part["best_validation_accuracy"] <= 1 for part in variant["losses"].values())
    snippets = report["baseline"]["losses"]["hinge"]["snippet"]
    assert snippets["n"] == len(report["variants"]) + 1  # one before, and one after each variant
    assert report["baseline"]["losses"]["hinge"]["seconds"] == pytest.approx(snippets["median"] / 3 * 4 * 12, rel=1e-3)
    assert {"threads", "cpu", "commit", "versions"} <= set(report["environment"])


def test_path_reports_recomputed_gaps_ratios_and_stopped_peers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run(tmp_path, "path", "--repeats", "1", "--peers", "newton-cg", "--batching")
    peer = report["peers"]["newton-cg"]
    assert 0 < peer["independent_relative_gap"] < 0.01
    assert report["softmax"]["n"] == 2  # one before the peers, one after
    assert len(report["softmax"]["points"]) == 9
    assert len(report["hinge"]["points"]) == 7
    assert [run["strengths_a_batch"] for run in report["batching"]] == [1, 3, 9]
    ratio = report["ratios"]["softmax"]["all_here_to_one_of_peer"]
    assert ratio == pytest.approx(report["softmax"]["median"] / peer["median"])
    assert "newton-cg" in capsys.readouterr().out

    report = run(tmp_path, "path", "--repeats", "1", "--peers", "lbfgs", "--limit", "0.01")
    assert report["peers"]["lbfgs"]["stopped_after_seconds"] == 0.01
    assert report["ratios"] == {}
    assert "stopped at the limit" in capsys.readouterr().out


def test_a_dictionary_of_patches_is_solved_with_both_samples(tmp_path: Path) -> None:
    report = run(tmp_path, "wide", "--patches", "10", "--repeats", "1")
    assert (report["columns"], len(report["points"])) == (40, 7)
    assert all(point["independent_relative_gap"] <= 1.01e-3 for point in report["points"])
    assert report["ratio"] == report["long"]["median"] / report["alike"]["median"]


def test_classes_report_what_the_passes_take_beside_their_products(tmp_path: Path) -> None:
    sizes = ("--class-rows", "300", "--class-columns", "6", "--classes", "4", "--repeats", "1")
    report = run(tmp_path, "classes", *sizes)
    assert (report["rows"], report["columns"], report["classes"], len(report["points"])) == (300, 7, 4, 7)
    assert all(point["independent_relative_gap"] <= 1.001e-3 for point in report["points"])
    assert report["passes"] == sum(point["passes"] for point in report["points"])
    products = report["products"]
    assert products["of_all_passes"] == pytest.approx(report["passes"] * products["median"], rel=1e-3)
    assert report["ratio"] == pytest.approx(report["median"] / products["of_all_passes"], rel=1e-3)


def test_memory_reads_the_peak_of_the_program_itself() -> None:
    asked, refused = peak_of(["--version"]), peak_of(["tune", "--nonsense"])
    assert (asked["status"], refused["status"]) == (0, 2)
    assert asked["peak_mb"] > 1


@pytest.mark.parametrize(("step", "loops"), [(course_softmax, softmax_loops), (course_hinge, hinge_loops)])
def test_baseline_computes_the_course_loss(step: Any, loops: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    rows = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (7,), generator=generator)
    value, gradient = step(weights, rows, labels, 0.1)
    expected, slope = loops(weights, rows, labels, 0.1)
    assert float(value) == pytest.approx(float(expected))
    torch.testing.assert_close(gradient, slope)
    if step is course_hinge:
        penalty = 0.1 * float(weights.square().sum())
        assert float(mean_hinge(rows @ weights, labels)) + penalty == pytest.approx(float(value))


def test_rows_of_peers_are_the_rows_that_colinear_trains_on(split: Split, tmp_path: Path) -> None:
    write_rows(split.train, tmp_path / "rows.npy")
    expected = Features(split.train, fit_scaling(split.train), torch.float64).gather(slice(None))
    np.testing.assert_allclose(np.load(tmp_path / "rows.npy"), expected.numpy(), rtol=0, atol=1e-15)


@pytest.mark.parametrize("problem_of", [softmax_path, hinge_path])
def test_wrong_answers_are_refused(problem_of: Any, split: Split) -> None:
    problem = replace(problem_of(split.train), regs=(1e-1,))
    _, path = solve(problem)
    point = path.points[0]
    with problem.written() as folder:
        assert problem.judge(folder, (point,))[0]["status"] == "converged"
        for wrong in (replace(point, objective=point.objective * 0.999), replace(point, coef=0.9 * point.coef)):
            with pytest.raises(WrongAnswerError, match=r"reg 0\.1"):
                problem.judge(folder, (wrong,))
        away = replace(point, coef=0.9 * point.coef)
        objective, _ = problem.certify(folder, away.coef.numpy(), away.reg)
        with pytest.raises(WrongAnswerError, match="relative gap"):
            problem.judge(folder, (replace(away, objective=objective),))


def test_independent_hinge_gap_bounds_the_distance_to_a_better_solution(split: Split, tmp_path: Path) -> None:
    problem = replace(hinge_path(split.train), regs=(1e-1,))
    write_rows(split.train, tmp_path / "rows.npy")
    rows = np.load(tmp_path / "rows.npy")
    rough, fine = (solve(replace(problem, tol=tol))[1].points[0] for tol in (5e-2, 1e-5))
    objective, gap = hinge_certificate(rows, problem.labels, rough.coef.numpy(), 1e-1)
    assert objective - fine.objective <= gap * objective
    assert fine.slopes is not None
    slopes = fine.slopes.numpy()
    assert hinge_certificate(rows, problem.labels, fine.coef.numpy(), 1e-1, slopes)[1] <= 1.01e-5
    for infeasible in (slopes + 1e-3, slopes - 1e-3):
        with pytest.raises(ValueError, match="slopes lie in"):
            hinge_certificate(rows, problem.labels, fine.coef.numpy(), 1e-1, infeasible)


def test_k_at_once_is_refused_if_it_differs_from_each_alone(split: Split) -> None:
    problem = CourseSearch(split)
    problem.check({"hinge": [0.0, 9e-6]})
    for wrong in (2e-5, float("nan")):
        with pytest.raises(WrongAnswerError, match="hinge"):
            problem.check({"softmax": [0.0], "hinge": [wrong]})


def test_narrow_batches_need_more_passes(split: Split) -> None:
    problem = softmax_path(split.train)
    assert solve(problem, 1)[1].passes > solve(problem)[1].passes


def test_the_range_is_held_against_named_strengths(monkeypatch: pytest.MonkeyPatch) -> None:
    options = strengths.RangeOptions(repeats=1, rows=1500, columns=12, classes=4, noise=0.5)
    report = strengths.run_range(options)
    assert set(report["times_nine"]) == {"nine of old", "nine about it"}
    assert all(len(report["searches"][name]["strengths"]) == 9 for name in report["times_nine"])
    assert len(report["sweep"]["strengths"]) == 45
    assert strengths.range_table(report).rows[0][-1] == f"{report['searches']['auto']['validation']:.4f}"
    monkeypatch.setattr(strengths, "MOST_LOST", -1.0)
    with pytest.raises(WrongAnswerError, match=r"loses .* validation accuracy to the best of the sweep"):
        strengths.run_range(options)


def test_planted_rows_have_norm_one_and_belong_to_their_class() -> None:
    split = strengths.plant_clusters(strengths.RangeOptions(rows=2000, columns=20, classes=5, clusters=1, noise=0.5))
    rows, labels = split.train.take(slice(None)), split.train.labels
    assert torch.allclose(rows.norm(dim=1), torch.ones(len(rows)))
    means = torch.stack([rows[labels == label].mean(0) for label in range(5)])
    assert float(((rows @ means.mT).argmax(1) == labels).double().mean()) > 0.9


def test_unknown_problems_and_missing_packages_are_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["speed"])
    assert "choose from course-search, path, classes, wide, memory" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="there is no 'nowhere'"):
        main(["path", "--data", "nowhere", "--out", str(tmp_path)])


def test_a_command_is_timed_beside_its_search() -> None:
    options = ("--loss", "hinge", "--solver", "sgd", "--steps", "5", "--candidates", "2", "--quiet")
    entry = command.measure("tune", (*command.PROGRAM, "tune", "digits", *options), 6.0, repeats=1)
    assert 0 < entry["beside_search"]["median"] < entry["whole"]["median"]
    assert {"torch", "matplotlib"} <= set(entry["imports"])
    assert sum(entry["imports"].values()) <= 2 * entry["imports"]["all"]
    start = command.measure("import colinear", ("-c", "import colinear"), 0.15, repeats=1)
    assert start["beside_search"] == start["whole"]
    assert "torch" not in start["imports"]
    table = command.command_table({"commands": [entry, start]})
    assert [row[0] for row in table.rows] == ["tune", "import colinear"]
    with pytest.raises(SystemExit, match="ended with status 2"):
        command.measure("tune", (*command.PROGRAM, "tune", "nothing"), 1.0, repeats=1)


def test_small_tables_are_checked_before_they_are_timed(tmp_path: Path) -> None:
    report = run(tmp_path, "small", "--small-repeats", "1", "--random-tables", "1")
    for loss, peers in (("softmax", 1), ("hinge", 2)):
        assert [fit["name"] for fit in report[loss]["runs"]] == [*REAL, "random 0"]
        assert all(fit["independent_relative_gap"] <= 1.01e-4 for fit in report[loss]["runs"])
        assert len(report[loss]["ratios"]) == peers
    problem = small_problems(0)[0]
    model = SoftmaxClassifier().fit(problem.rows, problem.labels)
    model.coef_ = model.coef_ * 1.1
    with pytest.raises(WrongAnswerError, match="iris, softmax: objective"):
        problem.check("softmax", model)
    with pytest.warns(CertificateWarning):
        model = SoftmaxClassifier(max_iter=2).fit(problem.rows, problem.labels)
    with pytest.raises(WrongAnswerError, match="iris, softmax: relative gap"):
        problem.check("softmax", model)


def test_spread_states_n() -> None:
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "n": 3, "seconds": [3.0, 1.0, 2.0]}


def test_every_loss_has_an_independent_certificate() -> None:
    assert set(CERTIFICATES) == set(LOSSES)


def test_sameness_sees_every_number_but_times(tmp_path: Path) -> None:
    one = {"runs": [{"seconds": 1.5, "details": {"solve_seconds": 2.0, "passes": 7}}], "schema": 1}
    other = {"runs": [{"seconds": 9.0, "details": {"solve_seconds": 3.0, "passes": 7}}], "schema": 1}
    for name, value, model in (("old", one, b"w"), ("new", other, b"w"), ("moved", {**one, "schema": 2}, b"v")):
        (tmp_path / name / "run").mkdir(parents=True)
        (tmp_path / name / "run" / "results.json").write_text(json.dumps(value))
        (tmp_path / name / "run" / "model.safetensors").write_bytes(model)
        (tmp_path / name / "run" / "report.html").write_text(name)
    old, new, moved = (sameness.written(tmp_path / name) for name in ("old", "new", "moved"))
    assert old == new
    assert len(old) == 2
    assert [name for name in old if old[name] != moved[name]] == ["run/model.safetensors", "run/results.json"]


def test_sameness_ends_with_what_a_failing_run_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="status 3"):
        sameness.run(sameness.ROOT, "bad", ["-c", "raise SystemExit(3)"], tmp_path / "bad")
    assert sameness.run(sameness.ROOT, "good", ["-c", "open('x.json', 'w').write('{}')"], tmp_path / "good")


TOY = SparseOptions(rows=200, columns=500, classes=4, words=20)


def test_nine_strengths_of_words_against_one_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.sparse.SETS", {"zipf": draw_words})
    report = run_sparse(TOY, 1)
    one = report["sets"]["zipf"]
    assert (one["rows"], one["columns"], len(one["points"])) == (200, 500, 9)
    assert all(point["relative_gap"] <= 1e-3 for point in one["points"])
    assert all(peer["fit"]["n"] == 1 for peer in one["scikit-learn"])
    assert one["memory_mb"]["weights_returned"] == pytest.approx(9 * 4 * 501 * 8 / 1e6)
    assert len(sparse_table(report).rows) == 4


def test_words_have_the_certificate_of_dense_rows() -> None:
    rows, labels = draw_words(TOY)
    coef = np.random.default_rng(0).normal(size=(4, 501))
    wide = np.column_stack([rows.toarray().astype(np.float64), np.ones(200)])
    np.testing.assert_allclose(certify(rows, labels, coef, 0.1), CERTIFICATES["softmax"](wide, labels, coef, 0.1))


def test_sources_are_cut_into_as_many_pieces_of_each_package() -> None:
    rows, labels = cut_sources(replace(TOY, rows=40))
    assert rows.shape == (40, 500)
    assert np.bincount(labels).tolist() == [10] * 4
