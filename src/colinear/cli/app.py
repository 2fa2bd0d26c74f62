"""The program `colinear`: its commands, and what becomes of whatever goes wrong in them.

Exit status: 0 done, 1 a check failed, 2 a mistake in what was given, 130 stopped by Ctrl-C. A defect of ours keeps
its traceback.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Annotated, NoReturn, TextIO

import typer

from colinear.cli import commands
from colinear.cli import report as pages

STOPPED = 130  # 128 + SIGINT, as shells count
# click's errors, whichever package holds them: typer carries its own copy of click since 0.26
USAGE_ERRORS: tuple[type[Exception], ...] = tuple(
    kind for kind in typer.BadParameter.__mro__ if issubclass(kind, Exception) and kind is not Exception
)

app = typer.Typer(
    name="colinear",
    help="Train and tune multiclass linear classifiers, a whole line-up of settings at once.",
    epilog="Start with: colinear tune digits. COLINEAR_DATA names the folder that holds CIFAR-10.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"colinear {version('colinear')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for name, panel in (
    ("tune", "Train"),
    ("fit", "Train"),
    ("evaluate", "Use a model"),
    ("predict", "Use a model"),
    ("export", "Use a model"),
    ("info", "Look closer"),
    ("check", "Look closer"),
):
    app.command(name, rich_help_panel=panel)(getattr(commands, name))
app.command("report", rich_help_panel="Look closer")(pages.report)
app.command("compare", rich_help_panel="Look closer")(pages.compare)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the program and leave with its exit status. `arguments` default to those of the process."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without our characters shows others, not a traceback
    try:
        status = app(args=arguments, prog_name="colinear", standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = STOPPED
    except USAGE_ERRORS as error:
        _complain(error.format_message(), _advice(error))  # type: ignore[attr-defined]
        status = 2
    except typer.Abort:
        status = STOPPED
    except BrokenPipeError:
        _silence(sys.stdout)
        status = 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _complain(f"the disk is full ({error.filename or 'standard output'}). Free some space and run again.")
        _silence(sys.stdout)
        status = 2
    except ValueError as error:
        from colinear.checks import InputError

        if not isinstance(error, InputError):
            raise
        _complain(str(error))
        status = 2
    sys.exit(status if isinstance(status, int) else 0)


def _advice(error: BaseException) -> str:
    context = getattr(error, "ctx", None)
    return f"See `{context.command_path if context is not None else 'colinear'} --help`."


def _complain(message: str, advice: str = "") -> None:
    """Write one or two lines on stderr; control characters, perhaps from a file name, are shown as such."""
    lines = [" ".join(line.split()) for line in message.splitlines() if line.strip()]
    if len(lines) > 2:
        lines = [lines[0], " ".join(lines[1:])]
    if advice:
        lines = [" ".join(lines), advice]
    with contextlib.suppress(OSError):
        for number, line in enumerate(lines):
            shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
            print(("error: " if number == 0 else "") + shown, file=sys.stderr, flush=True)  # noqa: T201


def _silence(stream: TextIO) -> None:
    """The reader has gone: what is left in the buffer goes nowhere, without a second error at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
