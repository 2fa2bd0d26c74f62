"""Wheel and sdist of the committed state: built, checked, installed, run: `make release-check`.

Everything happens in a clone in a folder of its own, and in environments of their own: neither the working tree nor
what is installed here can help. Prints a line for each step, and the output of the one that fails; exit status 1 then.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from release import readme

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent  # with build, twine, check-wheel-contents and uv: the extra `release`
SCRIPTS = "Scripts" if os.name == "nt" else "bin"
EXTRAS = "onnx,parquet,embed,tracking"
INHERITED = ("PYTHONPATH", "VIRTUAL_ENV", "COLINEAR_DATA", "MPLBACKEND", "MAKEFLAGS", "MAKELEVEL", "PIP_CONSTRAINT")
INSIDE = "import colinear, sys; assert colinear.__file__.startswith(sys.prefix), colinear.__file__"
NO_OWNER = "/-owner-/"  # in the repository's address until it is known: no account can have this name
TAIL = 3000  # characters of a failed command's output


class FailedError(Exception):
    """A step's command did not end well; the text says how."""


def run(command: Iterable[str | os.PathLike[str]], cwd: Path, **variables: str) -> str:
    """The output of a command, which sees no environment of ours. Raises `FailedError` unless its exit status is 0."""
    clean = {name: value for name, value in os.environ.items() if name not in INHERITED} | variables
    words = [os.fspath(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=clean, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise FailedError(f"{' '.join(words)}\nended with status {done.returncode}:\n{done.stdout[-TAIL:]}")
    return done.stdout


def clone(work: Path) -> Path:
    """The committed state of the repository, in a folder of its own."""
    target = work / "clone"
    run(["git", "clone", "--quiet", ROOT, target], work)
    return target


def build(source: Path, dist: Path) -> list[Path]:
    """Wheel, made of the sdist as pip would, and sdist; both as the package index wants them."""
    run([sys.executable, "-m", "build", "--outdir", dist, source], source)
    made = sorted(dist.iterdir())
    run([BIN / "twine", "check", "--strict", *made], source)
    run([BIN / "check-wheel-contents", "--config", source / "pyproject.toml", *dist.glob("*.whl")], source)
    return made


def environment(folder: Path, *install: str, options: Iterable[str] = ()) -> Path:
    """A new environment with what is named; returns its folder of programs."""
    run([BIN / "uv", "venv", "--quiet", "--seed", "--python", sys.executable, folder], folder.parent)
    python = folder / SCRIPTS / "python"
    run([BIN / "uv", "pip", "install", "--quiet", "--python", python, *options, *install], folder.parent)
    return folder / SCRIPTS


def try_out(artifact: Path, extras: str, work: Path) -> Path:
    """Install one artifact into a clean environment and tune on digits there; returns its folder of programs."""
    name = f"{'sdist' if artifact.suffix == '.gz' else 'wheel'}{'-extras' if extras else ''}"
    place = work / name
    place.mkdir()
    programs = environment(place / "environment", f"{artifact}[{extras}]" if extras else str(artifact))
    run([programs / "python", "-c", INSIDE], place)
    run([programs / "colinear", "tune", "digits", "--out", "run"], place)
    model = "run/model-softmax.safetensors"
    told = run([programs / "colinear", "export", model, "--to", "onnx" if extras else "numpy"], place)
    if "compared" not in told and "checked" not in told.lower():
        raise FailedError(f"colinear export says nothing of a check:\n{told}")
    return programs


def oldest(source: Path, work: Path, arguments: list[str]) -> str:
    """The tests with the oldest versions that pyproject.toml allows; returns which those are."""
    programs = environment(work / "oldest", f"{source}[{EXTRAS}]", options=["--resolution", "lowest-direct"])
    found = run([BIN / "uv", "pip", "freeze", "--python", programs / "python"], work)
    held = work / "oldest.txt"
    held.write_text("\n".join(line for line in found.splitlines() if "==" in line), "utf-8")
    tools = [f"{source}[{EXTRAS},test]", "--constraint", held]  # what the tests need moves none of them
    run([BIN / "uv", "pip", "install", "--quiet", "--python", programs / "python", *tools], work)
    old = ["-W", "ignore::DeprecationWarning"]  # what old packages use of the newer ones below them
    run([programs / "python", "-m", "pytest", "-p", "no:cacheprovider", *old, *arguments], source)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Build, check, install and run a release of the committed state.")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="put wheel and sdist there if all is well")
    parser.add_argument(
        "--oldest", nargs="*", metavar="TEST", help="also run the tests (these, or all) on old versions"
    )
    given = parser.parse_args()
    began = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {what}", flush=True)

    with tempfile.TemporaryDirectory(prefix="release-", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        try:
            source = clone(work)
            made = build(source, work / "dist")
            tell(f"built and checked: {', '.join(path.name for path in made)}")
            for artifact in made:
                for extras in ("", EXTRAS):
                    programs = try_out(artifact, extras, work)
                    tell(f"installed, and tuned on digits: {artifact.name}{f'[{extras}]' if extras else ''}")
            for line in readme.follow(source, programs, work / "readme"):
                tell(line)
            if given.oldest is not None:
                print(oldest(source, work, given.oldest))
                tell("tested with the oldest versions")
        except (FailedError, readme.StuckError) as reason:
            print(reason, file=sys.stderr)
            return 1
        if given.keep:
            given.keep.mkdir(parents=True, exist_ok=True)
            for path in made:
                shutil.copy(path, given.keep)
    unknown = NO_OWNER in (ROOT / "pyproject.toml").read_text("utf-8")
    tell(f"fit to be released{', once [project.urls] in pyproject.toml has the address' if unknown else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
