"""The report in a real browser, from a file, without a network. Skipped where there is no Chromium with its driver."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.browsing import find_browser, open_browser
from tests.reporting import HOSTILE, colour_split, digits_split, many_split, patches_split, run, table_split

from colinear.datasets import read_image
from colinear.extractors import Patches
from colinear.model import LinearModel
from colinear.report import write_comparison
from colinear.search.wording import as_percent, describe_above
from colinear.texts import short_number

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_browser() is None, reason="needs chromium and chromedriver"),
]
TOLERANCE = 1e-4  # of scores: float32 sums in another order


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on grey digits (both losses by SGD, and exact), colour images and a feature table."""
    root = tmp_path_factory.mktemp("runs")
    run(root / "sgd", digits_split(), losses=("hinge", "softmax"))
    run(root / "exact", digits_split(), "exact")
    run(root / "colour", colour_split(), "exact")
    run(root / "table", table_split(), "exact")
    run(root / "patches", patches_split(root / "rows"), "exact", losses=("softmax", "hinge"))
    run(root / "bright", patches_split(root / "bright rows", "colour", Patches(7, size=4)), "exact")
    run(root / "many", many_split(), "exact")
    write_comparison([root / "sgd", root / "exact"], root / "compare.html")
    for place in ("one", "two"):  # the same names but for a folder above, too long for any column
        run(root / f"a folder whose name is {place} of two" / ("many words " * 6).strip(), table_split(), "exact")
    write_comparison(sorted(root.glob("a folder*/*")), root / "alike.html")
    return root


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def visit(browser: Any, page: Path) -> Any:
    browser.get(page.as_uri())
    return browser


def find(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def find_all(browser: Any, selector: str) -> list[Any]:
    found: list[Any] = browser.find_elements("css selector", selector)
    return found


def resize(browser: Any, width: int) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
    )


def text_of(browser: Any, selector: str) -> list[str]:
    return [str(node.get_property("textContent")) for node in find_all(browser, selector)]


PAGES = ("sgd/report.html", "exact/report.html", "colour/report.html", "table/report.html", "patches/report.html")
PAGES += ("bright/report.html", "many/report.html", "compare.html", "alike.html")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_without_network_or_console_errors(browser: Any, runs: Path, page: str) -> None:
    visit(browser, runs / page)
    titles = text_of(browser, ".sheet h2")
    assert [title for title in titles if title != "Side by side"][:5] == [
        "The search", "All candidates", "The winner", "The objective", "Try it",
    ]  # fmt: skip
    assert len(find_all(browser, ".sheet:not(.away) .chart canvas")) >= 1
    assert browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_never_scrolls_sideways(browser: Any, runs: Path, page: str, width: int) -> None:
    resize(browser, width)
    visit(browser, runs / page)
    assert (
        browser.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        <= 0
    )
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_card_of_sgd_says_how_far_above_the_optimum_it_is_and_that_of_the_path_how_near(
    browser: Any, runs: Path
) -> None:
    visit(browser, runs / "sgd" / "report.html")
    entries = json.loads((runs / "sgd" / "results.json").read_text())["runs"]
    shown = [describe_above(entry["trials"][entry["best"]]["above_optimum"]) for entry in entries]
    assert text_of(browser, ".card .strong") == shown
    assert "the optimum lies between" in text_of(browser, ".sheet:not(.away) .facts dt, .sheet:not(.away) dt")
    visit(browser, runs / "exact" / "report.html")
    assert all(re.fullmatch(r"within .* % of the optimum", text) for text in text_of(browser, ".card .strong"))
    gaps = [0.0, 0.21, 0.00041, 4.6e-6, 2e-7, 2.1e-13]
    assert browser.execute_script("return arguments[0].map(C.gap)", gaps) == [as_percent(gap) for gap in gaps]
    entries = json.loads((runs / "exact" / "results.json").read_text())["runs"]
    warnings = [entry["details"]["range"]["warning"] for entry in entries]
    assert text_of(browser, ".card .warning") == [text for text in warnings if text]
    assert any(warnings)
    visit(browser, runs / "compare.html")
    told = text_of(browser, ".sheet:not(.away) td.text")
    assert set(shown) <= set(told)


def test_hostile_names_show_as_text(browser: Any, runs: Path) -> None:
    visit(browser, runs / "sgd" / "report.html")
    shown = text_of(browser, ".sheet:not(.away) .templates small")
    assert tuple(shown) == HOSTILE
    assert tuple(text_of(browser, ".sheet:not(.away) .matrix tbody th")) == HOSTILE
    visit(browser, runs / "table" / "report.html")
    assert text_of(browser, "h1") == ["<b>table</b>"]


def test_a_column_sorts_both_ways(browser: Any, runs: Path) -> None:
    visit(browser, runs / "sgd" / "report.html")
    trials = json.loads((runs / "sgd" / "results.json").read_text())["runs"][0]["trials"]
    rates = sorted(trial["learning_rate"] for trial in trials)

    def column() -> list[float]:
        cells = text_of(browser, ".sheet:not(.away) .candidates tbody td:nth-child(2)")
        return [float(cell.replace("−", "-")) for cell in cells]

    button = find_all(browser, ".sheet:not(.away) .candidates th button")[1]
    button.click()
    assert column() == pytest.approx(rates, rel=1e-2)
    button.click()
    assert column() == pytest.approx(rates[::-1], rel=1e-2)


def locate(browser: Any, number: int) -> list[float]:
    """Where candidate `number` of the first panel lies in its chart, in pixels from the chart's middle."""
    script = """
        const box = document.querySelector(".sheet:not(.away) .search .chart");
        const trial = JSON.parse(document.getElementById("data").textContent).panels[0].trials[arguments[0]];
        const over = box.querySelector(".u-over"), u = box.chart.u;
        const x = u.valToPos(Math.log10(trial.learning_rate), "x"), y = u.valToPos(Math.log10(trial.reg), "y");
        return [x - over.clientWidth / 2, y - over.clientHeight / 2];
    """
    place: list[float] = browser.execute_script(script, number)
    return place


def test_hover_tells_and_click_shows_a_candidate(browser: Any, runs: Path) -> None:
    from selenium.webdriver import ActionChains

    visit(browser, runs / "sgd" / "report.html")
    entry = json.loads((runs / "sgd" / "results.json").read_text())["runs"][0]
    number = entry["order"][-1]
    over = find(browser, ".sheet:not(.away) .search .u-over")
    x, y = locate(browser, number)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", over)
    ActionChains(browser).move_to_element_with_offset(over, round(x), round(y)).perform()
    tip = find(browser, ".sheet:not(.away) .search .tip")
    assert tip.is_displayed()
    [share] = re.findall(r"validation ([\d.]+) %", tip.text)
    assert float(share) == pytest.approx(100 * entry["trials"][number]["val_accuracy"], abs=0.051)
    ActionChains(browser).click().perform()
    assert find(browser, ".sheet:not(.away) .closely h3").text.startswith(f"Candidate {number + 1}")
    assert len(find_all(browser, ".sheet:not(.away) .closely .tiles canvas")) == len(HOSTILE)
    assert len(find_all(browser, ".sheet:not(.away) .closely .chart canvas")) == 1
    assert browser.get_log("browser") == []


def test_a_row_shows_its_candidate_and_a_card_its_loss(browser: Any, runs: Path) -> None:
    visit(browser, runs / "sgd" / "report.html")
    find_all(browser, ".card")[1].click()
    assert find(browser, ".sheet:not(.away)").get_attribute("data-panel") == "1"
    entry = json.loads((runs / "sgd" / "results.json").read_text())["runs"][1]
    find_all(browser, ".sheet:not(.away) .candidates tbody tr")[2].click()
    heading = find(browser, ".sheet:not(.away) .closely h3").text
    assert heading.startswith(f"Candidate {entry['order'][2] + 1}")


def test_the_colours_change_with_a_button(browser: Any, runs: Path) -> None:
    visit(browser, runs / "exact" / "report.html")
    before = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    find(browser, ".theme").click()
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") != before


PICTURES = {
    "the model's own size": (8, 8, "L"),
    "smaller": (5, 3, "RGB"),
    "larger": (61, 47, "RGB"),
    "large grey": (300, 211, "L"),
    "one direction": (8, 40, "RGB"),
}


def draw_picture(path: Path, width: int, height: int, mode: str) -> Path:
    generator = np.random.default_rng(width)
    shape = (height, width) if mode == "L" else (height, width, 3)
    Image.fromarray(generator.integers(0, 256, shape).astype(np.uint8)).save(path)
    return path


def try_it(browser: Any, picture: Path, n_classes: int) -> tuple[str, torch.Tensor]:
    """Give a picture to 'Try it' of the shown loss; returns its label and the scores in the order of the classes."""
    find(browser, ".sheet:not(.away) .drop input").send_keys(str(picture))
    return answer(browser, n_classes)


def answer(browser: Any, n_classes: int) -> tuple[str, torch.Tensor]:
    """The label that 'Try it' of the shown loss gives, and the scores in the order of the classes."""
    from selenium.webdriver.support.ui import WebDriverWait

    selector = ".sheet:not(.away) .scorebar"
    WebDriverWait(browser, 10).until(lambda _: len(find_all(browser, selector)) == n_classes)
    bars = {
        int(bar.get_attribute("data-class")): float(bar.get_attribute("data-score"))
        for bar in find_all(browser, selector)
    }
    [label] = text_of(browser, ".sheet:not(.away) .verdict .label")
    return label, torch.tensor([bars[number] for number in range(n_classes)])


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize(
    ("name", "panel", "loss"), [("sgd", 0, "hinge"), ("sgd", 1, "softmax"), ("colour", 0, "softmax")]
)
def test_try_it_scores_as_the_model_does(
    browser: Any, runs: Path, tmp_path: Path, kind: str, name: str, panel: int, loss: str
) -> None:
    model = LinearModel.load(runs / name / f"model-{loss}.safetensors")
    picture = draw_picture(tmp_path / "<img onerror=alert(1)>.png", *PICTURES[kind])
    assert model.image_shape is not None
    raw = read_image(picture, model.image_shape, value_range=model.value_range)
    expected = model.scores(raw.unsqueeze(0)).squeeze(0)
    visit(browser, runs / name / "report.html")
    find_all(browser, ".card")[panel].click()
    label, scores = try_it(browser, picture, model.n_classes)
    assert label == model.class_names[int(expected.argmax())]
    torch.testing.assert_close(scores, expected, atol=TOLERANCE, rtol=0)
    assert browser.get_log("browser") == []


@pytest.mark.parametrize(
    ("name", "panel", "loss"), [("patches", 0, "softmax"), ("patches", 1, "hinge"), ("bright", 0, "softmax")]
)
def test_try_it_makes_features_as_predict_does(
    browser: Any, runs: Path, tmp_path: Path, name: str, panel: int, loss: str
) -> None:
    model = LinearModel.load(runs / name / f"model-{loss}.safetensors")
    fitted = model.extractor
    assert fitted is not None
    assert fitted.rows.image_shape is not None
    visit(browser, runs / name / "report.html")
    find_all(browser, ".card")[panel].click()
    for kind, size in PICTURES.items():
        picture = draw_picture(tmp_path / f"{kind}.png", *size)
        raw = read_image(picture, fitted.rows.image_shape, value_range=fitted.rows.value_range)
        expected = model.scores(fitted.transform(raw.unsqueeze(0))).squeeze(0)
        visit(browser, runs / name / "report.html")
        find_all(browser, ".card")[panel].click()
        label, scores = try_it(browser, picture, model.n_classes)
        assert label == model.class_names[int(expected.argmax())]
        torch.testing.assert_close(scores, expected, atol=10 * TOLERANCE, rtol=1e-4)
        words = str(find(browser, ".sheet:not(.away) .sum").get_property("textContent")).replace("−", "-")
        _, parts, whole = words.rsplit(" = ", 2)
        first, sign, bias = parts.removeprefix("patches ").replace(" bias ", " ").split(" ")
        assert float(first) + float(sign + bias) == pytest.approx(float(whole), abs=2 * TOLERANCE)
    assert browser.get_log("browser") == []


def test_of_features_results_by_class_come_first(browser: Any, runs: Path) -> None:
    visit(browser, runs / "patches" / "report.html")
    shown = ["Class by class", "Confusion", "Surest and least sure", "Patches that push a class"]
    assert text_of(browser, ".sheet:not(.away) .blocks h3")[:4] == shown
    assert sorted(text_of(browser, ".sheet:not(.away) .pushing h4")) == sorted(HOSTILE)
    assert len(find_all(browser, ".sheet:not(.away) .pushing canvas")) == 4 * 8
    assert len(find_all(browser, ".sheet:not(.away) .examples canvas")) == 4 * 8
    visit(browser, runs / "many" / "report.html")
    shown = ["Class by class", "The commonest confusions", "Largest weights"]
    assert text_of(browser, ".sheet:not(.away) .blocks h3")[:3] == shown


def test_pixels_and_bias_add_up_to_the_score_of_the_chosen_class(browser: Any, runs: Path, tmp_path: Path) -> None:
    visit(browser, runs / "sgd" / "report.html")
    _, scores = try_it(browser, draw_picture(tmp_path / "a.png", 8, 8, "L"), 4)
    bar = find(browser, ".sheet:not(.away) .scorebar[data-class='2']")
    bar.click()
    words = find(browser, ".sheet:not(.away) .sum").get_property("textContent").replace("−", "-").rsplit(" = ", 2)
    pixels, sign, bias = words[1].removeprefix("pixels ").replace(" bias ", " ").split(" ")
    assert float(words[2]) == pytest.approx(float(scores[2]), abs=TOLERANCE)
    assert float(pixels) + float(sign + bias) == pytest.approx(float(scores[2]), abs=2 * TOLERANCE)


def test_a_file_that_is_no_image_gets_a_sentence(browser: Any, runs: Path, tmp_path: Path) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    (tmp_path / "<b>notes.txt").write_text("no image")
    visit(browser, runs / "colour" / "report.html")
    find(browser, ".sheet:not(.away) .drop input").send_keys(str(tmp_path / "<b>notes.txt"))
    WebDriverWait(browser, 10).until(lambda _: find_all(browser, ".trouble"))
    assert find(browser, ".trouble").text.startswith("<b>notes.txt cannot be read")


def test_numbers_are_written_as_on_the_terminal(browser: Any, runs: Path) -> None:
    visit(browser, runs / "exact" / "report.html")
    values = [1e-3, 3.1623e-4, 0.00099999, 99999.0, 12345.6, 1e-10, 47.0, 0.0, 2.5e-7]
    assert browser.execute_script("return arguments[0].map((v) => C.short(v))", values) == list(
        map(short_number, values)
    )
    trials = json.loads((runs / "exact" / "results.json").read_text())["runs"][0]["trials"]
    shown = text_of(browser, ".candidates tbody td:nth-child(2)")
    assert sorted(shown) == sorted(short_number(trial["reg"]) for trial in trials)


@pytest.mark.parametrize("width", [1280, 390])
def test_runs_that_are_compared_have_whole_names_of_their_own(browser: Any, runs: Path, width: int) -> None:
    resize(browser, width)
    visit(browser, runs / "alike.html")
    for selector in (".cardname", ".tabs button", ".compare table[aria-label=Winners] .runname", ".track .runname"):
        names = text_of(browser, selector)
        assert len(set(names)) == len(names) == 2
        cut = "return [...document.querySelectorAll(arguments[0])].some((one) => one.scrollWidth > one.clientWidth + 1)"
        assert not browser.execute_script(cut, selector)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_no_ring_marks_a_run_that_has_not_won_and_the_interval_chart_has_an_axis(browser: Any, runs: Path) -> None:
    visit(browser, runs / "compare.html")
    shadows = "return [...document.querySelectorAll('.card')].map((one) => getComputedStyle(one).boxShadow)"
    assert len(set(browser.execute_script(shadows))) == 1
    ticks = text_of(browser, ".intervals .mark")
    assert len(ticks) >= 2
    assert len(set(ticks)) == len(ticks)
    where = """
        const rail = document.querySelector(".intervals .scale").getBoundingClientRect();
        return [...document.querySelectorAll(".intervals .mark, .intervals .spot")].map((one) => {
          const box = one.getBoundingClientRect();
          return [one.textContent, ((box.left + box.right) / 2 - rail.left) / rail.width];
        });
    """
    places = browser.execute_script(where)
    marks = [(float(text.removesuffix(" %")), x) for text, x in places if text]
    (a, left), (b, right) = marks[0], marks[-1]
    panels = json.loads(browser.execute_script("return document.getElementById('data').textContent"))["panels"]
    for panel, (_, x) in zip(panels, [one for one in places if not one[0]], strict=True):
        accuracy = 100 * panel["test"]["accuracy"]
        assert left + (accuracy - a) / (b - a) * (right - left) == pytest.approx(x, abs=0.01)


def test_the_page_of_a_run_has_the_paired_test_of_its_losses(browser: Any, runs: Path) -> None:
    visit(browser, runs / "sgd" / "report.html")
    [pair] = json.loads(browser.execute_script("return document.getElementById('data').textContent"))["own"]["pairs"]
    [said] = text_of(browser, ".owntest")
    assert f"only Hinge is right on {pair['only_first']}, only Softmax on {pair['only_second']}" in said
    assert f"p = {short_number(pair['p_value'], 2)}" in said
    assert ("no difference is seen" in said) == (pair["p_value"] >= 0.05)
    visit(browser, runs / "exact" / "report.html")
    assert text_of(browser, ".owntest") == []


@pytest.mark.parametrize("width", [1280, 390])
def test_hover_and_click_on_the_path_plot(browser: Any, runs: Path, width: int) -> None:
    from selenium.webdriver import ActionChains

    resize(browser, width)
    visit(browser, runs / "exact" / "report.html")
    entry = json.loads((runs / "exact" / "results.json").read_text())["runs"][0]
    for chart in (0, 1):  # of the metric, of the gap
        number = entry["order"][-1 - chart]
        over = find_all(browser, ".sheet:not(.away) .search .u-over")[chart]
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", over)
        place = """
            const box = document.querySelectorAll(".sheet:not(.away) .search .chart")[arguments[0]], u = box.chart.u;
            const trial = JSON.parse(document.getElementById("data").textContent).panels[0].trials[arguments[1]];
            const y = arguments[0] ? Math.log10(trial.relative_gap) : trial.val_accuracy;
            const over = box.querySelector(".u-over");
            const x = u.valToPos(Math.log10(trial.reg), "x");
            return [x - over.clientWidth / 2, u.valToPos(y, "y") - over.clientHeight / 2];
        """
        x, y = browser.execute_script(place, chart, number)
        ActionChains(browser).move_to_element_with_offset(over, round(x), round(y)).perform()
        tip = find_all(browser, ".sheet:not(.away) .search .tip")[chart]
        assert tip.is_displayed()
        assert f"reg {short_number(entry['trials'][number]['reg'])}" in tip.text
        inside = "const box = arguments[0].getBoundingClientRect(); return [box.left, box.right]"
        left, right = browser.execute_script(inside, tip)
        assert left >= 0
        assert right <= width
        ActionChains(browser).click().perform()
        assert find(browser, ".sheet:not(.away) .closely h3").text.startswith(f"Candidate {number + 1}")
        assert find(browser, ".sheet:not(.away) .candidates tr.chosen td:nth-child(2)").text == short_number(
            entry["trials"][number]["reg"]
        )
        ActionChains(browser).move_to_element_with_offset(over, 0, -10 - over.size["height"] // 2).perform()
        assert not tip.is_displayed()
    assert browser.get_log("browser") == []
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_an_option_never_breaks_after_its_hyphens(browser: Any, runs: Path) -> None:
    resize(browser, 390)
    visit(browser, runs / "exact" / "report.html")
    lines = (
        "return [...document.querySelectorAll('.whole')].map((one) => [one.textContent, one.getClientRects().length])"
    )
    found = browser.execute_script(lines)
    assert {"--regs", "--seed"} <= {text for text, _ in found}
    assert {count for text, count in found if count} == {1}
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("width", [1280, 390])
def test_a_table_says_that_it_scrolls_where_it_does(browser: Any, runs: Path, width: int) -> None:
    resize(browser, width)
    visit(browser, runs / "many" / "report.html")
    assert find(browser, ".perclass .hint").text.startswith("100 rows: scroll inside the table for all")
    assert not find(browser, ".candidates .hint").is_displayed()  # three rows
    bottom = "const box = arguments[0]; box.scrollTop = 1e6; return box.querySelector('tbody').lastChild.textContent"
    assert "class" in browser.execute_script(bottom, find(browser, ".perclass .scroll"))
    wide = "return arguments[0].scrollWidth > arguments[0].clientWidth + 1"
    visit(browser, runs / "compare.html")
    for box, hint in zip(find_all(browser, ".compare .scroll"), find_all(browser, ".compare .hint"), strict=True):
        assert ("ideways for more columns" in hint.text) == browser.execute_script(wide, box)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_legends_look_like_their_lines(browser: Any, runs: Path) -> None:
    visit(browser, runs / "exact" / "report.html")
    looks = """
        return [...document.querySelectorAll(".sheet:not(.away) .search .key > span")].map((one) => {
          const swatch = one.querySelector(".swatch");
          const [style, box] = [getComputedStyle(swatch), swatch.getBoundingClientRect()];
          const inside = box.width > 0 && box.left >= one.getBoundingClientRect().left;
          return [one.textContent, style.borderTopStyle, style.color, inside];
        });
    """
    found = browser.execute_script(looks)
    assert [text for text, *_ in found] == [
        "validation, ± one standard error", "training", "relative gap: at most so far from the optimum",
        "the tolerance, 0.1 %",
    ]  # fmt: skip
    assert [style for _, style, _, _ in found] == ["solid", "dashed", "solid", "dashed"]
    assert len({colour for _, _, colour, _ in found}) == 4
    assert all(inside for *_, inside in found)


def test_reliability_has_counts_and_intervals_and_fades_thin_bins(browser: Any, runs: Path) -> None:
    visit(browser, runs / "sgd" / "report.html")
    find_all(browser, ".card")[1].click()
    told = """
        const boxes = document.querySelectorAll(".sheet:not(.away) .reliability .chart");
        const [chart, counts] = [...boxes].map((box) => box.chart);
        const { bins, few } = JSON.parse(document.getElementById("data").textContent).panels[1].reliability;
        const hex = getComputedStyle(document.documentElement).getPropertyValue("--accent").trim();
        const accent = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
        return bins.map(([n, sure, right, low, high], i) => {
          if (!n) return null;
          const [x, y] = [chart.u.valToPos(sure, "x", true), chart.u.valToPos(right, "y", true)];
          const colour = [...chart.u.ctx.getImageData(Math.round(x), Math.round(y), 1, 1).data].slice(0, 3);
          const tips = [[chart, sure, right], [counts, (i + 0.5) / bins.length, n]].map(([one, px, py]) => {
            const at = one.u.over.getBoundingClientRect();
            const place = { clientX: at.left + one.u.valToPos(px, "x"), clientY: at.top + one.u.valToPos(py, "y") };
            one.u.over.dispatchEvent(new PointerEvent("pointermove", { ...place, bubbles: true }));
            return one.box.querySelector(".tip").textContent;
          });
          return [n, n < few, String(colour) === String(accent), low <= right && right <= high, tips];
        }).filter(Boolean);
    """
    found = browser.execute_script(told)
    assert sum(n for n, *_ in found) == 160
    assert {faint for _, faint, *_ in found} == {True, False}
    for n, faint, full, inside, tips in found:
        assert inside
        assert full != faint
        for tip in tips:
            assert tip.startswith(f"{n} row")
            assert "95 % interval" in tip


def test_the_facts_have_the_date(browser: Any, runs: Path) -> None:
    visit(browser, runs / "exact" / "report.html")
    entry = json.loads((runs / "exact" / "results.json").read_text())["runs"][0]
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(entry["finished_unix_seconds"]))
    assert when in text_of(browser, ".sheet:not(.away) .facts dd")
    assert abs(time.time() - entry["finished_unix_seconds"]) < 86_400


def test_tabs_show_one_loss_at_a_time(browser: Any, runs: Path) -> None:
    visit(browser, runs / "sgd" / "report.html")
    for number in (1, 0):
        find_all(browser, ".tabs button")[number].click()
        assert [node.get_attribute("data-panel") for node in find_all(browser, ".sheet:not(.away)")] == [str(number)]
        pressed = [node.get_attribute("aria-pressed") for node in find_all(browser, ".tabs button")]
        assert pressed.index("true") == number
