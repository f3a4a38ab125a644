"""`softargmax inspect`: what is in a file, and the `run` command to try next."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from softargmax_cli.cli import options
from softargmax_cli.cli.groups import ReadingOptions, grouped

Axis = Annotated[
    str | None,
    typer.Option(
        metavar="N[,N...]",
        help="The axis, or several, along which slices may sum to 1. Default: the last; the last two of heatmaps.",
        show_default=False,
        rich_help_panel=options.INPUT,
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="Read the head of the file only.", rich_help_panel=options.INPUT)]
Format = Annotated[
    Literal["table", "json"],
    typer.Option(help="Lines for people; json: an object a line.", rich_help_panel=options.OUTPUT),
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
    """Show what is in files: shape and kind, range and gaps of the numbers, and the run command to try next.

    softargmax inspect data.npy

    softargmax inspect huge.csv --quick

    cat data.npy | softargmax inspect - --format json | jq .shape
    """
    from softargmax_cli.cli.inspecting import Looked, inspect_all
    from softargmax_cli.files.reading import Reading

    axes = None if axis is None else options.axes(axis)
    looked = Looked(axes, quick, Reading(**vars(reading), inspected=True), quiet, verbose)
    return inspect_all(inputs, looked, format)
