"""What every measurement needs: the clock, the spread of repeats, and where and with what it was made."""

from __future__ import annotations

import datetime
import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from colinear.processor import byte_instructions, multiplies_bytes

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("colinear", "torch", "numpy", "scipy", "scikit-learn")


def now(device: torch.device | None = None) -> float:
    """Seconds on the wall clock, after the device has finished what it was given."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def spread(seconds: Sequence[float]) -> dict[str, Any]:
    """Median, range and every value of n repeats, in seconds."""
    rounded = [float(f"{value:.5g}") for value in seconds]
    return {
        "median": statistics.median(rounded), "min": min(rounded), "max": max(rounded), "n": len(rounded),
        "seconds": rounded,
    }  # fmt: skip


def environment(device: torch.device) -> dict[str, Any]:
    """Device, CPU model, threads, versions and commit."""
    return {
        "device": device_name(device),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bytes": byte_instructions() if multiplies_bytes() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "commit": commit(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()


def file_name(problem: str, device: torch.device) -> str:
    """<problem>-<device>.json: an accelerator's name in letters that fit a file name, or 'cpu' and how bytes multiply.

    'cpu' alone is a processor with AMX, 'cpu-float' one whose products of images are float32.
    """
    kind = device_name(device)
    if device.type == "cpu":
        instructions = byte_instructions() if multiplies_bytes() else "float"
        kind = "cpu" if instructions == "AMX" else f"cpu-{instructions}"
    return f"{problem}-{re.sub(r'[^a-z0-9]+', '-', kind.lower()).strip('-')}.json"


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()


def commit() -> str:
    """Short hash of the commit, '+ changes' if tracked files differ from it, 'unknown' outside git."""
    try:
        head = _git("rev-parse", "--short", "HEAD")
        return head + (" + changes" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
