"""`softargmax run`: soft and hard argmax of files, as tables, pictures or data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import typer

from softargmax_cli.cli.messages import say_note
from softargmax_cli.cli.options import (
    BETA,
    CommonOptions,
    ForceOptions,
    Inputs,
    beta_of,
    grouped,
    number,
    option,
    output_option,
    refuse,
)
from softargmax_cli.cli.paths import Destination, choose_destinations, choose_pictures
from softargmax_cli.cli.pipeline import Job, Outputs
from softargmax_cli.errors import parameter
from softargmax_cli.files.writers import FORMATS, STORE, known_format

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class AutoBetaOptions(CommonOptions):
    """All options of a reduction, at a β that may have to be found."""

    beta: str | None = option(None, "Reduction", "B|auto", f"{BETA} auto: the smallest within --tol.")
    tol: float | None = option(
        None, "Reduction", "T", "Limits |soft - hard| of auto. Default: 0.01.", "--tol", min=0, callback=number
    )
    temperature: float | None = option(None, "More", "T", "Sets the temperature 1/beta, in place of --beta.")


@dataclass(frozen=True)
class OutputOptions(ForceOptions):
    """Where results go, and how much of them."""

    output: str | None = output_option(
        "FILE|DIR/|-", "Writes results here; the suffix sets the format. DIR/ takes one file for each input."
    )
    format: str | None = option(
        None,
        "Output",
        "FORMAT",
        f"Chooses {', '.join(('table', *FORMATS))} or {STORE}. Default: table.",
        autocompletion=lambda: ["table", *FORMATS, STORE],
    )
    rows: int = option(20, "Output", "N", "Limits the table; 0 shows all. Default: 20.", min=0)
    worst: int | None = option(None, "Output", "N", "Keeps only the N slices of largest |offset|.", min=1)
    only: Literal["disagree", "multimodal", "tied", "undefined"] | None = option(
        None, "Output", "STATE", "Keeps only slices that disagree, or are multimodal, tied or undefined."
    )
    plot: str | None = option(None, "Output", "FILE|DIR/", "Draws the table's slices: .png, .svg or .pdf.")

    @property
    def chosen(self) -> bool:
        """True where only some slices are shown and written."""
        return self.worst is not None or self.only is not None

    def check(self, destinations: Sequence[Destination], axes: tuple[int, ...]) -> None:
        """Raise OptionError where slices are chosen that have no place or no offset, or cannot be drawn."""
        formats = {destination.format for destination in destinations}
        option = parameter("only", self.only) if self.only else parameter("worst", self.worst)
        what = f"{option} chooses slices, and an array has a place for each"
        refuse(self.chosen and formats & {"npy", "npz", STORE}, what, "write .csv, .jsonl or .parquet instead")
        what = f"--plot draws slices along one axis or two, and --axis names {len(axes)}"
        refuse(self.plot is not None and len(axes) > 2, what, "leave it out, or reduce fewer axes")
        what = "--plot draws no run that writes a store"
        refuse(self.plot is not None and STORE in formats, what, "draw a part of the input: --select, without -o")


@dataclass(frozen=True)
class ClusterOptions:
    """Where workers compute."""

    scheduler: str | None = option(
        None, "Running", "ADDRESS|FILE", "Runs on this Dask cluster. Inputs are Zarr, HDF5, .npy or .safetensors."
    )
    workers: int | None = option(None, "Running", "N", "Runs on a Dask cluster of N processes on this machine.", min=1)

    @property
    def wanted(self) -> bool:
        """True where a cluster is asked for."""
        return self.scheduler is not None or self.workers is not None

    def check(self, shown: OutputOptions, within: float | None) -> None:
        """Raise OptionError for options that have no meaning on a cluster."""
        both = self.scheduler is not None and self.workers is not None
        refuse(both, "--scheduler and --workers both say where to run", "give one of them")
        auto = self.wanted and within is not None
        refuse(auto, "--beta auto is found on one machine", "find it there, and give --beta a number here")
        what = "--plot draws scores, which a cluster leaves where they are"
        refuse(self.wanted and shown.plot is not None, what, "draw them on one machine")

    @contextmanager
    def connected(self, *, verbose: bool) -> Iterator[Client]:
        """Connect with the cluster, and say what should be known of it."""
        from softargmax_cli.cluster.connection import connected, described

        with connected(self.scheduler, self.workers or 1) as client:
            if verbose:
                say_note(described(client))
            yield client


@grouped
def run(inputs: Inputs, *, asked: AutoBetaOptions, shown: OutputOptions, cluster: ClusterOptions) -> int:
    """Show the soft and the hard argmax of every slice, or write them to a file.

    \b
    softargmax run data.npy --beta 100
    softargmax run scores.csv --id-column image -o result.csv
    softargmax run heatmaps.npy --axis -2,-1 --window 3 --coords corners
    cat data.npy | softargmax run - --format jsonl | jq .soft
    softargmax run s3://bucket/volume.zarr --axis 0 --workers 4 -o result.zarr
    softargmax guide fields
    """
    at, within = _beta_of(asked)
    cluster.check(shown, within)
    known_format(shown.format)  # which refuses other words
    job = Job(inputs, asked, [shown.output, shown.plot], beta=at)
    places = choose_destinations(job.names, shown.output, shown.format, several=job.several)
    shown.check(places, job.axes)
    pictures = choose_pictures(job.names, shown.plot)
    results = [*(place.path for place in places), *pictures]
    connect = (lambda: cluster.connected(verbose=asked.verbose)) if cluster.wanted else None
    folders, outputs = [shown.output, shown.plot], Outputs(force=shown.force)
    with job.begun(results, folders, connect=connect), outputs:
        from softargmax_cli.cli.answer import Answer

        answer = Answer(job, shown, outputs, within)
        for name, place, picture in zip(job.names, places, pictures, strict=True):
            with job.trying(name):
                answer.put(name, place, picture)
        answer.end()
    return job.code


def _beta_of(asked: AutoBetaOptions) -> tuple[float, float | None]:
    """Return β, and the tolerance where β is to be found instead."""
    if asked.beta == "auto":
        beta_of(1.0, asked.temperature, asked.kind)  # which refuses what goes with no β
        return 100.0, 0.01 if asked.tol is None else asked.tol
    if asked.tol is not None:
        raise typer.BadParameter("--tol says how close --beta auto must come; give both")
    try:
        beta = None if asked.beta is None else float(asked.beta)
    except ValueError:
        raise typer.BadParameter(f"--beta {asked.beta!r}: give a number above 0, or auto") from None
    return beta_of(beta, asked.temperature, asked.kind), None
