"""Every option that commands share, declared once; `groups` says which commands take together."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import typer

from softargmax_cli.api.arguments import comment_of, decimal_of, delimiter_of, device_of, size_of
from softargmax_cli.errors import OptionError, as_typed
from softargmax_cli.files.columns import columns_of
from softargmax_cli.files.reading import selection_of
from softargmax_cli.files.writers import FORMATS, STORE, known_format

REDUCTION, INPUT, OUTPUT, RUNNING = "Reduction", "Input", "Output", "Running"
TRUTH = "Truth"

Value = TypeVar("Value")


def _taken(parse: Callable[[Any], Value]) -> Callable[[str | None], Value | None]:
    """Return the callback of an option whose text a parser of Python's arguments takes; Typer names the option."""

    def value(text: str | None) -> Value | None:
        try:
            return None if text is None else parse(text)
        except OptionError as error:
            raise typer.BadParameter(as_typed(f"{error.what}; {error.remedy}")) from None

    return value


def axes(text: str) -> tuple[int, ...]:
    """The axes that `--axis` names."""
    try:
        return tuple(int(axis) for axis in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--axis {text!r}: give an axis as 1, or several as -2,-1") from None


KINDS = ("index", "corners", "centers", "circular")
"""The kinds of coordinates, without NumPy, which help does not load."""


def kinds(text: str) -> str | tuple[str, ...]:
    """The kinds of coordinates that `--coords` names: one for all axes, or one for each."""
    several = tuple(text.split(","))
    for kind in several:
        if kind not in KINDS:
            raise typer.BadParameter(f"{kind!r} is not one of {', '.join(map(repr, KINDS))}.")
    return several if len(several) > 1 else several[0]


def periods(text: str | None) -> tuple[float, ...] | None:
    """The periods that `--period` names."""
    try:
        return None if text is None else tuple(map(float, text.split(",")))
    except ValueError:
        raise typer.BadParameter(f"{text!r}: give a number as 360, or several as 360,24") from None


def tolerance(value: float | None) -> float | None:
    """Refuse NaN, which is not below the least."""
    if value is not None and value != value:
        raise typer.BadParameter("nan is no tolerance")
    return value


def distances(text: str) -> tuple[float, ...]:
    """The distances that `--within` names, ascending."""
    try:
        limits = sorted(set(map(float, text.split(","))))
    except ValueError:
        limits = [-1.0]
    if not all(0 <= limit < float("inf") for limit in limits):
        raise typer.BadParameter(f"--within {text!r}: give distances as 1,2,4")
    return tuple(limits)


def windows(text: str) -> tuple[int, ...]:
    """The windows that `--windows` names, ascending."""
    words = text.replace(" ", "").split(",")
    if not all(word.isascii() and word.isdecimal() and len(word) < 19 for word in words):
        raise typer.BadParameter(f"--windows {text!r}: give distances from the hard argmax in indices, as 2,4,8")
    return tuple(sorted(set(map(int, words))))


def allowance(text: str) -> tuple[float, bool]:
    """How many slices `--allow` lets fail: a number, and True where it is a percentage."""
    found = re.fullmatch(r"(\d{1,18})|(\d{1,3}(?:\.\d+)?)\s*%", text.strip())
    if found is None or (found[2] and float(found[2]) > 100):
        raise typer.BadParameter(f"--allow {text!r}: give a number of slices, or a percentage as 0.5%")
    return (float(found[2]), True) if found[2] else (int(found[1]), False)


def searched(beta: str | None, temperature: float | None, kind: str, tol: float | None) -> tuple[float, float | None]:
    """β from the options of `run`, and the tolerance where β is to be found instead."""
    if beta == "auto":
        inverse_temperature(1.0, temperature, kind)
        return 100.0, 0.01 if tol is None else tol
    if tol is not None:
        raise typer.BadParameter("--tol says how close --beta auto must come; give both")
    try:
        number = None if beta is None else float(beta)
    except ValueError:
        raise typer.BadParameter(f"--beta {beta!r}: give a number above 0, or auto") from None
    return inverse_temperature(number, temperature, kind), None


def inverse_temperature(beta: float | None, temperature: float | None, kind: str) -> float:
    """β from the two options that say it."""
    if kind == "probs" and (beta is not None or temperature is not None):
        raise typer.BadParameter("--kind probs takes weights as they are: they have no --beta and no --temperature")
    if temperature is None:
        return 100.0 if beta is None else beta
    if beta is not None:
        raise typer.BadParameter("--beta and --temperature say the same thing; give one of them")
    if not 0 < temperature < float("inf"):
        raise typer.BadParameter(f"temperature {temperature:g}: it must be a finite number above 0")
    return 1 / temperature


Input = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="A file: .npy, .npz, .safetensors, HDF5, Parquet, CSV (also .gz); a Zarr store; - for standard input.",
        show_default=False,
    ),
]
Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        help="Files: .npy, .npz, .safetensors, HDF5, Parquet, CSV (also .gz); Zarr stores; folders of them, quoted "
        "patterns; - for standard input.",
        show_default=False,
    ),
]
Axis = Annotated[
    str,
    typer.Option(
        metavar="N[,N...]",
        help="The axis to reduce, or several; negative ones count from the last.",
        rich_help_panel=REDUCTION,
    ),
]
Kind = Annotated[
    Literal["scores", "probs", "cost"],
    typer.Option(
        help="What the numbers are: scores; weights as they are, without β; or costs, for the soft argmin.",
        rich_help_panel=REDUCTION,
    ),
]
Coords = Annotated[
    str,
    typer.Option(
        metavar="|".join(KINDS),
        help="Unit of soft, offset and spread: the index; -1 to 1 at the end indices; (2i + 1)/n - 1; circular: the "
        "last index is next to the first. One, or one for each axis: index,circular.",
        callback=kinds,
        autocompletion=lambda: [*KINDS],
        rich_help_panel=REDUCTION,
    ),
]
Values = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|START:STOP:STEP",
        help="The coordinate of each index: a .npy or CSV, or a range without its end; one for each axis: "
        "y.csv,0:360:5.",
        show_default=False,
        rich_help_panel=REDUCTION,
    ),
]
Period = Annotated[
    str | None,
    typer.Option(
        metavar="P[,P...]",
        help="Of --coords circular with --values: what one turn is, as 360 or 24; one, or one for each circular axis.",
        callback=periods,
        show_default=False,
        rich_help_panel=REDUCTION,
    ),
]
Window = Annotated[
    int | None,
    typer.Option(
        metavar="R",
        min=0,
        help="Only weights within R indices of the hard argmax count, along each axis.",
        show_default=False,
        rich_help_panel=REDUCTION,
    ),
]
Beta = Annotated[
    float | None,
    typer.Option(
        help="Inverse temperature β > 0: large is close to the hard argmax, small is smooth. Default: 100.",
        show_default=False,
        rich_help_panel=REDUCTION,
    ),
]
BetaOrAuto = Annotated[
    str | None,
    typer.Option(
        "--beta",
        metavar="FLOAT|auto",
        help="Inverse temperature β > 0: large is close to the hard argmax, small is smooth; auto: the smallest within "
        "--tol of it. Default: 100.",
        show_default=False,
        rich_help_panel=REDUCTION,
    ),
]
AutoTolerance = Annotated[
    float | None,
    typer.Option(
        "--tol",
        min=0,
        callback=tolerance,
        help="Of --beta auto: how far soft may lie from hard, in the unit of soft. Default: 0.01.",
        show_default=False,
        rich_help_panel=REDUCTION,
    ),
]
Temperature = Annotated[
    float | None, typer.Option(help="1/β, instead of --beta.", show_default=False, rich_help_panel=REDUCTION)
]
Nan = Annotated[
    Literal["error", "omit", "propagate"],
    typer.Option(
        help="NaN, and slices of nothing but -inf: refuse them, leave NaN out, or mark their slices.",
        rich_help_panel=REDUCTION,
    ),
]
Precision = Annotated[
    Literal["auto", "single", "double"],
    typer.Option(help="Of the weights; auto: double for float64 and wide integers.", rich_help_panel=REDUCTION),
]
Key = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The array to take from a file that holds several: .npz, .safetensors, HDF5, Zarr.",
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
Select = Annotated[
    str | None,
    typer.Option(
        metavar="INDEX",
        help="Take a part of the array, as NumPy does: 0,:,3:5 or ...,::2. The rest is not read.",
        callback=_taken(selection_of),
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        metavar="C",
        help="Between the cells of a CSV: a character, or tab, space …; found if not told.",
        callback=_taken(delimiter_of),
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
HasHeader = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header",
        help="Whether a CSV's first line names its columns; found if not told.",
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
IdColumn = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|N",
        help="The column of a table that names the rows: its name, or its number from 1.",
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        help="The columns of a table that hold scores: a,b or a:c or 2: by name or number; ^id: all but id.",
        callback=_taken(columns_of),
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
Skip = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Leave out the first N lines of a CSV, whatever they are.",
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
Comment = Annotated[
    str | None,
    typer.Option(
        metavar="C",
        help="What begins a comment in a CSV, at the start of a line or after a space; '' for none. Default: #.",
        callback=_taken(comment_of),
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
Decimal = Annotated[
    str | None,
    typer.Option(
        metavar="C",
        help="The decimal mark of a CSV: a point, or a comma with points between thousands. Default: a point.",
        callback=_taken(decimal_of),
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|DIR/|-",
        help=f"Write results here instead: {' '.join(f'.{name}' for name in (*FORMATS, STORE))} by suffix; DIR/ for "
        "one file each.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(("table", *FORMATS, STORE)),
        callback=_taken(known_format),
        autocompletion=lambda: ["table", *FORMATS, STORE],
        help="What goes to standard output; with -o FILE, the file's format (table: a table as well). Default: table.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
Rows = Annotated[
    int, typer.Option(min=0, help="Rows of the table, panels of the picture; 0 for all.", rich_help_panel=OUTPUT)
]
Worst = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="List the N slices with the largest error of soft, the largest first.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
Only = Annotated[
    Literal["disagree", "multimodal", "tied", "undefined"] | None,
    typer.Option(
        help="Show and write only slices in this state; the summary is still of all.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
WorstOffsets = Annotated[
    int | None,
    typer.Option(
        "--worst",
        metavar="N",
        min=1,
        help="Show and write only the N slices of each input with the largest |offset|, the largest first.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
Plot = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|DIR/",
        help="Draw the scores and weights of these slices, hard and soft: .png .svg .pdf by suffix.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.", rich_help_panel=OUTPUT)]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on with a .zarr store that a broken run left unfinished.", rich_help_panel=OUTPUT
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="cpu|gpu|gpu:N",
        help="Where TensorFlow computes.",
        callback=_taken(device_of),
        rich_help_panel=RUNNING,
    ),
]
Memory = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        help="Bound on blocks held at a time, beside TensorFlow itself.",
        callback=_taken(size_of),
        rich_help_panel=RUNNING,
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS|FILE",
        help="Run on the Dask cluster of this scheduler, of Zarr, HDF5, .npy or .safetensors.",
        show_default=False,
        rich_help_panel=RUNNING,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Run on a Dask cluster of N processes of this machine.",
        show_default=False,
        rich_help_panel=RUNNING,
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Nothing on standard error but errors.", rich_help_panel=RUNNING)
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="TensorFlow's messages, and tracebacks of errors.", rich_help_panel=RUNNING),
]
