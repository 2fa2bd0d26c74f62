"""Several real processes on this machine, each told its place as torchrun tells it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tests.program import Said

SECONDS = 60  # after which a test kills what it has started
HERE = Path(__file__).parent.parent
JOIN = """
import os, sys, torch
from colinear.checks import InputError
from colinear.parallel.group import Group
from colinear.parallel.launch import Launch
group = Group.join(Launch.find(), 20)
"""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def start(arguments: Sequence[str], size: int, cwd: Path | None = None) -> list[subprocess.Popen[str]]:
    """Start Python with `arguments` in `size` processes of one group; one thread each."""
    common = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)}
    common |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}
    return [
        subprocess.Popen(
            [sys.executable, *arguments], env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}, cwd=cwd,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(size)
    ]  # fmt: skip


def end(processes: Sequence[subprocess.Popen[str]]) -> list[Said]:
    """What each has said, when all are done; whatever happens none is left."""
    try:
        said = [process.communicate(timeout=SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [Said(one.returncode, *texts) for one, texts in zip(processes, said, strict=True)]


def run(arguments: Sequence[str], size: int, cwd: Path | None = None) -> list[Said]:
    return end(start(arguments, size, cwd))


def run_well(arguments: Sequence[str], size: int, cwd: Path | None = None) -> list[Said]:
    """Run, and all must leave with status 0."""
    said = run(arguments, size, cwd)
    assert [one.status for one in said] == [0] * size, said
    return said


def find(tmp_path: Path, code: str, size: int) -> list[Any]:
    """What each process has as `found` after `code`, which begins with `JOIN`."""
    ending = f"torch.save(found, {str(tmp_path)!r} + f'/found-{{group.rank}}.pt')\ngroup.end()"
    run_well(["-c", f"{code}\n{ending}"], size, HERE)
    return [torch.load(tmp_path / f"found-{rank}.pt", weights_only=False) for rank in range(size)]
