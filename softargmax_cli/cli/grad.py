"""`softargmax grad`: what of a gradient comes through the soft argmax."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import typer

from softargmax_cli.cli import options

GRADIENT = "Gradient"


def _threshold(value: float) -> float:
    """Refuse NaN, which is not below the least."""
    if math.isnan(value):
        raise typer.BadParameter("nan is no norm")
    return value


Wrt = Annotated[
    Literal["x", "beta"],
    typer.Option(
        help="By what soft is differentiated: by every score, or by β, one number a slice.",
        rich_help_panel=GRADIENT,
    ),
]
Vanished = Annotated[
    float,
    typer.Option(
        min=0,
        callback=_threshold,
        help="The norm below which a slice's gradient is said to have vanished: how far soft moves for a step of 1.",
        rich_help_panel=GRADIENT,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|DIR/|-",
        help="Write the gradient here: .npy, or .npz under the name gradient; DIR/ for one file an input.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]
Format = Annotated[
    Literal["table", "csv", "tsv", "json", "jsonl"],
    typer.Option(help="What is said of each slice on standard output.", rich_help_panel=options.OUTPUT),
]


def grad(
    inputs: options.Inputs,
    wrt: Wrt = "x",
    vanished: Vanished = 1e-6,
    axis: options.Axis = "-1",
    beta: options.Beta = None,
    temperature: options.Temperature = None,
    kind: options.Kind = "scores",
    coords: options.Coords = "index",
    values: options.Values = None,
    window: options.Window = None,
    nan: options.Nan = "error",
    precision: options.Precision = "auto",
    key: options.Key = None,
    select: options.Select = None,
    delimiter: options.Delimiter = None,
    header: options.HasHeader = None,
    id_column: options.IdColumn = None,
    columns: options.Columns = None,
    skip: options.Skip = None,
    comment: options.Comment = None,
    decimal: options.Decimal = None,
    output: Output = None,
    format: Format = "table",
    rows: options.Rows = 20,
    force: options.Force = False,
    device: options.Device = "cpu",
    memory: options.Memory = "256MiB",  # type: ignore[assignment]  # parsed into bytes
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Show where the gradient of the soft argmax has vanished, and write it.

    softargmax grad scores.npy

    softargmax grad heatmaps.npy --axis -2,-1 --beta 10 -o gradient.npy

    softargmax grad scores.csv --wrt beta --format csv
    """
    from softargmax_cli.cli.grading import Wanted, grad_all
    from softargmax_cli.cli.pipeline import Asked
    from softargmax_cli.files.reading import Reading

    asked = Asked(
        axes=options.axes(axis),
        kind=kind,
        beta=options.inverse_temperature(beta, temperature, kind),
        coords=coords,
        values=values,
        window=window,
        nan=nan,
        precision=precision,
        reading=Reading(key, select, delimiter, header, id_column, columns, skip, comment, decimal),
        device=device,
        memory=memory,
        quiet=quiet,
        verbose=verbose,
    )
    return grad_all(inputs, asked, Wanted(wrt, vanished, output, format, rows, force))
