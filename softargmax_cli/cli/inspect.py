"""`softargmax inspect`: what is in a file, and the `run` command to try next."""

from __future__ import annotations

from typing import Annotated, Literal

from softargmax_cli.cli import options
from softargmax_cli.cli.arguments import axes
from softargmax_cli.cli.groups import ReadingOptions, grouped

Axis = Annotated[
    str | None,
    options.option(
        options.INPUT,
        "Chooses the axis, or several, along which slices may sum to 1. Default: the last; for heatmaps the last two.",
        metavar="N[,N...]",
    ),
]
Quick = Annotated[bool, options.option(options.INPUT, "Reads only the beginning of the file.", "--quick")]
Format = Annotated[
    Literal["table", "json"],
    options.option(
        options.OUTPUT, "Chooses table, or json with one object on each line. Default: table.", metavar="FORMAT"
    ),
]


@grouped
def inspect(
    inputs: options.Inputs,
    *,
    axis: Axis = None,
    quick: Quick = False,
    reading: ReadingOptions,
    format: Format = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Show what files hold: shape, dtype, range, NaN, and the run command to try next.

    \b
    softargmax inspect data.npy
    softargmax inspect huge.csv --quick
    cat data.npy | softargmax inspect - --format json | jq .shape
    softargmax guide formats
    """
    from softargmax_cli.cli.inspecting import Looked, inspect_all
    from softargmax_cli.files.reading import Reading

    looked = Looked(
        None if axis is None else axes(axis), quick, Reading(**vars(reading), inspected=True), quiet, verbose
    )
    return inspect_all(inputs, looked, format)
