"""The report page without a browser: what it holds, how it is escaped, how large it is."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save
from tests.reporting import HOSTILE, colour_split, digits_split, run, table_split

from colinear.checks import InputError
from colinear.cli.app import app
from colinear.cli.tuning import tune_settings
from colinear.datasets.base import ArrayDataset, Split
from colinear.metrics import reliability, wilson_interval
from colinear.model import LinearModel
from colinear.report import record_run, write_comparison, write_report, write_try_it
from colinear.report.page import json_for_html, make_page
from colinear.report.panels import _samples, compare_winners, read_panels, repeat_command
from colinear.report.sprites import make_sprite, shrink_templates, stretch
from colinear.search.records import load_record, record_name
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.winner import LossRun


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of both losses by SGD on classes with hostile names."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    run(folder, digits_split(), losses=("hinge", "softmax"))
    return folder


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "exact"
    run(folder, digits_split(), "exact")
    return folder


def data_of(page: Path) -> Any:
    [text] = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page.read_text(), re.DOTALL)
    return json.loads(text)


def open_sprite(sprite: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(sprite["src"].removeprefix("data:image/png;base64,"))))


def test_names_reach_the_page_only_as_escaped_json(digits: Path) -> None:
    text = (digits / "report.html").read_text()
    assert tuple(data_of(digits / "report.html")["panels"][0]["classes"]) == HOSTILE
    for name in HOSTILE[:2]:
        assert name not in text
    assert "\u2028" not in text
    assert text.count("<script") == text.count("</script>") == 1 + len(re.findall(r"<script>", text))


def test_a_hostile_title_is_text() -> None:
    page = make_page("</title><script>alert(1)</script>", [])
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize("text", ["</script>", "<!--", "]]>", "a\u2028b\u2029", "&lt;", "\ud800", "naïve"])
def test_json_for_html_is_ascii_json_without_markup(text: str) -> None:
    written = json_for_html({text: text})
    assert written.isascii()
    assert not set(written) & set("<>&")
    assert json.loads(written) == {text: text}


def test_the_policy_allows_the_pages_own_scripts_and_nothing_else(digits: Path) -> None:
    text = (digits / "report.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert policy[1].count("sha256-") == text.count("<script>") + text.count("<style>")
    outside = re.findall(r'(?:src|href)="(?!data:)([^"]*)"', text.replace("\\", ""))
    assert outside == []


def test_the_panels_hold_the_run(digits: Path) -> None:
    results = json.loads((digits / "results.json").read_text())
    panels = data_of(digits / "report.html")["panels"]
    assert [panel["loss"] for panel in panels] == ["hinge", "softmax"]
    for panel, entry in zip(panels, results["runs"], strict=True):
        assert panel["trials"] == entry["trials"]
        assert panel["test"]["accuracy"] == entry["test_accuracy"]
        assert panel["confusion"] == entry["confusion_matrix"]
        assert len(panel["candidates"]) == len(panel["curves"]["losses"]) == 5
        assert panel["candidates"][0]["count"] == 4
        wrong = panel["test"]["rows"] - sum(row[i] for i, row in enumerate(panel["confusion"]))
        assert len(panel["mistakes"]["rows"]) == min(24, wrong)
    assert "reliability" not in panels[0]  # a hinge score is no probability
    assert sum(row[0] for row in panels[1]["reliability"]["bins"]) == panels[1]["test"]["rows"]


def test_embedded_weights_are_the_models(digits: Path) -> None:
    weights = data_of(digits / "report.html")["panels"][1]["weights"]
    model = LinearModel.load(digits / "model-softmax.safetensors")
    numbers = torch.frombuffer(bytearray(base64.b64decode(weights["weight"])), dtype=torch.float32)
    assert torch.equal(numbers.view_as(model.weight), model.weight)
    assert (weights["shape"], weights["range"]) == ([1, 8, 8], 16.0)


def test_the_same_folder_gives_the_same_bytes(digits: Path) -> None:
    before = (digits / "report.html").read_bytes()
    assert write_report(digits).read_bytes() == before


def test_the_exact_path_has_gaps_and_no_curves(exact: Path) -> None:
    [panel] = data_of(exact / "report.html")["panels"]
    assert panel["trials"][panel["best"]]["relative_gap"] <= 1e-3
    assert "curves" not in panel
    assert len(panel["candidates"]) == 3


def test_a_feature_table_shows_its_largest_weights(tmp_path: Path) -> None:
    [panel] = data_of(run(tmp_path / "run", table_split(), "exact"))["panels"]
    model = LinearModel.load(tmp_path / "run" / "model-softmax.safetensors")
    assert not {"templates", "weights", "candidates"} & set(panel)
    feature, weight = panel["largest"][1][0]
    assert feature == int(model.weight[1].abs().argmax())
    assert weight == pytest.approx(float(model.weight[1, feature]), rel=1e-3)
    assert "sprite" not in panel["mistakes"]


def test_a_record_outlives_a_resume_and_is_made_anew_without_one(tmp_path: Path) -> None:
    split = colour_split()
    run(tmp_path, split)
    folder = RunFolder(tmp_path)
    before = (tmp_path / record_name("softmax")).read_bytes()
    entry = json.loads((tmp_path / "results.json").read_text())["runs"][0]
    model = LinearModel.load(tmp_path / "model-softmax.safetensors")
    resumed = LossRun("softmax", model, entry, None, None)
    record_run(folder, resumed, split)
    assert (tmp_path / record_name("softmax")).read_bytes() == before
    folder.remove(record_name("softmax"))
    record_run(folder, resumed, split)
    record = load_record(folder, "softmax")
    assert record is not None
    assert "templates" not in record.tensors
    assert len(record.tensors["correct"]) == split.train.n_samples
    assert "candidates" not in data_of(write_report(tmp_path))["panels"][0]


def test_a_page_can_be_made_without_records(tmp_path: Path) -> None:
    run(tmp_path, colour_split())
    RunFolder(tmp_path).remove(record_name("softmax"))
    [panel] = data_of(write_report(tmp_path))["panels"]
    assert "curves" not in panel
    assert panel["templates"]["count"] == 3


HEADER = b'{"templates": {"dtype": "\\u0000", "shape": [1], "data_offsets": [0, 1]}}'
UNPRINTABLE = len(HEADER).to_bytes(8, "little") + HEADER + b"x"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("results.json", b"{}", "damaged"),
        ("results.json", b'{"schema": 99}', "schema 99"),
        ("report-data/softmax.safetensors", b"nonsense", "damaged"),
        ("results.json", b"[]", "damaged, or of another version: it must be of type object"),
        ("report-data/softmax.safetensors", UNPRINTABLE, r"damaged \(Error while deserializing header.*\\x00"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    run(tmp_path, colour_split())
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as refused:
        write_report(tmp_path)
    assert str(refused.value).isprintable()


def test_a_report_of_somebody_is_replaced_with_force_only(tmp_path: Path) -> None:
    page = run(tmp_path, colour_split())
    page.write_text("my own notes")
    with pytest.raises(InputError, match=r"is not a page of colinear\. Move it away, or let `colinear report --force`"):
        write_report(tmp_path)
    assert page.read_text() == "my own notes"
    assert "my own notes" not in write_report(tmp_path, force=True).read_text()
    out = tmp_path / "out.html"
    out.write_text("my own notes")
    run(tmp_path / "other", colour_split(), seed=1)
    write_comparison([tmp_path / "other", tmp_path], out.rename(tmp_path.parent / "out.html"), force=True)


def test_a_folder_whose_name_is_no_utf_8_has_a_title() -> None:
    page = make_page("caf\udce9", [{"loss": "\udce9", "candidates": ()}])
    assert r"<title>caf\udce9 · colinear</title>" in page
    assert page.encode()


DAMAGES: dict[str, Any] = {
    "another kind of number": {"correct": torch.ones(60)},
    "another shape": {"correct": torch.ones(60, 1, dtype=torch.uint8)},
    "an unknown tensor": {"x" * 5000: torch.ones(1)},
    "values out of range": {"correct": torch.full((60,), 2, dtype=torch.uint8)},
    "no candidates": {"history": torch.ones(0, 10), "steps": torch.ones(10)},
    "other candidates": {"history": torch.ones(9, 10), "steps": torch.ones(10)},
    "more losses than steps": {"history": torch.ones(5, 10), "steps": torch.ones(9)},
    "steps of 0": {"history": torch.ones(5, 2), "steps": torch.zeros(2)},
    "steps of nan": {"history": torch.ones(5, 2), "steps": torch.full((2,), math.nan)},
    "two channels": {"templates": torch.ones(5, 3, 2, 4, 4, dtype=torch.uint8)},
    "templates of others": {"templates": torch.ones(4, 3, 3, 4, 4, dtype=torch.uint8)},
    "no rows in bins": {"bins": torch.zeros(15, 3, dtype=torch.float64)},
    "infinite rows in bins": {"bins": torch.full((15, 3), math.inf, dtype=torch.float64)},
    "half a row in bins": {"bins": torch.tensor([[1.5, 0.5, 1.0]] * 15, dtype=torch.float64)},
    "no share in bins": {"bins": torch.tensor([[2.0, 0.5, math.nan]] * 15, dtype=torch.float64)},
    "more than all in bins": {"bins": torch.tensor([[2.0, 0.5, 1.5]] * 15, dtype=torch.float64)},
    "infinite confidence in bins": {"bins": torch.tensor([[1.0, math.inf, 1.0]] * 15, dtype=torch.float64)},
    "negative rows in bins": {"bins": torch.tensor([[2.0, 0.5, 1.0]] * 14 + [[-1.0, 0.5, 1.0]], dtype=torch.float64)},
    "a class that is not there": {"mistakes": torch.tensor([[0.0, 3.0, 0.5]], dtype=torch.float64)},
    "half a class": {"mistakes": torch.tensor([[0.0, 1.5, 0.5]], dtype=torch.float64)},
    "a negative class": {"mistakes": torch.tensor([[-1.0, 0.0, 0.5]], dtype=torch.float64)},
    "nan among mistakes": {"mistakes": torch.full((1, 3), math.nan, dtype=torch.float64)},
    "more pictures than mistakes": {
        "mistakes": torch.zeros(1, 3, dtype=torch.float64), "pixels": torch.zeros(2, 3, 6, 6, dtype=torch.uint8)
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def tinges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tinges"
    run(folder, colour_split())
    return folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_record_that_no_run_writes_is_refused(tinges: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(tinges, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    record = load_record(folder, "softmax")
    assert record is not None
    tensors = {name: tensor.contiguous() for name, tensor in DAMAGES[damage].items()}
    folder.write(record_name("softmax"), save(tensors, {"colinear": json.dumps(record.facts)}))
    with pytest.raises(InputError, match=r"softmax\.safetensors (is damaged|does not fit results\.json).*Delete it"):
        write_report(folder.path)


@pytest.mark.parametrize(
    "facts", ["[]", "{}", "[" * 200_000, '{"format": NaN}', '{"format": "\\ud800"}', "loss", "model", "test", "other"]
)
def test_facts_that_no_run_writes_are_refused(tinges: Path, tmp_path: Path, facts: str) -> None:
    shutil.copytree(tinges, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    record = load_record(folder, "softmax")
    assert record is not None
    if facts == "other":
        facts = json.dumps({**record.facts, "loss": "hinge"})
    elif facts in record.facts:
        facts = json.dumps({**record.facts, facts: 1})
    folder.write(record_name("softmax"), save(record.tensors, {"colinear": facts}))
    with pytest.raises(InputError, match=r"softmax\.safetensors (is damaged|does not fit)"):
        write_report(folder.path)


def test_a_model_of_other_classes_does_not_fit_the_results(tinges: Path, tmp_path: Path) -> None:
    shutil.copytree(tinges, tmp_path / "run")
    path = tmp_path / "run" / "results.json"
    results = json.loads(path.read_text())
    results["runs"][0]["confusion_matrix"] = [[1, 0], [0, 1]]
    path.write_text(json.dumps(results))
    with pytest.raises(InputError, match="softmax has counts of 2 classes, its model has 3"):
        write_report(tmp_path / "run")


def test_a_record_of_another_model_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "a", colour_split())
    run(tmp_path / "b", colour_split(), seed=5)
    model = "model-softmax.safetensors"
    (tmp_path / "a" / model).write_bytes((tmp_path / "b" / model).read_bytes())
    with pytest.raises(InputError, match="another softmax model"):
        write_report(tmp_path / "a")


def test_no_run_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no results.json"):
        write_report(tmp_path)


def test_compare_pairs_the_winners_of_the_same_rows(digits: Path, exact: Path, tmp_path: Path) -> None:
    run(tmp_path / "other", colour_split())
    page = data_of(write_comparison([digits, exact, tmp_path / "other"], tmp_path / "out.html"))
    assert [panel["run"] for panel in page["panels"]] == ["digits", "digits", "exact", "other"]
    pairs = page["comparison"]["pairs"]
    assert [(pair["first"], pair["second"]) for pair in pairs] == [(0, 1), (0, 2), (1, 2)]
    assert page["comparison"]["untested"] == 3
    for pair in pairs:
        accuracies = [page["panels"][pair[key]]["test"]["accuracy"] for key in ("first", "second")]
        assert pair["difference"] == pytest.approx(accuracies[0] - accuracies[1])
        assert 0 < pair["p_value"] <= 1


def test_winners_on_other_test_rows_are_not_paired(tmp_path: Path) -> None:
    split = table_split()
    swapped = replace(split, test=split.test and split.test.subset(torch.arange(89, -1, -1)))  # as many, but not these
    for name, rows in (("mine", split), ("theirs", swapped)):
        run(tmp_path / name, rows, losses=("softmax", "hinge"))
    runs = [(tmp_path / name, read_panels(tmp_path / name)) for name in ("mine", "theirs")]
    found = compare_winners(runs)
    assert [(pair["first"], pair["second"]) for pair in found["pairs"]] == [(0, 1), (2, 3)]
    assert found["untested"] == 4


def test_winners_on_other_features_of_the_same_rows_are_paired_if_one_seed_dealt_them(tmp_path: Path) -> None:
    split = table_split()
    part = split.train
    assert isinstance(part, ArrayDataset)
    other = replace(part, features=torch.cat([part.features[:], part.features[:] ** 2], 1), name="another layer")
    run(tmp_path / "first", split)
    run(tmp_path / "second", Split(other, other, other))
    run(tmp_path / "dealt", Split(other, other, other), seed=1)
    found = compare_winners([(tmp_path / name, read_panels(tmp_path / name)) for name in ("first", "second", "dealt")])
    assert [(pair["first"], pair["second"]) for pair in found["pairs"]] == [(0, 1), (1, 2)]  # the last: one file
    assert found["untested"] == 1


def test_compare_replaces_pages_only(digits: Path, exact: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.html"
    write_comparison([digits, exact], out)
    write_comparison([exact, digits], out)
    assert data_of(out)["panels"][0]["run"] == "exact"
    out.write_text("my own notes")
    with pytest.raises(InputError, match="not a page of colinear"):
        write_comparison([digits, exact], out)
    assert out.read_text() == "my own notes"
    with pytest.raises(InputError, match="at least two different runs"):
        write_comparison([digits, digits], tmp_path / "new.html")


def test_fifty_candidates_on_cifar_sized_images_stay_below_five_megabytes() -> None:
    coef = torch.randn(50, 10, 3072, generator=torch.Generator().manual_seed(0))  # noise: nothing to compress
    templates = shrink_templates(coef, (3, 32, 32))
    assert templates.shape == (50, 10, 3, 32, 32)
    sprites = [make_sprite(one, levels=64) for one in templates]
    assert sum(len(sprite["src"]) for sprite in sprites) < 1_750_000  # a loss: two fit, with all the rest


def test_candidates_beyond_the_budget_go_without_pictures() -> None:
    large = {"candidates": [{"src": "x" * 2_000_000}]}
    page = make_page("t", [large, large])
    assert page.count("x" * 2_000_000) == 1


def test_large_images_are_averaged_down() -> None:
    templates = shrink_templates(torch.ones(2, 30, 64), (1, 8, 8), most_bytes=700)
    assert templates.shape == (2, 20, 1, 4, 4)


def test_stretch_shows_zero_in_the_middle_and_the_unknown_too() -> None:
    rows = torch.tensor([[0.0, -2.0, 1.0], [0.0, 0.0, 0.0], [math.nan, 1.0, 2.0]])
    assert stretch(rows).tolist() == [[128, 1, 192], [128, 128, 128], [128, 128, 128]]
    assert stretch(rows[:1], symmetric=False).tolist() == [[170, 0, 255]]


def test_a_sprite_holds_its_pictures_in_order() -> None:
    pictures = torch.arange(5 * 3 * 2 * 4, dtype=torch.uint8).view(5, 3, 2, 4)
    sprite = make_sprite(pictures)
    image = open_sprite(sprite)
    for number, picture in enumerate(pictures):
        left, top = number % sprite["columns"] * 4, number // sprite["columns"] * 2
        assert image.getpixel((left + 3, top + 1)) == tuple(picture[:, 1, 3].tolist())


def test_a_signed_sprite_is_blue_against_white_at_zero_and_red_for() -> None:
    image = open_sprite(make_sprite(torch.tensor([[[[1, 128, 255]]]], dtype=torch.uint8), signed=True)).convert("RGB")
    against, zero, for_it = (image.getpixel((x, 0)) for x in range(3))
    assert (against, zero, for_it) == ((5, 48, 97), (247, 247, 247), (103, 0, 31))


def test_the_bins_of_a_record_are_those_of_the_metrics(digits: Path) -> None:
    model, test = LinearModel.load(digits / "model-softmax.safetensors"), digits_split().test
    record = load_record(RunFolder(digits), "softmax")
    assert record is not None
    assert test is not None
    expected = reliability(model.scores(test.take(slice(None))).softmax(1), test.labels)
    columns = torch.stack([expected.counts.double(), expected.confidence, expected.accuracy], 1)
    torch.testing.assert_close(record.tensors["bins"], columns, equal_nan=True, rtol=1e-6, atol=0)
    told = data_of(digits / "report.html")["panels"][1]["reliability"]["ece"]
    assert told == pytest.approx(expected.calibration_error, rel=1e-6)


def test_the_intervals_of_bins_are_wilsons(digits: Path) -> None:
    for n, _, right, low, high in data_of(digits / "report.html")["panels"][1]["reliability"]["bins"]:
        expected = wilson_interval(round(n * right), int(n)) if n else (None, None)
        assert (low, high) == pytest.approx(expected, abs=1e-5) if n else (low, high) == expected


def test_try_it_alone_holds_models_and_nothing_of_the_run(digits: Path, exact: Path) -> None:
    page = write_try_it(digits)
    assert page == digits / "try-it.html"
    text, data = page.read_text(), data_of(page)
    assert len(text) < 80_000
    whole = data_of(digits / "report.html")["panels"]
    for panel, known in zip(data["panels"], whole, strict=True):
        assert set(panel) == {"loss", "link", "many", "classes", "weights", "samples", "test"}
        assert {key: known[key] for key in panel} == panel
    assert all(name not in text for name in HOSTILE)
    environment = whole[0]["environment"]
    assert environment["platform"] not in text
    assert whole[0]["dataset"]["fingerprint"] not in text
    page.write_text("my own notes")
    with pytest.raises(InputError, match="not a page of colinear"):
        write_try_it(digits)
    assert write_try_it(digits, force=True).read_text() == text


def test_try_it_alone_leaves_out_what_no_page_can_run(tmp_path: Path) -> None:
    run(tmp_path / "run", table_split(), "exact")
    with pytest.raises(InputError, match=r"--only try-it needs a model of pictures that fits into a page"):
        write_try_it(tmp_path / "run")
    assert not (tmp_path / "run" / "try-it.html").exists()


def test_pages_show_test_pictures_of_data_that_may_be_shown(digits: Path, tmp_path: Path) -> None:
    test = digits_split().test
    assert test is not None
    samples = data_of(digits / "report.html")["panels"][0]["samples"]
    for number, text in enumerate(samples):
        row = test.take((test.labels == number).nonzero()[0]).squeeze(0)
        assert list(base64.b64decode(text)) == row.tolist()
    private = data_of(run(tmp_path / "private", colour_split(), "exact"))["panels"][0]
    assert private["weights"]
    assert "samples" not in private
    record = load_record(RunFolder(tmp_path / "private"), "softmax")
    assert record is not None
    assert "samples" not in record.tensors


def test_test_pictures_of_other_pictures_than_the_models_are_not_shown() -> None:
    model = LinearModel(torch.zeros(2, 4), torch.zeros(2), ("a", "b"), (1, 2, 2), 255.0)
    assert _samples(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), model) == [base64.b64encode(bytes(4)).decode()] * 2
    assert _samples(torch.zeros(2, 1, 4, 1, dtype=torch.uint8), model) is None
    assert _samples(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), model) is None


def test_a_record_says_which_test_rows_are_labelled_right(run_folder: Path) -> None:
    for entry in json.loads((run_folder / "results.json").read_text())["runs"]:
        record = load_record(RunFolder(run_folder), entry["loss"])
        assert record is not None
        assert float(record.tensors["correct"].double().mean()) == entry["test_accuracy"]


SETTINGS = [
    Settings(data="digits"),
    Settings(data="my data.npy", losses=("hinge",), label="y; rm -rf ~", seed=7, device="cpu"),
    Settings(data="digits", solver="sgd", candidates=3, learning_rates=(1e-5, 0.3), batch_size=7, eta=4, momentum=0.9),
    Settings(data="cifar10", solver="sgd", schedule="cosine", subspace=0.985, precision="high", averaging=0.25),
    Settings(data="digits", regs=(1e-4, 0.05), tol=1e-4, refit=True, augment="mirror,shift:1", standardize=True),
    Settings(data="digits", rule="1se"),
    Settings(data="digits", cv=4, intercept_scaling=10.0, max_passes=50, data_dir="some where"),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=range(len(SETTINGS)))
def test_the_command_repeats_the_settings(settings: Settings) -> None:
    import shlex

    import typer

    from colinear.cli.commands import given_options

    words = shlex.split(repeat_command(settings))[2:]
    command = typer.main.get_command(app).commands["tune"]  # type: ignore[attr-defined]
    context = command.make_context("tune", words)
    assert tune_settings(context.params, given_options(context)) == settings


def test_the_program_writes_both_pages(digits: Path, exact: Path, tmp_path: Path, capsys: Any) -> None:
    from colinear.cli.app import main

    for words in (["report", str(digits)], ["compare", str(digits), str(exact), "--out", str(tmp_path / "c.html")]):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert not left.value.code
    assert capsys.readouterr().out.split() == [
        "Written:", str(digits / "report.html"), "Written:", str(tmp_path / "c.html"),
    ]  # fmt: skip
    assert len(data_of(tmp_path / "c.html")["panels"]) == 3
