"""The page of a sweep in a real browser. Skipped where there is no Chromium with its driver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.browsing import find_browser, open_browser
from tests.reporting import HOSTILE, digits_split, run
from tests.test_report_browser import find, find_all, resize, text_of, visit

from colinear.report.summary import remake_summary
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.sweep.plan import Planned, write_plan

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_browser() is None, reason="needs chromium and chromedriver"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three layers, a run that failed with a hostile message, and one that waits."""
    folder = tmp_path_factory.mktemp("sweep")
    planned = [Planned.of(Settings(data=f"{HOSTILE[0]}-{layer}"), {"layer": layer}) for layer in range(1, 6)]
    for one in planned[:3]:
        run(folder / one.folder, digits_split(one.data), "exact", ("hinge", "softmax"))
    states = [*(replace(one, state="finished", seconds=2.0) for one in planned[:3]), *planned[3:]]
    states[3] = replace(states[3], state="failed", error=HOSTILE[1] * 20)
    write_plan(RunFolder(folder), states)
    return remake_summary(folder)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def test_the_page_shows_runs_table_failures_and_what_waits(browser: Any, page: Path) -> None:
    visit(browser, page)
    assert "3 of 5 runs finished, 1 failed, 1 waiting" in text_of(browser, ".lead")[0]
    assert text_of(browser, "h2") == ["Over layer", "Test accuracy over layer", "Failed", "All results", "Waiting"]
    assert text_of(browser, ".pivot th") == ["loss", "1", "2", "3"]
    assert len(find_all(browser, ".pivot strong")) >= 2
    assert text_of(browser, ".failed td") == [HOSTILE[1] * 20]
    assert len(find_all(browser, ".curves canvas")) == 1
    assert browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert browser.get_log("browser") == []


def test_headings_sort_and_names_lead_to_the_pages_of_runs(browser: Any, page: Path) -> None:
    visit(browser, page)
    heading = find(browser, ".results th:nth-child(3) button")
    first = text_of(browser, ".results tbody tr td:nth-child(3)")
    heading.click()
    assert text_of(browser, ".results tbody tr td:nth-child(3)") == sorted(first)
    link = find(browser, ".results tbody a")
    target = link.get_property("href")
    link.click()
    assert browser.current_url == target
    assert text_of(browser, ".sheet h2")[0] == "The search"


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_never_scrolls_sideways_and_the_curve_tells_its_numbers(browser: Any, page: Path, width: int) -> None:
    resize(browser, width)
    visit(browser, page)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    moved = browser.execute_script(
        """
        const box = document.querySelector(".curves .chart"), u = box.chart.u, at = u.over.getBoundingClientRect();
        const { places, cells } = JSON.parse(document.getElementById("data").textContent).table;
        const [x, y] = [u.valToPos(places[0], "x"), u.valToPos(cells[0].value, "y")];
        const place = { clientX: at.left + x, clientY: at.top + y };
        u.over.dispatchEvent(new PointerEvent("pointermove", { ...place, bubbles: true }));
        const tip = box.querySelector(".tip");
        return tip.hidden ? null : tip.textContent;
        """
    )
    assert moved is not None
    assert moved.startswith("layer 1 · ")
    assert "95 % interval" in moved


def test_the_reader_chooses_light_or_dark(browser: Any, page: Path) -> None:
    visit(browser, page)
    before = browser.execute_script("return document.documentElement.dataset.theme")
    find(browser, ".theme").click()
    assert browser.execute_script("return document.documentElement.dataset.theme") != before
