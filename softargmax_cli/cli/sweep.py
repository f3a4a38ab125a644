"""`softargmax sweep`: what each β does to a file, and which is the smallest that is good enough."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import typer

from softargmax_cli.cli import options

SWEEP = "Sweep"
WIDEST = (1e-30, 1e30)
"""Outside of these single precision cannot hold β times a difference of scores."""
MOST = 1000
"""How many β may be asked for."""

Input = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="A file: .npy, .npz, .safetensors, HDF5, Parquet, CSV (also .gz); - for standard input.",
        show_default=False,
    ),
]
Betas = Annotated[
    str | None,
    typer.Option(
        metavar="LIST|LOW:HIGH:COUNT",
        help="The β to try: some numbers, or so many in equal ratios. Default: 0.1:1e5:13, two for each power of ten.",
        show_default=False,
        rich_help_panel=SWEEP,
    ),
]
Tolerance = Annotated[
    float,
    typer.Option(
        "--tol",
        min=0,
        callback=options.tolerance,
        help="How far soft may lie from hard, in the unit of soft, under the β that is named.",
        rich_help_panel=SWEEP,
    ),
]
Plot = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Draw both curves here: .png, .svg or .pdf.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]
Format = Annotated[
    Literal["table", "json", "csv", "tsv"] | None,
    typer.Option(
        help="What goes to standard output; with -o FILE, the file's format. Default: table.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|-",
        help="Write the numbers here instead: .json .csv .tsv by suffix.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]


def betas_of(text: str) -> list[float]:
    """The β that `--betas` names, ascending."""
    from softargmax_cli.reduction.search import spaced

    hint = "give some as 1,10,100, or so many in equal ratios as 0.1:1000:9"
    try:
        if ":" in text:
            low, high, count = text.split(":")
            first, last, number = float(low), float(high), int(count)
            betas = spaced(first, last, number) if 2 <= number <= MOST and 0 < first < last < math.inf else []
        else:
            betas = sorted(set(map(float, text.split(","))))
    except ValueError:
        raise typer.BadParameter(f"--betas {text!r}: {hint}") from None
    if not 0 < len(betas) <= MOST or not all(WIDEST[0] <= beta <= WIDEST[1] for beta in betas):
        raise typer.BadParameter(f"--betas {text!r}: {hint}; at most {MOST}, from 1e-30 to 1e30, from low to high")
    return betas


def sweep(
    input: Input,
    betas: Betas = None,
    tol: Tolerance = 0.01,
    axis: options.Axis = "-1",
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
    plot: Plot = None,
    output: Output = None,
    format: Format = None,
    force: options.Force = False,
    device: options.Device = "cpu",
    memory: options.Memory = "256MiB",  # type: ignore[assignment]  # parsed into bytes
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Show what each β does to a file: how far soft lies from hard, and how much gradient is left.

    softargmax sweep scores.npy --tol 0.05

    softargmax sweep scores.npy --betas 1:1000:7 --plot beta.svg

    softargmax sweep scores.npy --format json | jq .recommended_beta
    """
    from softargmax_cli.cli.pipeline import Asked
    from softargmax_cli.cli.sweeping import Shown, sweep_file
    from softargmax_cli.files.reading import Reading

    if kind == "probs":
        raise typer.BadParameter("--kind probs takes weights as they are: they have no β to sweep over")
    asked = Asked(
        axes=options.axes(axis),
        kind=kind,
        beta=100.0,
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
    return sweep_file(input, asked, None if betas is None else betas_of(betas), tol, Shown(output, format, plot, force))
