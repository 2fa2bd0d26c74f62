"""'Try it' in a real browser, in the page of a run and alone: test pictures, the pad, inverted pictures, bars."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests.browsing import find_browser, open_browser
from tests.reporting import HOSTILE, digits_split, run
from tests.test_report_browser import TOLERANCE, answer, find, find_all, resize, text_of, try_it, visit

from colinear.datasets import read_image
from colinear.model import LinearModel
from colinear.report import write_try_it

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_browser() is None, reason="needs chromium and chromedriver"),
]
PAGES = ("report.html", "try-it.html")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of both losses on four digits, and the page with 'Try it' alone."""
    path = tmp_path_factory.mktemp("runs") / "run"
    run(path, digits_split(), losses=("hinge", "softmax"))
    write_try_it(path)
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def score(folder: Path, raw: torch.Tensor, loss: str = "hinge") -> torch.Tensor:
    model = LinearModel.load(folder / f"model-{loss}.safetensors")
    return model.scores(raw.unsqueeze(0)).squeeze(0)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_alone_works_without_a_network_and_shows_nothing_else(browser: Any, folder: Path, width: int) -> None:
    resize(browser, width)
    visit(browser, folder / "try-it.html")
    assert text_of(browser, "h2") == ["Try it"] * 2
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert len(find_all(browser, ".sheet:not(.away)")) == 1
    raw = digits_split().validation.take(torch.tensor([5])).squeeze(0)
    picture = folder.parent / "digit.png"
    levels = (raw.double() * 255 / 16).round().byte().view(8, 8)
    Image.fromarray(levels.numpy()).save(picture)
    for number, loss in enumerate(("hinge", "softmax")):
        find_all(browser, ".tabs button")[number].click()
        label, scores = try_it(browser, picture, 4)
        expected = score(folder, raw, loss)
        assert label == HOSTILE[int(expected.argmax())]
        torch.testing.assert_close(scores, expected, atol=TOLERANCE, rtol=0)
    find(browser, ".theme").click()
    assert browser.get_log("browser") == []
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("page", PAGES)
def test_a_test_picture_is_scored_as_its_row(browser: Any, folder: Path, page: str) -> None:
    visit(browser, folder / page)
    test = digits_split().test
    assert test is not None
    buttons = find_all(browser, ".sheet:not(.away) .samples button")
    assert [button.get_attribute("title") for button in buttons] == [f"a test picture of {name}" for name in HOSTILE]
    for number, button in enumerate(buttons):
        button.click()
        row = int((test.labels == number).nonzero()[0])
        expected = score(folder, test.take(torch.tensor([row])).squeeze(0))
        torch.testing.assert_close(answer(browser, 4)[1], expected, atol=TOLERANCE, rtol=0)
    assert text_of(browser, ".trouble") == []


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [1280, 390])
def test_a_drawing_is_scored_as_the_picture_that_it_is(browser: Any, folder: Path, page: str, width: int) -> None:
    from selenium.webdriver import ActionChains

    resize(browser, width)
    visit(browser, folder / page)
    pad = find(browser, ".sheet:not(.away) .pad")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", pad)
    drag = ActionChains(browser).move_to_element_with_offset(pad, -40, -60).click_and_hold()
    drag.move_by_offset(70, 20).move_by_offset(-30, 90).release().perform()
    _, scores = answer(browser, 4)
    data = str(browser.execute_script("return arguments[0].toDataURL('image/png')", pad))
    drawn = folder.parent / "drawn.png"
    drawn.write_bytes(base64.b64decode(data.partition(",")[2]))
    with Image.open(drawn) as picture:
        levels = picture.convert("L").getextrema()
    assert levels == (0, 255)  # light ink on black
    raw = read_image(drawn, (1, 8, 8), value_range=16.0)
    assert float(raw.max()) > 12
    torch.testing.assert_close(scores, score(folder, raw), atol=TOLERANCE, rtol=0)
    assert text_of(browser, ".trouble") == []
    find(browser, ".sheet:not(.away) .drawing button").click()
    assert find_all(browser, ".scorebar") == []
    assert browser.execute_script("return arguments[0].getContext('2d').getImageData(90, 90, 40, 40).data", pad).count(
        0
    )
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_an_inverted_picture_gets_a_word_and_a_way_back(browser: Any, folder: Path) -> None:
    visit(browser, folder / "report.html")
    raw = digits_split().validation.take(torch.tensor([3])).squeeze(0)
    levels = (raw.double() * 255 / 16).round().byte().view(8, 8)
    picture = folder.parent / "dark ink.png"
    Image.fromarray((255 - levels).numpy()).save(picture)
    try_it(browser, picture, 4)
    [said] = text_of(browser, ".trouble")
    assert said.startswith("It looks inverted: the training pictures are light ink on dark.")
    find(browser, ".trouble button").click()
    torch.testing.assert_close(answer(browser, 4)[1], score(folder, raw), atol=TOLERANCE, rtol=0)
    assert text_of(browser, ".trouble") == []


def test_bars_of_scores_begin_at_a_line_of_zero(browser: Any, folder: Path) -> None:
    visit(browser, folder / "report.html")
    find_all(browser, ".sheet:not(.away) .samples button")[0].click()
    _, scores = answer(browser, 4)
    boxes = """
        return [...document.querySelectorAll(".sheet:not(.away) .scorebar")].map((one) => {
          const [zero, bar] = ["b", ".meter i"].map((part) => one.querySelector(part).getBoundingClientRect());
          return [Number(one.dataset.class), zero.left, bar.left, bar.right];
        });
    """
    found = browser.execute_script(boxes)
    assert float(scores.min()) < 0 < float(scores.max())
    unit = max(right - left for _, _, left, right in found) / float(scores.abs().max())
    for number, zero, left, right in found:
        value = float(scores[number])
        assert (right if value < 0 else left) == pytest.approx(zero, abs=1)
        assert right - left == pytest.approx(abs(value) * unit, abs=1)


def test_the_command_is_copied(browser: Any, folder: Path) -> None:
    visit(browser, folder / "report.html")
    browser.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    button = find(browser, ".sheet:not(.away) .copy")
    button.click()
    copied = browser.execute_async_script(
        "const done = arguments[0]; setTimeout(() => navigator.clipboard.readText().then(done, String), 200)"
    )
    assert button.text in ("copied", "copy")
    command = json.loads(browser.execute_script("return document.getElementById('data').textContent"))["panels"][0]
    assert copied == command["command"]
    browser.execute_script("navigator.clipboard.writeText = () => Promise.reject(new Error('forbidden'))")
    button.click()
    selected = browser.execute_async_script(
        "const done = arguments[0]; setTimeout(() => done(getSelection().toString()), 200)"
    )
    assert re.sub(r"\s+", " ", selected).strip() == command["command"]  # for the reader's own Ctrl+C
