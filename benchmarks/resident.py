"""The program, with an eye on its own memory: `python -m benchmarks.resident FOLDER DATA ARGUMENT...`. Linux only.

Runs `colinear ARGUMENT...` and writes FOLDER/memory-RANK.json, whether a launcher has started it or not. Counted are

anonymous : memory of its own (RssAnon), the peak less what there was when all that `tune` imports was imported;
data : pages of files at or below DATA that are mapped, the most that were seen. They belong to the file: the system
    drops them where memory is short, and processes of one machine share them. `data_share` counts a page that m
    processes map as 1 / m page of each (Pss): the median of the looks, since one process ends before the other.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
import threading
from pathlib import Path

from benchmarks.memory import SAMPLE_SECONDS, anonymous_bytes

EVERY = 20  # samples from one look at the maps to the next: it takes 10 ms
HEADER = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)$")
FIELD = re.compile(r"^(Rss|Pss): +(\d+) kB$")


class Watch(threading.Thread):
    """Samples until it is stopped."""

    def __init__(self, data: str) -> None:
        super().__init__(daemon=True)
        self.data, self.over = os.path.realpath(data), threading.Event()
        self.before = anonymous_bytes(os.getpid())
        self.peak = self.before
        self.pages, self.shares = 0, [0]

    def run(self) -> None:
        count = 0
        while not self.over.wait(SAMPLE_SECONDS):
            self.look(maps=count % EVERY == 0)
            count += 1

    def look(self, *, maps: bool) -> None:
        self.peak = max(self.peak, anonymous_bytes(os.getpid()))
        if maps:
            pages, share = mapped_bytes(Path("/proc/self/smaps").read_text(), self.data)
            self.pages = max(self.pages, pages)
            self.shares.append(share)

    def facts(self) -> dict[str, float]:
        self.over.set()
        counted = {"imports": self.before, "anonymous": self.peak - self.before}
        counted |= {"data": self.pages, "data_share": statistics.median(self.shares)}
        return {f"{name}_mb": round(value / 1e6, 1) for name, value in counted.items()}


def mapped_bytes(smaps: str, place: str) -> tuple[int, int]:
    """(Rss, Pss) of the mapped files at or below `place`, from the text of a process's smaps.

    >>> mapped_bytes("7f00-7f10 rw-p 0000 fe:00 12    /d/x.npy\\nRss:    8 kB\\nPss:    4 kB\\n", "/d")
    (8192, 4096)
    """
    sums, inside = {"Rss": 0, "Pss": 0}, False
    for line in smaps.splitlines():
        if header := HEADER.match(line):
            inside = header[1] == place or header[1].startswith(f"{place}/")
        elif inside and (field := FIELD.match(line)):
            sums[field[1]] += 1024 * int(field[2])
    return sums["Rss"], sums["Pss"]


def main() -> None:
    import colinear.cli.tuning  # what a run imports anyway
    import colinear.report.figures
    import colinear.report.record
    import colinear.search.tune  # noqa: F401
    from colinear.cli import main as program

    place, data, *arguments = sys.argv[1:]
    watch = Watch(data)
    watch.start()
    try:
        program(arguments)
    finally:
        name = f"memory-{os.environ.get('RANK', '0')}.json"
        (Path(place) / name).write_text(json.dumps(watch.facts()))


if __name__ == "__main__":
    main()
