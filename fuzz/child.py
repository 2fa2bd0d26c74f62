"""One case in this process, which was forked for it: limits, eyes on what happens, and the verdict."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import io
import json
import os
import re
import resource
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from colinear.checks import InputError
from fuzz.cases import Case
from fuzz.proofs import PROOFS
from fuzz.targets import NO_NUMBER, TARGETS

MEMORY = 2 << 30  # bytes that a case may ask for beyond what the imports hold
LARGEST_FILE = 256 << 20
LONGEST, MOST_LINES = 600, 2  # of a refusal
FAILED = re.compile(r"can't allocate memory|bad_alloc|Cannot allocate memory|Unable to allocate|realloc of size")
UNSEEN_WARNINGS = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)  # by Python's default
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn")
MAY_START = ("uname",)  # platform.processor() asks it
RUN_FILES = ("results.json", "settings.json")

Verdict = dict[str, Any]


class Watch:
    """What the case did besides returning: programs started, warnings shown."""

    def __init__(self) -> None:
        self.programs: list[str] = []
        self.warnings: list[str] = []

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook."""
        if event in STARTS:
            name = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else "?"
            if Path(name).name not in MAY_START:
                self.programs.append(name)
        elif event == "socket.connect":
            raise OSError("there is no network in here")

    def show(self, message: Any, category: type[Warning], place: str, line: int, *_: object) -> None:
        self.warnings.append(f"{category.__name__}: {message} ({_short(place)}:{line})")


def run_case(case: Case, folder: Path, seconds: float) -> Verdict:
    """Run `case` in `folder`, where its files lie already, and say what came of it. The process is spoilt by it."""
    trace = open(folder.parent / "trace", "w", encoding="utf-8")  # noqa: SIM115
    faulthandler.enable(trace)
    faulthandler.dump_traceback_later(seconds, exit=True, file=trace)
    before = _protected(case, folder)
    watch = Watch()
    sys.addaudithook(watch.hear)
    warnings.resetwarnings()
    for kind in UNSEEN_WARNINGS:
        warnings.simplefilter("ignore", kind)
    warnings.showwarning = watch.show
    case = _arrange(case, folder)
    _limit()
    verdict = _judge_call(case, folder)
    faulthandler.cancel_dump_traceback_later()
    return _judge_traces(verdict, watch, before, folder)


def _limit() -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def drop_privileges() -> None:
    """Give up root's right to pass over file modes, so that a read-only folder is one. Nothing where there is none."""
    with contextlib.suppress(OSError, AttributeError):
        version, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        ctypes.CDLL(None).capset(version, nothing)


def _arrange(case: Case, folder: Path) -> Case:
    """The working directory and the streams of `case.mode`; words that name its files become absolute if it is gone."""
    streams = {1: folder.parent / "stdout", 2: folder.parent / "stderr"}
    for number, path in streams.items():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
        os.close(handle)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if case.mode == "full stdout":
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    if case.mode == "broken stdout":
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 1)
    sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False), encoding="utf-8", errors="strict")  # noqa: SIM115
    sys.stderr = io.TextIOWrapper(open(2, "wb", closefd=False, buffering=0), encoding="utf-8", write_through=True)  # noqa: SIM115
    if case.mode == "no stdout":
        os.close(1)
        sys.stdout = None  # type: ignore[assignment]  # as Python does at its start
    if case.mode == "no stderr":
        os.close(2)
        sys.stderr = None  # type: ignore[assignment]
    os.chdir(folder)
    if case.mode == "read-only folder":
        for place in (*(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()), folder):
            place.chmod(0o555)
    if case.mode == "no folder":
        absolute = tuple(str(folder / word) if os.path.exists(folder / word) else word for word in case.words)
        gone = folder.parent / "gone"
        gone.mkdir()
        os.chdir(gone)
        gone.rmdir()
        return Case(case.name, case.target, str(folder / case.path), absolute, mode=case.mode)
    drop_privileges()
    return case


def _judge_call(case: Case, folder: Path) -> Verdict:
    try:
        run = PROOFS[case.path].target if case.target == "proof" else TARGETS[case.target]
        try:
            run(case)
            status: Any = 0
        except SystemExit as left:
            if case.target != "command":
                raise
            status = left.code
        if sys.stdout is not None and case.target == "command":
            sys.stdout.flush()  # as Python does at its end
    except InputError as error:
        if _failed_allocation(error):
            return {"outcome": "memory", "detail": f"an allocation failed: {error}", **_frame(error)}
        return {**judge_message(str(error)), **_frame(error)}
    except BaseException as error:
        outcome = "memory" if _failed_allocation(error) else "exception"
        return {"outcome": outcome, "detail": _say(error), "type": type(error).__name__, **_frame(error)}
    return judge_command(case, status, folder) if case.target == "command" else {"outcome": "fine", "detail": ""}


def _failed_allocation(error: BaseException | None) -> bool:
    """Whether an allocation failed on the way to this error; `from None` hides that from people, not from us."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, RuntimeError | OSError) and FAILED.search(str(error))):
            return True
        error = error.__cause__ or error.__context__
    return False


def judge_message(text: str) -> Verdict:
    """A refusal is one or two lines that a terminal may show, of a bounded length."""
    lines = text.splitlines()
    bad = [c for c in text if not c.isprintable() and c != "\n"]
    if len(text) > LONGEST or not 1 <= len(lines) <= MOST_LINES or bad:
        why = f"{len(text)} characters, {len(lines)} lines, unprintable {bad[:3]!r}"
        return {"outcome": "message", "detail": f"{why}: {text[:300]!r}"}
    return {"outcome": "refused", "detail": text}


def judge_command(case: Case, status: Any, folder: Path) -> Verdict:
    """Status 0 and no NaN on stdout, or status 2 and one refusal on stderr."""
    out, err = ((folder.parent / name).read_text("utf-8", "replace") for name in ("stdout", "stderr"))
    if "Traceback (most recent call last)" in err:
        return {"outcome": "exception", "detail": "a traceback on stderr: " + err[-300:], "type": "Traceback"}
    if status in (0, None):
        if found := NO_NUMBER.search(out):
            return {"outcome": "nan", "detail": f"{out[max(0, found.start() - 60) : found.end() + 20]!r}"}
        return {"outcome": "fine", "detail": ""}
    if status == 1 and (case.mode == "broken stdout" or case.words[:1] in (("check",), ("sweep",))):
        return {"outcome": "fine", "detail": "status 1"}
    if status != 2:
        return {"outcome": "exception", "detail": f"exit status {status!r}: {err[-200:]}", "type": f"exit {status!r}"}
    if case.mode == "no stderr":
        return {"outcome": "refused", "detail": "in silence"}
    errors = re.split(r"^error: ", err, flags=re.MULTILINE)
    if len(errors) != 2:
        return {"outcome": "message", "detail": f"exit status 2 with {len(errors) - 1} errors on stderr: {err[-300:]}"}
    return judge_message(errors[1].rstrip("\n"))


def _judge_traces(verdict: Verdict, watch: Watch, before: dict[Path, tuple[int, ...]], folder: Path) -> Verdict:
    """What outweighs an otherwise good outcome."""
    mark = folder.parent / "started"
    started = watch.programs + (mark.read_text().splitlines() if mark.exists() else [])
    changed = [str(path.relative_to(folder)) for path, state in before.items() if _state(path) != state]
    if started:
        return {**verdict, "outcome": "program", "detail": f"started {started[:3]}; {verdict['detail']}"}
    if verdict["outcome"] not in ("fine", "refused"):
        return verdict
    if changed:
        return {**verdict, "outcome": "overwritten", "detail": ", ".join(changed)}
    if watch.warnings:
        return {**verdict, "outcome": "warning", "detail": watch.warnings[0][:300]}
    return verdict


def _protected(case: Case, folder: Path) -> dict[Path, tuple[int, ...]]:
    """State of the files that no call may change: all but those of a run, of features that `features` goes on with, of
    a sweep that `sweep` does, models, pages, and where force is used.
    """
    if "--force" in case.words:
        return {}
    runs = {path.parent for path in folder.rglob("settings.json")}
    if case.words[:1] == ("features",):
        runs |= {path.parent for path in folder.rglob("X_*.npy.part")}
    if case.words[:1] == ("sweep",):
        runs |= {path.parent for path in folder.rglob("sweep.json")}
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".html", ".safetensors"))
    return {path: _state(path) for path in files if not runs & set(path.parents)}


def _state(path: Path) -> tuple[int, ...]:
    try:
        state = path.stat()
    except OSError:
        return ()
    return state.st_ino, state.st_size, state.st_mtime_ns, state.st_mode


def _say(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"


def _frame(error: BaseException) -> dict[str, str]:
    """Where it was raised: the innermost frame of the package, and the innermost of all."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f"{_short(one.filename)}:{one.lineno} {one.name}" for one in frames if "/colinear/" in one.filename]
    last = f"{_short(frames[-1].filename)}:{frames[-1].lineno} {frames[-1].name}" if frames else ""
    return {"frame": ours[-1] if ours else last, "innermost": last}


def _short(path: str) -> str:
    return re.sub(r".*/(?:site-packages|src|lib/python[\d.]+)/", "", path)


def frames_of_trace(text: str) -> Iterator[str]:
    """'file:line function' of a faulthandler trace, innermost first."""
    for file, line, name in re.findall(r'File "([^"]+)", line (\d+) in (\S+)', text):
        yield f"{_short(file)}:{line} {name}"


def clean_up(folder: Path) -> None:
    """Remove a case's folder, whatever modes it was given."""

    def again(remove: Callable[[str], object], path: str, _: object) -> None:
        with contextlib.suppress(OSError):
            os.chmod(Path(path).parent, 0o700)
            os.chmod(path, 0o700)
            remove(path)

    shutil.rmtree(folder, onerror=again)


def write_verdict(verdict: Verdict, pipe: int) -> None:
    content = json.dumps(verdict).encode()
    while content:
        content = content[os.write(pipe, content) :]
