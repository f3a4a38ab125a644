"""Every option that commands share, declared once, and the groups of options that they take together.

The text of an option is a sentence of which the option is the subject: "--window leaves out weights ...".
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from typing import Annotated, Any, Literal, get_type_hints

import typer

from softargmax_cli.errors import OptionError, as_typed
from softargmax_cli.files.writers import FORMATS, STORE

REDUCTION, INPUT, OUTPUT, TRUTH = "Reduction", "Input", "Output", "Truth"
MORE, TEXT, RUNNING = "More of the reduction", "Text files", "Running"
RARE = (MORE, TEXT, RUNNING)
"""Panels that `--help-all` shows, and `--help` does not."""
COORDS = ("index", "corners", "centers", "circular")


def option(panel: str, help: str, *names: str, **more: Any) -> Any:
    """Declare an option. panel: of the help; names: where they are not those of the parameter."""
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


def refuse(wrong: object, what: str, remedy: str) -> None:
    """Raise OptionError where something is wrong with the options."""
    if wrong:
        raise OptionError(what, remedy)


def parsed(parser: str) -> Callable[[str | None], Any]:
    """Return the callback of an option whose text a parser of Python's arguments takes; Typer names the option.

    parser: its module in the package and its name; it is imported only where the option is given.
    """
    module, _, name = parser.rpartition(".")

    def value(text: str | None) -> Any:
        try:
            return None if text is None else getattr(import_module(f"softargmax_cli.{module}"), name)(text)
        except OptionError as error:
            raise typer.BadParameter(as_typed(f"{error.what}; {error.remedy}")) from None

    return value


def axes_of(text: str) -> tuple[int, ...]:
    """Parse `--axis`."""
    try:
        return tuple(int(axis) for axis in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--axis {text!r}: give an axis as 1, or several as -2,-1") from None


def coords_of(text: str) -> str | tuple[str, ...]:
    """Parse `--coords`: one kind of coordinates for all axes, or one for each."""
    several = tuple(text.split(","))
    for kind in several:
        if kind not in COORDS:
            raise typer.BadParameter(f"{kind!r} is not one of {', '.join(map(repr, COORDS))}.")
    return several if len(several) > 1 else several[0]


def periods_of(text: str | None) -> tuple[float, ...] | None:
    """Parse `--period`."""
    try:
        return None if text is None else tuple(map(float, text.split(",")))
    except ValueError:
        raise typer.BadParameter(f"{text!r}: give a number as 360, or several as 360,24") from None


def number(value: float | None) -> float | None:
    """Refuse NaN, which is not below the least that an option takes."""
    if value is not None and value != value:
        raise typer.BadParameter("nan is no number")
    return value


def beta_of(beta: float | None, temperature: float | None, kind: str) -> float:
    """Return the β that one of two options says, else 100. Raises BadParameter for both."""
    if kind == "probs" and (beta is not None or temperature is not None):
        raise typer.BadParameter("--kind probs takes weights as they are: they have no --beta and no --temperature")
    if beta is not None and temperature is not None:
        raise typer.BadParameter("--beta and --temperature say the same thing; give one of them")
    if temperature is None:
        return 100.0 if beta is None else beta
    if not 0 < temperature < float("inf"):
        raise typer.BadParameter(f"temperature {temperature:g}: it must be a finite number above 0")
    return 1 / temperature


def _show_all(context: typer.Context, wanted: bool) -> None:
    if wanted:
        typer.echo(context.command.whole_help(context))  # type: ignore[attr-defined]  # a `usage.Command`
        raise typer.Exit


HelpAll = Annotated[
    bool, typer.Option("--help-all", help="Shows all options.", callback=_show_all, is_eager=True, show_default=False)
]
Input = Annotated[str, typer.Argument(metavar="INPUT", help="A file or a Zarr store; - is stdin.", show_default=False)]
Inputs = Annotated[
    list[str], typer.Argument(metavar="INPUT", help="Files, folders, patterns; - is stdin.", show_default=False)
]
Axis = Annotated[str, option(REDUCTION, "Chooses the axis, or several. Default: -1.", metavar="N[,N...]")]
Kind = Annotated[
    Literal["scores", "probs", "cost"],
    option(REDUCTION, "Says what the numbers are: scores (default), probs (weights already) or cost.", metavar="KIND"),
]
COORDS_HELP = "Sets coordinates: index (default), corners (-1 to 1), centers or circular; one, or one for each axis."
Coords = Annotated[
    str, option(REDUCTION, COORDS_HELP, metavar="UNIT", callback=coords_of, autocompletion=lambda: [*COORDS])
]
Values = Annotated[
    str | None,
    option(REDUCTION, "Gives each index a coordinate: a file or START:STOP:STEP, one for each axis.", metavar="FILE"),
]
PERIOD_HELP = "Sets the length of a full circle of --values, such as 360; one for each axis."
Period = Annotated[str | None, option(MORE, PERIOD_HELP, metavar="P", callback=periods_of)]
Window = Annotated[
    int | None, option(REDUCTION, "Ignores entries further than R indices from hard.", metavar="R", min=0)
]
BETA_HELP = "Sets the inverse temperature: a larger beta brings soft closer to hard. Default: 100."
Beta = Annotated[float | None, option(REDUCTION, BETA_HELP, metavar="B")]
Temperature = Annotated[float | None, option(MORE, "Sets the temperature 1/beta, in place of --beta.", metavar="T")]
Nan = Annotated[
    Literal["error", "omit", "propagate"],
    option(REDUCTION, "Handles NaN: error (default), omit or propagate.", metavar="POLICY"),
]
Precision = Annotated[
    Literal["auto", "single", "double"],
    option(MORE, "Sets single or double precision; auto (default) goes by the numbers.", metavar="P"),
]
Key = Annotated[str | None, option(INPUT, "Chooses an array in a file that holds several.", metavar="NAME")]
SELECT_HELP = "Selects a part, as NumPy does: 0,:,3:5 or ...,::2."
Select = Annotated[
    str | None, option(INPUT, SELECT_HELP, metavar="INDEX", callback=parsed("files.reading.selection_of"))
]
DELIMITER_HELP = "Sets what separates the cells: a character, or tab, space ...; detected by default."
Delimiter = Annotated[
    str | None, option(TEXT, DELIMITER_HELP, metavar="C", callback=parsed("api.arguments.delimiter_of"))
]
HasHeader = Annotated[
    bool | None,
    option(TEXT, "Says whether the first line holds titles; detected by default.", "--header/--no-header"),
]
IdColumn = Annotated[str | None, option(INPUT, "Chooses the column that names the rows.", metavar="NAME")]
COLUMNS_HELP = "Chooses the columns of scores: a,b or a:c or 2: (the second on) or ^id (all but id)."
Columns = Annotated[
    str | None, option(INPUT, COLUMNS_HELP, metavar="SPEC", callback=parsed("files.reading.columns_of"))
]
Skip = Annotated[int | None, option(TEXT, "Skips the first N lines.", metavar="N", min=0)]
COMMENT_HELP = "Sets the mark of a comment, which begins a line or follows a space; '' for none. Default: #."
Comment = Annotated[str | None, option(TEXT, COMMENT_HELP, metavar="C", callback=parsed("api.arguments.comment_of"))]
DECIMAL_HELP = "Sets the decimal mark: a point, or a comma with points between thousands. Default: a point."
Decimal = Annotated[str | None, option(TEXT, DECIMAL_HELP, metavar="C", callback=parsed("api.arguments.decimal_of"))]
Format = Annotated[
    str | None,
    option(
        OUTPUT,
        f"Chooses {', '.join(('table', *FORMATS))} or {STORE}. Default: table.",
        metavar="FORMAT",
        callback=parsed("files.writers.known_format"),
        autocompletion=lambda: ["table", *FORMATS, STORE],
    ),
]
Rows = Annotated[int, option(OUTPUT, "Limits the table; 0 shows all. Default: 20.", metavar="N", min=0)]
Force = Annotated[bool, option(OUTPUT, "Replaces files that exist.", "--force")]
DEVICE_HELP = "Chooses the device: cpu, gpu or gpu:N. Default: cpu."
Device = Annotated[
    str | None, option(RUNNING, DEVICE_HELP, metavar="DEVICE", callback=parsed("api.arguments.device_of"))
]
MEMORY_HELP = "Limits the memory for data; TensorFlow itself needs more. Default: 256MiB."
Memory = Annotated[str | None, option(RUNNING, MEMORY_HELP, metavar="SIZE", callback=parsed("api.arguments.size_of"))]
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
class Asked(ReadingOptions, ReductionOptions):
    """All options of a command that reduces, but for β."""

    device: Device = None
    memory: Memory = None
    quiet: Quiet = False
    verbose: Verbose = False


@dataclass(frozen=True)
class AskedAtBeta(Asked):
    """All options of a command that reduces at one β."""

    beta: Beta = None
    temperature: Temperature = None


def grouped(command: Callable[..., int]) -> Callable[..., int]:
    """Let a command take groups: a parameter whose type is a dataclass stands for an option for each of its fields."""
    hints, alone = get_type_hints(command, include_extras=True), inspect.Parameter.KEYWORD_ONLY
    parameters: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        group = hints[name]
        if is_dataclass(group):
            groups[name], types = group, get_type_hints(group, include_extras=True)
            for each in fields(group):
                one = inspect.Parameter(each.name, alone, default=each.default, annotation=types[each.name])
                parameters.append(one)
        else:
            parameters.append(parameter.replace(kind=alone, annotation=group))
    parameters.append(inspect.Parameter("help_all", alone, default=False, annotation=HelpAll))

    def called(*, help_all: bool, **given: Any) -> int:
        for name, group in groups.items():
            given[name] = group(**{each.name: given.pop(each.name) for each in fields(group)})
        return command(**given)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return called
