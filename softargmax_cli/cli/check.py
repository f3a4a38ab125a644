"""`softargmax check`: whether soft is close enough to hard, or to a stored result."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import typer

from softargmax_cli.cli import options

CHECK = "Check"


Tolerance = Annotated[
    float | None,
    typer.Option(
        "--tol",
        min=0,
        callback=options.tolerance,
        help="How far soft may lie from hard, in the unit of soft. Default: 0.01.",
        show_default=False,
        rich_help_panel=CHECK,
    ),
]
Allow = Annotated[
    str,
    typer.Option(metavar="N|P%", help="How many slices may fail, or how many in a hundred.", rich_help_panel=CHECK),
]
Expect = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Compare soft with this result instead, .npy, .npz or CSV, as written by run.",
        show_default=False,
        rich_help_panel=CHECK,
    ),
]
Atol = Annotated[
    float | None,
    typer.Option(
        min=0,
        callback=options.tolerance,
        help="Of --expect: absolute tolerance. Default: 1e-06.",
        show_default=False,
        rich_help_panel=CHECK,
    ),
]
Rtol = Annotated[
    float | None,
    typer.Option(
        min=0,
        callback=options.tolerance,
        help="Of --expect: tolerance relative to it. Default: 0.",
        show_default=False,
        rich_help_panel=CHECK,
    ),
]
FailFast = Annotated[
    bool, typer.Option("--fail-fast", help="Read no further once it has failed.", rich_help_panel=CHECK)
]
Format = Annotated[
    Literal["table", "json", "github", "junit"],
    typer.Option(
        help="A verdict and a table of the worst slices; json; annotations of GitHub Actions; JUnit XML.",
        rich_help_panel=options.OUTPUT,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write the report here; the verdict goes to standard error.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]
Rows = Annotated[
    int, typer.Option(min=0, help="How many of the worst slices; 0 for all.", rich_help_panel=options.OUTPUT)
]


def allowance(text: str) -> tuple[float, bool]:
    """The number that `--allow` gives, and whether it is a percentage."""
    found = re.fullmatch(r"(\d{1,18})|(\d{1,3}(?:\.\d+)?)\s*%", text.strip())
    if found is None or (found[2] and float(found[2]) > 100):
        raise typer.BadParameter(f"--allow {text!r}: give a number of slices, or a percentage as 0.5%")
    return (float(found[2]), True) if found[2] else (int(found[1]), False)


def check(
    inputs: options.Inputs,
    tol: Tolerance = None,
    allow: Allow = "0",
    expect: Expect = None,
    atol: Atol = None,
    rtol: Rtol = None,
    fail_fast: FailFast = False,
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
    format: Format = "table",
    output: Output = None,
    rows: Rows = 20,
    force: options.Force = False,
    device: options.Device = "cpu",
    memory: options.Memory = "256MiB",  # type: ignore[assignment]  # parsed into bytes
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Check that soft lies close to hard, or to a result stored earlier: exit code 0 if so, 1 if not.

    softargmax check scores.npy --tol 0.05 --allow 1%

    softargmax check scores.npy --expect soft.npy

    softargmax check scores.csv --format junit -o report.xml
    """
    from softargmax_cli.cli.asking import Asked
    from softargmax_cli.cli.checking import Criterion, check_all
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
        reading=Reading(key, select, delimiter, header, id_column),
        device=device,
        memory=memory,
        quiet=quiet,
        verbose=verbose,
    )
    criterion = Criterion(tol, allowance(allow), expect, atol, rtol, fail_fast)
    return check_all(inputs, asked, criterion, format, output, rows, force=force)
