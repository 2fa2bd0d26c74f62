"""The commands' signatures and help texts. The work is done in modules that are imported when a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from colinear.checks import MOST_COUNT, MOST_SEED, InputError
from colinear.cli import options as o
from colinear.parallel.launch import TIMEOUT
from colinear.search.option import PANELS
from colinear.search.settings import Settings


def given_options(context: typer.Context) -> dict[str, str]:
    """Parameter name -> option name, of the options that the user wrote."""
    written = {}
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name) if parameter.name else None
        if parameter.name and source is not None and source.name == "COMMANDLINE":
            written[parameter.name] = parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.name.upper()
    return written


@o.takes(Settings, search=True)
def tune(
    context: typer.Context,
    *,
    data: Annotated[str | None, o.argument("DATA", o.DATA_HELP)] = None,
    out: Annotated[Path | None, o.place("RUN", "Folder of the run.", "run", show_default="runs/DATA-DATE-TIME")] = None,
    resume: Annotated[Path | None, o.place("RUN", "Go on with a run that was stopped, by its settings.", "run")] = None,
    auto_resume: Annotated[
        bool,
        typer.Option(
            "--auto-resume",
            help="Go on with the run in --out where there is one, by the same command.",
            rich_help_panel=PANELS["run"],
        ),
    ] = False,
    log_dir: Annotated[
        Path | None, o.place("DIR", "Write TensorBoard event files too; also with --resume.", "run")
    ] = None,
    figures: Annotated[
        o.Figures,
        typer.Option(help="Kind of the files in figures/; also with --resume.", rich_help_panel=PANELS["run"]),
    ] = o.Figures.PNG,
    timeout: Annotated[
        float,
        typer.Option(
            min=1,
            max=1e6,
            metavar="SECONDS",
            help="Under torchrun or srun: how long a process waits for the others.",
            rich_help_panel=PANELS["run"],
        ),
    ] = TIMEOUT,
    quiet: o.Quiet = False,
    json: o.Json = False,
    **settings: Any,
) -> None:
    """Find the best setting of each loss, score it once on test rows, and save models, results and figures."""
    from colinear.cli.tuning import run_tune

    run_tune(context.params, given_options(context))


@o.takes(Settings, search=True)
def sweep(
    context: typer.Context,
    *,
    data: Annotated[
        list[str],
        o.argument("FILE...", "What tune takes, or a pattern as 'features/layer-{layer}.npz'; or one sweep.toml."),
    ],
    out: Annotated[
        Path | None,
        o.place(
            "SWEEP",
            "Folder of the sweep; what is missing in it, if there is one.",
            "run",
            show_default="sweep, or the name of the TOML file",
        ),
    ] = None,
    quiet: o.Quiet = False,
    json: o.Json = False,
    **settings: Any,
) -> None:
    """Tune on many files, each in a folder of its own, with one summary; stopped, the same command goes on."""
    from colinear.cli.sweeping import run_sweep

    run_sweep(context.params, given_options(context), out)


@o.takes(Settings, search=False)
def fit(
    context: typer.Context,
    *,
    data: o.Data,
    loss: Annotated[o.Loss, typer.Option(help="What is minimised.")] = o.Loss.SOFTMAX,
    reg: Annotated[float, typer.Option(help="Strength of regularization.")] = 1e-3,
    out: Annotated[Path, o.place("MODEL", "The model file to write.")] = Path("model.safetensors"),
    force: o.Force = False,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate; sgd needs one.", rich_help_panel=PANELS["sgd"])
    ] = None,
    quiet: o.Quiet = False,
    json: o.Json = False,
    **settings: Any,
) -> None:
    """Train one classifier with one setting and save it."""
    from colinear.cli.tuning import run_fit

    run_fit(context.params, given_options(context))


def features(
    data: o.Data,
    extractor: Annotated[
        str,
        typer.Option(
            "--with",
            metavar="EXTRACTOR",
            help="hog, hog+color, patches:K (a dictionary of K patches), kernel:D (D random Fourier features), "
            "hf:NAME_OR_FOLDER (a vision network of transformers), or MODULE:FUNCTION (your own: a batch of pictures "
            "to rows).",
        ),
    ],
    out: Annotated[Path, o.place("FOLDER", "The folder to write; what is missing in it, if it was stopped.")],
    pool: Annotated[o.Pool | None, o.describe_option(o.SETTINGS["pool"])] = None,
    layers: o.Layers = None,
    dtype: Annotated[o.Dtype, typer.Option(help="How features are stored.")] = o.Dtype.FLOAT32,
    augment: Annotated[str | None, o.describe_option(o.SETTINGS["augment"])] = None,
    data_dir: o.DataDir = None,
    label: o.Label = None,
    seed: Annotated[int, o.describe_option(o.SETTINGS["seed"])] = 0,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Turn pictures, or rows of a table, into features that `tune FOLDER` learns from."""
    from colinear.cli.extracting import run_features

    pooled = None if pool is None else pool.value
    run_features(data, extractor, out, pooled, layers, dtype.value, augment, data_dir, label, seed, quiet, json)


def evaluate(
    model: o.ModelFile,
    data: o.Data,
    part: Annotated[
        o.Part | None,
        typer.Option(
            help="Which rows.",
            show_default="test; all of a file or folder that did not train the model and has no test rows",
            rich_help_panel=PANELS["data"],
        ),
    ] = None,
    data_dir: o.DataDir = None,
    label: o.Label = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=MOST_SEED,
            help="That the rows were split with.",
            show_default="the model's",
            rich_help_panel=PANELS["data"],
        ),
    ] = None,
    metric: Annotated[
        list[o.Metric] | None,
        typer.Option(help="Print it too, with its interval; may be given several times.", show_default="none"),
    ] = None,
    sample_weight: o.SampleWeight = None,
    extractor: o.With = None,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Score a model on labelled rows: accuracy with its 95 % interval, and each class."""
    from colinear.cli.models import run_evaluate

    names = [one.value for one in metric or []]
    chosen = None if part is None else part.value
    run_evaluate(model, data, chosen, data_dir, label, seed, extractor, json, names, sample_weight, quiet)


def predict(
    model: o.ModelFile,
    inputs: Annotated[
        list[Path],
        o.argument("IMAGE...", "PNG, JPEG, BMP or WEBP of any size, or .npy of raw rows, or a folder of these."),
    ],
    top: Annotated[int, typer.Option(min=1, max=MOST_COUNT, help="How many classes are shown.")] = 3,
    extractor: o.With = None,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Label images or rows: the class and the largest scores (probabilities from a softmax model)."""
    from colinear.cli.models import run_predict

    run_predict(model, inputs, top, extractor, json, quiet)


def export(
    model: o.ModelFile,
    to: Annotated[o.Format, typer.Option(help="What the file is for.")] = o.Format.ONNX,
    out: Annotated[
        Path | None, o.place("FILE", "The file to write.", show_default="MODEL's name with the format's suffix")
    ] = None,
    force: o.Force = False,
    data: Annotated[
        str | None,
        o.place("DATA", "Compare labels on these test rows.", flag="--check", show_default="256 random rows"),
    ] = None,
    data_dir: o.DataDir = None,
    label: o.Label = None,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Write a model for other programs: ONNX, a scikit-learn pickle, .npz or CSV; its labels are checked."""
    from colinear.cli.models import run_export

    run_export(model, to.value, out, data, data_dir, label, force, json, quiet)


def check(
    data: Annotated[str, typer.Argument(metavar="[DATA]", help=o.DATA_HELP, callback=o.check_place)] = "digits",
    rows: Annotated[int, typer.Option(min=2, max=MOST_COUNT, help="Training rows that are used, evenly spaced.")] = 500,
    data_dir: o.DataDir = None,
    label: o.Label = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Draws the weights and coordinates.")] = 0,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Check the losses: gradients by differences, loops against matrices. Exit status 1 if one fails."""
    from colinear.cli.checking import run_check

    if not run_check(data, rows, data_dir, label, seed, json, quiet):
        raise typer.Exit(1)


def info(
    thing: Annotated[str, o.argument("MODEL|DATA", "A model file, or what tune takes.")],
    data_dir: o.DataDir = None,
    label: o.Label = None,
    save_sample: Annotated[
        Path | None, o.place("PNG", "Of a dataset of pictures: write its first test picture too.", show_default="none")
    ] = None,
    force: o.Force = False,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Say what a model is and where it comes from, or what a dataset holds."""
    from colinear.cli.describing import run_info

    run_info(thing, data_dir, label, json, quiet, save_sample, force)


def card(
    model: o.ModelFile,
    to: Annotated[o.CardFormat, typer.Option(help="What is printed.")] = o.CardFormat.MD,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Print the card of a model: data, settings, accuracy with interval of each class, certificate, limits."""
    from colinear.cli.tabling import run_card

    run_card(model, "json" if json else to.value, quiet=quiet and not json)


def report(
    run: Annotated[Path, o.argument("RUN", "A folder that `tune` or `sweep` has written.")],
    only: Annotated[
        o.Only | None,
        typer.Option(help="try-it: RUN/try-it.html, where others try the model and see nothing else of the run."),
    ] = None,
    force: o.Force = False,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Write RUN/report.html: the search, the winner and 'Try it' in one page that works offline; or a sweep's page."""
    from colinear.cli.console import Output
    from colinear.report import write_report, write_try_it
    from colinear.report.summary import remake_summary
    from colinear.sweep.plan import PLAN

    output, swept = Output(quiet=quiet, as_json=json), (run / PLAN).is_file()
    if only is not None and swept:
        raise InputError(f"--only {only.value} is of one run; {run} is a sweep. Name one of its folders.")
    write = write_try_it if only is not None else remake_summary if swept else write_report
    path = write(run, force=force)
    output.say_path(f"Written: {path}")
    output.emit({"report": str(path)})


def compare(
    runs: Annotated[list[Path], o.argument("RUN RUN...", o.RUN_HELP)],
    out: Annotated[Path, o.place("FILE", "The page to write.")] = Path("compare.html"),
    force: o.Force = False,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Write one page for several runs, their winners side by side with the paired test."""
    from colinear.cli.console import Output
    from colinear.report.page import write_comparison

    output = Output(quiet=quiet, as_json=json)
    path = write_comparison(runs, out, force=force)
    output.say_path(f"Written: {path}")
    output.emit({"report": str(path), "runs": [str(run) for run in runs]})


def table(
    runs: Annotated[list[Path], o.argument("RUN...", "Folders of runs, or of sweeps, which stand for their runs.")],
    rows: Annotated[
        str, typer.Option(metavar="NAMES", help="What tells rows apart: data, loss, an option, a field.")
    ] = "data",
    columns: Annotated[str, typer.Option(metavar="NAMES", help="The same of columns; several with a comma.")] = "loss",
    to: Annotated[o.TableFormat, typer.Option(help="What is printed.")] = o.TableFormat.MD,
    value: Annotated[o.TableValue, typer.Option(help="On which rows winners are scored.")] = o.TableValue.TEST,
    best: Annotated[o.Side, typer.Option(help="In which side the best is looked for.")] = o.Side.ROW,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Only results that have it; several times.", show_default="all"),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(metavar="PATTERN", help="Reads fields from DATA, as '{dataset}/layer-{layer}.npz'."),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Without intervals and spreads.")] = False,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Print the results of several runs as a table: the best bold, and what the paired test cannot tell from it."""
    from colinear.cli.tabling import run_table

    form = "json" if json else to.value
    run_table(runs, rows, columns, form, value.value, best.value, where or [], pattern, not plain, quiet and not json)
