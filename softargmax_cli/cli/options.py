"""Every option that commands share, declared once, and the groups of options that they take together.

The text of an option is a sentence of which the option is the subject: "--window leaves out weights ...".
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, get_type_hints

import typer

from softargmax_cli.api.arguments import comment_of, decimal_of, delimiter_of, device_of, size_of
from softargmax_cli.cli.arguments import KINDS, kinds, periods, taken, tolerance
from softargmax_cli.files.columns import columns_of
from softargmax_cli.files.reading import selection_of
from softargmax_cli.files.writers import FORMATS, STORE, known_format

REDUCTION, INPUT, OUTPUT, TRUTH = "Reduction", "Input", "Output", "Truth"
MORE, TEXT, RUNNING = "More of the reduction", "Text files", "Running"
RARE = (MORE, TEXT, RUNNING)
"""Panels that `--help-all` shows, and `--help` does not."""


def option(panel: str, help: str, *names: str, **more: Any) -> Any:
    """Declare an option. panel: of the help; names: where they are not those of the parameter."""
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


def _show_all(context: typer.Context, wanted: bool) -> None:
    if wanted:
        typer.echo(context.command.whole_help(context))  # type: ignore[attr-defined]  # a `usage.Command`
        raise typer.Exit


HelpAll = Annotated[
    bool,
    typer.Option("--help-all", help="Shows all options.", callback=_show_all, is_eager=True),
]
Input = Annotated[
    str,
    typer.Argument(metavar="INPUT", help="A file or a Zarr store; - is stdin.", show_default=False),
]
Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        help="Files, folders, patterns; - is stdin.",
        show_default=False,
    ),
]
Axis = Annotated[str, option(REDUCTION, "Chooses the axis, or several. Default: -1.", metavar="N[,N...]")]
Kind = Annotated[
    Literal["scores", "probs", "cost"],
    option(
        REDUCTION,
        "Says what the numbers are: scores, probs (weights already) or cost (soft argmin). Default: scores.",
        metavar="KIND",
    ),
]
Coords = Annotated[
    str,
    option(
        REDUCTION,
        "Sets coordinates: index (default), corners (-1 to 1), centers or circular; one, or one for each axis.",
        metavar="UNIT",
        callback=kinds,
        autocompletion=lambda: [*KINDS],
    ),
]
Values = Annotated[
    str | None,
    option(REDUCTION, "Gives each index a coordinate: a file or START:STOP:STEP, one for each axis.", metavar="FILE"),
]
Period = Annotated[
    str | None,
    option(
        MORE,
        "Sets the length of a full circle of --values, such as 360; one for each axis.",
        metavar="P",
        callback=periods,
    ),
]
Window = Annotated[
    int | None, option(REDUCTION, "Ignores entries further than R indices from hard.", metavar="R", min=0)
]
Beta = Annotated[
    float | None,
    option(
        REDUCTION, "Sets the inverse temperature: a larger β brings soft closer to hard. Default: 100.", metavar="B"
    ),
]
BetaOrAuto = Annotated[
    str | None,
    option(
        REDUCTION,
        "Sets the inverse temperature: a larger β brings soft closer to hard. "
        "auto finds the smallest β within --tol. Default: 100.",
        "--beta",
        metavar="B|auto",
    ),
]
AutoTolerance = Annotated[
    float | None,
    option(
        REDUCTION,
        "Limits |soft - hard| of auto. Default: 0.01.",
        "--tol",
        metavar="T",
        min=0,
        callback=tolerance,
    ),
]
Temperature = Annotated[float | None, option(MORE, "Sets the temperature 1/β, in place of --beta.", metavar="T")]
Nan = Annotated[
    Literal["error", "omit", "propagate"],
    option(REDUCTION, "Handles NaN: error (default), omit or propagate.", metavar="POLICY"),
]
Precision = Annotated[
    Literal["auto", "single", "double"],
    option(
        MORE,
        "Sets the precision: single, double, or auto (default), which is double for float64 and wide integers.",
        metavar="P",
    ),
]
Key = Annotated[
    str | None,
    option(INPUT, "Chooses an array in a file that holds several.", metavar="NAME"),
]
Select = Annotated[
    str | None,
    option(INPUT, "Selects a part, as NumPy does: 0,:,3:5 or ...,::2.", metavar="INDEX", callback=taken(selection_of)),
]
Delimiter = Annotated[
    str | None,
    option(
        TEXT,
        "Sets what separates the cells: a character, or tab, space ...; detected by default.",
        metavar="C",
        callback=taken(delimiter_of),
    ),
]
HasHeader = Annotated[
    bool | None,
    option(TEXT, "Says whether the first line holds titles; detected by default.", "--header/--no-header"),
]
IdColumn = Annotated[
    str | None,
    option(INPUT, "Chooses the column that names the rows.", metavar="NAME"),
]
Columns = Annotated[
    str | None,
    option(
        INPUT,
        "Chooses the columns of scores: a,b or a:c or 2: (the second on) or ^id (all but id).",
        metavar="SPEC",
        callback=taken(columns_of),
    ),
]
Skip = Annotated[int | None, option(TEXT, "Skips the first N lines.", metavar="N", min=0)]
Comment = Annotated[
    str | None,
    option(
        TEXT,
        "Sets the mark of a comment, which begins a line or follows a space; '' for none. Default: #.",
        metavar="C",
        callback=taken(comment_of),
    ),
]
Decimal = Annotated[
    str | None,
    option(
        TEXT,
        "Sets the decimal mark: a point, or a comma with points between thousands. Default: a point.",
        metavar="C",
        callback=taken(decimal_of),
    ),
]
Output = Annotated[
    str | None,
    option(
        OUTPUT,
        "Writes results here; the suffix sets the format. DIR/ takes one file for each input.",
        "--output",
        "-o",
        metavar="FILE|DIR/|-",
    ),
]
Format = Annotated[
    str | None,
    option(
        OUTPUT,
        f"Chooses {', '.join(('table', *FORMATS))} or {STORE}. Default: table.",
        metavar="FORMAT",
        callback=taken(known_format),
        autocompletion=lambda: ["table", *FORMATS, STORE],
    ),
]
Rows = Annotated[int, option(OUTPUT, "Limits the table; 0 shows all. Default: 20.", metavar="N", min=0)]
Worst = Annotated[
    int | None,
    option(OUTPUT, "Lists the N slices of largest soft error.", metavar="N", min=1),
]
Only = Annotated[
    Literal["disagree", "multimodal", "tied", "undefined"] | None,
    option(OUTPUT, "Keeps only slices that disagree, or are multimodal, tied or undefined.", metavar="STATE"),
]
WorstOffsets = Annotated[
    int | None,
    option(OUTPUT, "Keeps only the N slices of largest |offset|.", "--worst", metavar="N", min=1),
]
Plot = Annotated[
    str | None,
    option(OUTPUT, "Draws the table's slices: .png, .svg or .pdf.", metavar="FILE|DIR/"),
]
Force = Annotated[bool, option(OUTPUT, "Replaces files that exist.", "--force")]
Device = Annotated[
    str,
    option(
        RUNNING, "Chooses the device: cpu, gpu or gpu:N. Default: cpu.", metavar="DEVICE", callback=taken(device_of)
    ),
]
Memory = Annotated[
    str,
    option(
        RUNNING,
        "Limits the memory for data; TensorFlow itself needs more. Default: 256MiB.",
        metavar="SIZE",
        callback=taken(size_of),
    ),
]
Scheduler = Annotated[
    str | None,
    option(
        RUNNING,
        "Runs on the Dask cluster of this scheduler. Inputs are Zarr, HDF5, .npy or .safetensors.",
        metavar="ADDRESS|FILE",
    ),
]
Workers = Annotated[
    int | None, option(RUNNING, "Runs on a Dask cluster of N processes on this machine.", metavar="N", min=1)
]
Quiet = Annotated[bool, option(RUNNING, "Prints only errors on standard error.", "--quiet", "-q")]
Verbose = Annotated[
    bool, option(RUNNING, "Shows TensorFlow's messages and the traceback of an error.", "--verbose", "-v")
]


@dataclass(frozen=True)
class ReductionOptions:
    """Options that say what is computed."""

    axis: Axis = "-1"
    kind: Kind = "scores"
    coords: Coords = "index"
    values: Values = None
    period: Period = None
    window: Window = None
    nan: Nan = "error"
    precision: Precision = "auto"


@dataclass(frozen=True)
class ReadingOptions:
    """Options that say how an input is read, under the names of `files.reading.Reading`."""

    key: Key = None
    select: Select = None
    delimiter: Delimiter = None
    header: HasHeader = None
    id_column: IdColumn = None
    columns: Columns = None
    skip: Skip = None
    comment: Comment = None
    decimal: Decimal = None


@dataclass(frozen=True)
class RunningOptions:
    """Options that say where and how a command runs."""

    device: Device = "cpu"
    memory: Memory = "256MiB"
    quiet: Quiet = False
    verbose: Verbose = False


def grouped(command: Callable[..., int]) -> Callable[..., int]:
    """Let a command take groups: a parameter whose type is a dataclass stands for an option for each of its fields."""
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        group = hints[name]
        if not is_dataclass(group):
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=group))
            continue
        groups[name] = group
        types = get_type_hints(group, include_extras=True)
        for field in fields(group):
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(inspect.Parameter(field.name, kind, default=field.default, annotation=types[field.name]))

    kind = inspect.Parameter.KEYWORD_ONLY
    parameters.append(inspect.Parameter("help_all", kind, default=False, annotation=HelpAll))

    def called(*, help_all: bool, **given: Any) -> int:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        return command(**given)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return called
