"""The process that forks one child a case, kills those that take too long, and reports; and its handle.

It imports everything once, so that a case costs a fork (15 ms) and not three seconds.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO

import colinear
from fuzz.cases import Case
from fuzz.child import Verdict, clean_up, frames_of_trace, run_case, write_verdict
from fuzz.corpus import environment

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 20.0  # that a case may take
GRACE = 2.0  # more, until a child that does not end by itself is killed
PEAK = 2_000_000_000  # bytes resident, the imports' 0.4 GB included
# what the package imports when it needs it: before the fork, or each child would
LATE = (
    "PIL.ImageOps", "matplotlib.backends.backend_agg", "matplotlib.figure", "onnx", "onnxruntime", "pyarrow.compute",
    "pyarrow.parquet", "sklearn.datasets", "sklearn.linear_model", "torch.utils.tensorboard", "rich.progress",
)  # fmt: skip
# programs that Pillow and others may start; each leaves a mark
FALSE_PROGRAMS = (
    "gs", "gswin32c", "gswin64c", "gsc", "ps2pdf", "convert", "magick", "djpeg", "cjpeg", "ppmtogif", "ppmquant", "xv",
    "display", "gm", "eog", "open", "xdg-open", "latex", "pdflatex", "dvipng", "pdftocairo", "ffmpeg", "git", "gcc",
    "cc", "ldconfig", "nvcc", "ninja",
)  # fmt: skip
MARKER = '#!/bin/sh\necho "${0##*/} $*" >> "$FUZZ_MARK"\n'


def serve(corpus: Path, place: Path, seconds: float) -> None:
    """Read cases from stdin, one JSON value a line, and write verdicts to stdout."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    prepare()
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page it looks at
    replies.write("ready\n")
    replies.flush()
    for line in sys.stdin:
        verdict = fork_case(Case.from_json(line), corpus, place, seconds)
        replies.write(json.dumps(verdict) + "\n")
        replies.flush()


def prepare() -> None:
    """Import all of the package and what it imports late, and make the false programs the first on the PATH."""
    for module in pkgutil.walk_packages(colinear.__path__, "colinear."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in LATE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    _warm_up()


def _warm_up() -> None:
    """What is slow the first time: reading options, and drawing text. Half of the time of a short run."""
    from matplotlib.figure import Figure

    from colinear.cli.app import main

    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        main(["info", "nowhere.npy"])
    figure = Figure()
    figure.subplots().set(title="a", xlabel="b", yscale="log", xscale="log")
    figure.savefig(io.BytesIO(), format="png")


def fork_case(case: Case, corpus: Path, place: Path, seconds: float) -> Verdict:
    """Lay out the files, fork, wait, and judge how the child ended."""
    seconds = case.seconds or seconds
    outer = place / "case"
    if outer.exists():
        clean_up(outer)
    folder = outer / "in"
    folder.mkdir(parents=True)
    case.lay_out(corpus, folder)
    started = time.monotonic()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        _be_child(case, folder, seconds, writer)
    os.close(writer)
    said = _listen(reader, child, started + seconds + GRACE)
    _, status, usage = os.wait4(child, 0)
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGKILL)  # what it may have started
    trace = (outer / "trace").read_text("utf-8", "replace") if (outer / "trace").exists() else ""
    verdict = json.loads(said) if said else _judge_end(status, trace, outer)
    verdict["seconds"] = round(time.monotonic() - started, 3)
    verdict["peak_mb"] = usage.ru_maxrss * 1024 // 10**6
    if usage.ru_maxrss * 1024 > (case.peak or PEAK) and verdict["outcome"] in ("fine", "refused"):
        verdict |= {"outcome": "memory", "detail": f"{usage.ru_maxrss * 1024 / 1e9:.1f} GB resident"}
    return verdict


def _be_child(case: Case, folder: Path, seconds: float, writer: int) -> None:
    """Never returns: the parent's copy of the stack is not ours to unwind."""
    try:
        os.setsid()
        own = {name: folder.parent / name for name in ("home", "cache", "temporary")}  # nothing passes to the next case
        for place in own.values():
            place.mkdir()
        os.environ |= {"HOME": str(own["home"]), "XDG_CACHE_HOME": str(own["cache"]), "TMPDIR": str(own["temporary"])}
        os.environ["FUZZ_MARK"] = str(folder.parent / "started")
        tempfile.tempdir = None
        write_verdict(run_case(case, folder, seconds), writer)
    except BaseException as error:
        with contextlib.suppress(OSError):
            write_verdict({"outcome": "harness", "detail": f"{type(error).__name__}: {error}"}, writer)
    os._exit(0)


def _listen(reader: int, child: int, deadline: float) -> bytes:
    """All that the child writes, until it closes the pipe or is killed at the deadline."""
    said = b""
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            os.kill(child, signal.SIGKILL)
            break
        piece = os.read(reader, 65536)
        if not piece:
            break
        said += piece
    os.close(reader)
    return said


def _judge_end(status: int, trace: str, outer: Path) -> Verdict:
    """Of a child that left without a word."""
    frames = list(frames_of_trace(trace))
    where = {
        "frame": next((frame for frame in frames if frame.startswith("colinear/")), frames[0] if frames else ""),
        "innermost": frames[0] if frames else "",
    }
    if "Timeout (" in trace or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
        return {"outcome": "hang", "detail": "it had not ended when its time was up", **where}
    end = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit status {os.WEXITSTATUS(status)}"
    said = (outer / "stderr").read_text("utf-8", "replace")[-200:] if (outer / "stderr").exists() else ""
    return {"outcome": "crash", "detail": f"it ended with {end}: {said}", "type": end, **where}


class Worker:
    """A worker process; a context that ends it.

    corpus : the folder of `build_corpus`.     place : an empty folder of its own, where cases are laid out.
    """

    def __init__(self, corpus: Path, place: Path, seconds: float = SECONDS) -> None:
        self.corpus, self.place, self.seconds = corpus.resolve(), place.resolve(), seconds
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def run(self, case: Case) -> Verdict:
        """The verdict on one case. A worker that dies of it is started anew."""
        process = self._process or self._start()
        try:
            _stream(process.stdin).write(case.to_json() + "\n")
            _stream(process.stdin).flush()
            answer = _stream(process.stdout).readline()
        except OSError:
            answer = ""
        if answer:
            verdict: Verdict = json.loads(answer)
            return verdict
        self.stop()
        return {"outcome": "harness", "detail": "the worker died", "seconds": 0.0, "peak_mb": 0}

    def stop(self) -> None:
        if self._process is not None:
            _stream(self._process.stdin).close()
            self._process.kill()
            self._process.wait()
            _stream(self._process.stdout).close()
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        programs = self.place / "programs"
        programs.mkdir(parents=True, exist_ok=True)
        for name in FALSE_PROGRAMS:
            (programs / name).write_text(MARKER)
            (programs / name).chmod(0o755)
        home = self.place / "home"
        home.mkdir(exist_ok=True)
        _lend_font_cache(home)
        variables = environment(home) | {"PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}
        tested = str(Path(colinear.__file__).parents[1])  # the copy that this process has imported
        paths = [tested, str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fuzz.worker", str(self.corpus), str(self.place), str(self.seconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self.place,
            env={**os.environ, **variables, "PYTHONPATH": os.pathsep.join(paths)},
        )  # fmt: skip
        if _stream(self._process.stdout).readline() != "ready\n":
            raise RuntimeError("the worker could not start; what it said stands above")
        return self._process


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _lend_font_cache(home: Path) -> None:
    """Matplotlib's list of fonts, which takes seconds to make and starts fc-list."""
    import matplotlib

    for found in Path(matplotlib.get_cachedir()).glob("fontlist*.json"):
        target = home / "cache/matplotlib" / found.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, target)


def main(arguments: list[str]) -> None:
    corpus, place, seconds = arguments
    serve(Path(corpus), Path(place), float(seconds))


if __name__ == "__main__":
    main(sys.argv[1:])
