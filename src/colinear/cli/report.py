"""`colinear report` and `colinear compare`: pages from the folders of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from colinear.cli import options as o

RUN_HELP = "A folder that `colinear tune` has written."


def report(
    run: Annotated[Path, o.argument("RUN", RUN_HELP)],
    force: o.Force = False,
    json: o.Json = False,
) -> None:
    """Write RUN/report.html: the search, the winner and 'Try it' in one page that works offline."""
    from colinear.cli.console import Output
    from colinear.report.page import write_report

    output = Output(as_json=json)
    path = write_report(run, force=force)
    output.say_path(f"Written: {path}")
    output.emit({"report": str(path)})


def compare(
    runs: Annotated[list[Path], o.argument("RUN RUN...", RUN_HELP)],
    out: Annotated[Path, o.place("FILE", "The page to write.")] = Path("compare.html"),
    force: o.Force = False,
    json: o.Json = False,
) -> None:
    """Write one page for several runs, their winners side by side with the paired test."""
    from colinear.cli.console import Output
    from colinear.report.page import write_comparison

    output = Output(as_json=json)
    path = write_comparison(runs, out, force=force)
    output.say_path(f"Written: {path}")
    output.emit({"report": str(path), "runs": [str(run) for run in runs]})
