"""The program `colinear`: its commands, and what becomes of whatever goes wrong in them.

Exit status: 0 done, 1 a check failed or a process of the group has gone, 2 a mistake in what was given or a place that
cannot be read or written, 128 + N stopped by signal N (130: Ctrl-C). A defect of ours keeps its traceback.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
from typing import Annotated, Any, NoReturn, TextIO

import typer
from typer.completion import completion_init  # type: ignore[attr-defined]
from typer.core import TyperCommand, TyperGroup

from colinear.checks import InputError
from colinear.cli import commands
from colinear.cli.mistakes import explain
from colinear.cli.signals import Stopped, exit_status, heeding, leave
from colinear.parallel.launch import GroupError, Launch
from colinear.texts import cut_middle, printable

OBJECTS = 10_000  # made between two looks for garbage; at Python's 700 these take a sixth of `tune digits`
LONGEST_LINE = 400  # characters of a line of a complaint: five lines of a terminal
# click's errors, whichever package holds them: typer carries its own copy of click since 0.26
USAGE_ERRORS: tuple[type[Exception], ...] = tuple(
    kind for kind in typer.BadParameter.__mro__ if issubclass(kind, Exception) and kind is not Exception
)


def _plain(kind: Any) -> Any:
    """A kind of command whose flags stand in help without the type that recent typers show: they take no value."""

    class Plain(kind):  # type: ignore[misc]
        def get_params(self, ctx: Any) -> Any:
            parameters = super().get_params(ctx)
            for flag in (one for one in parameters if getattr(one, "is_flag", False)):
                flag.metavar = ""
            return parameters

    return Plain


completion_init()
app = typer.Typer(
    name="colinear",
    cls=_plain(TyperGroup),
    help="Train and tune multiclass linear classifiers, a whole line-up of settings at once.",
    epilog="Start with: colinear tune digits. COLINEAR_DATA names the folder that holds CIFAR-10.",
    add_completion=False,  # no options that write into the shell's own files; `completion_init` is what they need
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
    if context.invoked_subcommand is None or Launch.find() is None:
        return
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # torch's stacks of frames about a peer that is gone
    if context.invoked_subcommand != "tune":
        raise typer.BadParameter(f"{context.invoked_subcommand} takes one process; torchrun and srun are for tune.")


for panel, names in {
    "Train": ("tune", "fit", "sweep", "features"),
    "Use a model": ("evaluate", "predict", "export"),
    "Look closer": ("info", "card", "check", "report", "compare", "table"),
}.items():
    for name in names:
        app.command(name, rich_help_panel=panel, cls=_plain(TyperCommand))(getattr(commands, name))


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the program and leave with its exit status. `arguments` default to those of the process."""
    gc.set_threshold(OBJECTS)
    atexit.register(gc.freeze)  # what is left goes with the process; to take it apart first takes half a second
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without our characters shows others, not a traceback
    try:
        with heeding(leave):
            status = app(args=arguments, prog_name="colinear", standalone_mode=False)
            sys.stdout.flush()
    except BaseException as error:
        found = _status_of(error)
        if found is None:
            raise
        status = found
    sys.exit(status if isinstance(status, int) else 0)


def _open_streams() -> None:
    """Let standard streams that the shell has closed go nowhere, so that no file of ours takes their number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: SIM115


def _status_of(error: BaseException) -> int | None:
    """Say what is wrong, if that is for the user to know, and return the exit status; None for a defect of ours."""
    if isinstance(error, typer.Abort):  # as click calls what came to it
        error = error.__cause__ or KeyboardInterrupt()
    if isinstance(error, KeyboardInterrupt | Stopped):
        return exit_status(error)
    if isinstance(error, USAGE_ERRORS):
        context = getattr(error, "ctx", None)
        command = "colinear" if context is None else context.command_path
        if not _speaks():
            return 2
        message = error.format_message().replace(": Value error, ", ": ")  # type: ignore[attr-defined]  # pydantic's words
        _complain(message, f"See `{command} --help`.")
        return 2
    if isinstance(error, BrokenPipeError):
        _silence(sys.stdout)
        _silence(sys.stderr)
        return 1
    if isinstance(error, GroupError):
        _complain(str(error))
        return 1
    message = _explain(error)
    if message is None:
        return None
    _complain(message)
    return 2


def _speaks() -> bool:
    """Whether this process says what is wrong with the command line, which every process of a launch reads."""
    with contextlib.suppress(InputError):  # else nobody knows which is the first
        launch = Launch.find()
        return launch is None or launch.rank == 0
    return True


def _explain(error: BaseException) -> str | None:
    """The message for a mistake, or for a machine that cannot do what was asked."""
    if isinstance(error, OSError):
        _silence(sys.stdout)  # it may be the place that cannot be written
    return explain(error)


def _complain(message: str, advice: str = "") -> None:
    """Write one or two lines of bounded length on stderr; control characters, perhaps of a name, are shown as such."""
    lines = [" ".join(line.split()) for line in message.splitlines() if line.strip()]
    if len(lines) > 2:
        lines = [lines[0], " ".join(lines[1:])]
    if advice:
        lines = [" ".join(lines), advice]
    with contextlib.suppress(OSError, ValueError):
        for number, line in enumerate(lines):
            text = ("error: " if number == 0 else "") + cut_middle(printable(line), LONGEST_LINE)
            print(text, file=sys.stderr, flush=True)  # noqa: T201


def _silence(stream: TextIO) -> None:
    """The reader has gone: what is left in the buffer goes nowhere, without a second error at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
