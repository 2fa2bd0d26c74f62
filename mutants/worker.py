"""A process that has imported what tests need, and runs pytest in a fork of itself for each line that it reads.

    python -m mutants.worker torch numpy
    {"words": ["tests/test_losses.py"], "limit": 60.0}  ->  {"status": 1, "said": "1 failed, 3 passed in 0.2s"}

Its arguments are the modules to import: torch and its company take longer than most tests. The package itself is
imported in the fork only, from the source as it is then. `status` is pytest's exit status, negative for a signal, null
at the time limit.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PYTEST = ("-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=line", "--basetemp=tmp")
POLL = 0.02  # seconds between two looks at the fork


def run_pytest(words: Sequence[str], limit: float) -> tuple[int | None, str]:
    """Exit status of pytest in a fork, and the last line that it said."""
    log = Path("said.txt")
    child = os.fork()
    if child == 0:
        _be_pytest(words, log)
    ends, status = time.monotonic() + limit, None
    while status is None and time.monotonic() < ends:
        gone, code = os.waitpid(child, os.WNOHANG)
        status = os.waitstatus_to_exitcode(code) if gone else None
        time.sleep(0 if gone else POLL)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # whatever the tests started, too
    if status is None:
        os.waitpid(child, 0)
        return None, f"more than {limit:.0f} s"
    lines = log.read_text(errors="replace").strip().splitlines()
    return status, lines[-1] if lines else ""


def _be_pytest(words: Sequence[str], log: Path) -> None:
    """What the fork does; it never comes back."""
    status = 3
    try:
        os.setsid()
        said, nothing = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, nothing), (1, said), (2, said)):
            os.dup2(source, target)
        import pytest

        status = int(pytest.main([*PYTEST, *words]))
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def main() -> None:
    for name in ("pytest", *sys.argv[1:]):
        with suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        status, said = run_pytest(asked["words"], asked["limit"])
        sys.stdout.write(json.dumps({"status": status, "said": said}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
