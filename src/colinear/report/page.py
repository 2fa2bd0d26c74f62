"""The page: one file that needs no network, with its data as JSON and its scripts named by their hashes.

Charts are uPlot's (see vendor/README.md for why). Names of classes, files and datasets are text of strangers: they
reach the page inside one JSON block, in which `<`, `>` and `&` are written as escapes, and become elements through
`textContent` alone. A content security policy forbids every other script, every request and every inline handler.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from colinear.checks import InputError
from colinear.outputs import MARK, PAGE, check_output, save_whole
from colinear.report.panels import compare_winners, name_runs, read_panels
from colinear.texts import printable

SCRIPTS = (
    "vendor/uPlot.iife.min.js", "assets/dom.js", "assets/charts.js", "assets/theme.js", "assets/headline.js",
    "assets/search.js", "assets/candidates.js", "assets/winner.js", "assets/resize.js", "assets/patches.js",
    "assets/pad.js", "assets/tryit.js", "assets/facts.js", "assets/compare.js", "assets/main.js",
)  # fmt: skip
TRY_IT = (
    "assets/dom.js", "assets/theme.js", "assets/resize.js", "assets/patches.js", "assets/pad.js", "assets/tryit.js",
    "assets/tryonly.js",
)  # fmt: skip
STYLES = ("vendor/uPlot.min.css", "assets/report.css", "assets/parts.css")
TRY_IT_NAME = "try-it.html"
TRIED = ("loss", "link", "many", "classes", "weights", "samples", "test")  # of a panel, for 'Try it' alone
MOST_CANDIDATE_BYTES = 3_500_000  # of candidates' templates in one page; runs that would exceed it show none


def write_report(run_folder: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write report.html into a run's folder from what the folder holds, and return its path.

    Below 5 MB for CIFAR-10 with both losses and 50 candidates each. The same folder gives the same bytes.
    A report.html that is there is replaced if it is a page of colinear, or with `force`.
    Raises `InputError` if the folder holds no run, or its files are damaged.
    """
    path = Path(run_folder)
    panels = read_panels(path)
    names = ", ".join(dict.fromkeys(panel["dataset"]["name"] for panel in panels))
    title = f"{names} · {Path(os.path.realpath(path)).name}"
    target = check_report(path, force=force)
    return write_page(target, make_page(title, panels, own=compare_winners([(path, panels)])))


def write_try_it(run_folder: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write try-it.html into a run's folder, for others to try its models on pictures, and return its path.

    It holds names of data and classes, weights, test accuracies, and pictures of data that may be shown; nothing of
    other candidates, test rows or the machine. Some 40 kB and the weights; a loss whose model takes no pictures, or is
    too large for a page, is left out.
    Raises `InputError` as `write_report` does, and where no model is left.
    """
    path = Path(run_folder)
    panels = [panel for panel in read_panels(path) if panel.get("weights")]
    if not panels:
        raise InputError(
            f"--only try-it needs a model of pictures that fits into a page; {path} has none. Use `colinear predict`."
        )
    name = panels[0]["dataset"]["name"]
    data = {
        "name": name,
        "version": panels[0]["environment"]["colinear"],
        "panels": [{key: panel.get(key) for key in TRIED} for panel in panels],
    }
    target = check_report(path, force=force, name=TRY_IT_NAME)
    return write_page(target, fill_page(name, data, TRY_IT, "`colinear predict` labels pictures too.", STYLES[1:]))


def check_report(run_folder: Path, *, force: bool = False, name: str = "report.html") -> Path:
    """The page of a run, if it may be written: see `check_output`."""
    remedy = "Move it away, or let `colinear report --force` replace it."
    return check_output(run_folder / name, PAGE, force=force, option="the page", remedy=remedy)


def write_comparison(
    run_folders: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str], *, force: bool = False
) -> Path:
    """Write one page for several runs, their winners side by side with the paired test, and return its path.

    out : an .html file; one that is there is replaced if it is such a page, or with `force`.
    """
    paths, target = [Path(folder) for folder in run_folders], Path(out)
    if len({os.path.realpath(path) for path in paths}) < 2:
        raise InputError(
            f"compare needs at least two different runs; got {len(paths)}. See one with `colinear report`."
        )
    check_output(target, PAGE, inputs=paths, force=force)
    runs = [
        (path, [{**panel, "run": name} for panel in read_panels(path)])
        for path, name in zip(paths, name_runs(paths), strict=True)
    ]
    panels = [panel for _, those in runs for panel in those]
    return write_page(target, make_page(f"Comparison of {len(paths)} runs", panels, compare_winners(runs)))


def write_page(target: Path, page: str) -> Path:
    save_whole(target, page.encode(), str(target), "Free some space.")
    return target


def make_page(
    title: str,
    panels: Sequence[dict[str, Any]],
    comparison: dict[str, Any] | None = None,
    own: dict[str, Any] | None = None,
) -> str:
    """The whole HTML text of one run with the paired test of its `own` losses, or of several and their `comparison`."""
    data = {"panels": _within_budget(panels), "comparison": comparison, "own": own}
    return fill_page(title, data, SCRIPTS, "The same numbers are in results.json.")


def fill_page(
    title: str, data: dict[str, Any], names: Sequence[str], instead: str, styles: Sequence[str] = STYLES
) -> str:
    """The HTML text of a page that the scripts `names` draw from `data`; `instead`: a sentence for who allows none.

    Bytes of a title that is not UTF-8 are written out, as \\xff.
    """
    title = printable(title)
    sheets = [_asset(name) for name in styles]
    scripts = [_asset(name) for name in names]
    policy = (
        f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes(sheets)}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(_asset("assets/page.html")).substitute(
        mark=MARK,
        policy=policy,
        title=escape(title),
        instead=instead,
        styles="\n".join(f"<style>{sheet}</style>" for sheet in sheets),
        data=json_for_html({"title": title, **data}),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def json_for_html(value: Any) -> str:
    """`value` as JSON that no parser of HTML or JavaScript can mistake for anything else; ASCII only.

    >>> json_for_html("</script><!--")
    '"\\\\u003c/script\\\\u003e\\\\u003c!--"'
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # non-ASCII, U+2028 too, becomes \uXXXX
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _asset(name: str) -> str:
    return files("colinear.report").joinpath(name).read_text(encoding="utf-8")


def _hashes(texts: Sequence[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def _within_budget(panels: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Panels in order; those whose candidates' templates no longer fit into the page go without them."""
    kept, spent = [], 0
    for panel in panels:
        spent += sum(len(sprite["src"]) for sprite in panel.get("candidates", ()))
        kept.append(panel if spent <= MOST_CANDIDATE_BYTES else {**panel, "candidates": None})
    return kept
