"""`softargmax run`: soft and hard argmax of files, as tables, pictures or data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from softargmax_cli.cli import options
from softargmax_cli.cli.messages import say_note
from softargmax_cli.cli.options import Asked, grouped, option, refuse
from softargmax_cli.cli.paths import Destination, choose_destinations, choose_pictures
from softargmax_cli.cli.pipeline import Job
from softargmax_cli.errors import parameter
from softargmax_cli.files.writers import STORE

if TYPE_CHECKING:
    from distributed import Client

Beta = Annotated[
    str | None,
    option(options.REDUCTION, f"{options.BETA_HELP} auto: the smallest within --tol.", "--beta", metavar="B|auto"),
]
Tolerance = Annotated[
    float | None,
    option(
        options.REDUCTION,
        "Limits |soft - hard| of auto. Default: 0.01.",
        "--tol",
        metavar="T",
        min=0,
        callback=options.number,
    ),
]
Output = Annotated[
    str | None,
    option(
        options.OUTPUT,
        "Writes results here; the suffix sets the format. DIR/ takes one file for each input.",
        "--output",
        "-o",
        metavar="FILE|DIR/|-",
    ),
]
Worst = Annotated[
    int | None, option(options.OUTPUT, "Keeps only the N slices of largest |offset|.", "--worst", metavar="N", min=1)
]
Only = Annotated[
    Literal["disagree", "multimodal", "tied", "undefined"] | None,
    option(options.OUTPUT, "Keeps only slices that disagree, or are multimodal, tied or undefined.", metavar="STATE"),
]
Plot = Annotated[
    str | None, option(options.OUTPUT, "Draws the table's slices: .png, .svg or .pdf.", metavar="FILE|DIR/")
]
SCHEDULER_HELP = "Runs on the Dask cluster of this scheduler. Inputs are Zarr, HDF5, .npy or .safetensors."
Scheduler = Annotated[str | None, option(options.RUNNING, SCHEDULER_HELP, metavar="ADDRESS|FILE")]
WORKERS_HELP = "Runs on a Dask cluster of N processes on this machine."
Workers = Annotated[int | None, option(options.RUNNING, WORKERS_HELP, metavar="N", min=1)]


@dataclass(frozen=True)
class Shown:
    """Where results go, and how much of them."""

    output: Output = None
    format: options.Format = None
    rows: options.Rows = 20
    worst: Worst = None
    only: Only = None
    plot: Plot = None
    force: options.Force = False

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
        what = "--worst goes by the offset, which undefined slices have not"
        refuse(self.only == "undefined" and self.worst is not None, what, "leave it out")
        what = f"--plot draws slices along one axis or two, and --axis names {len(axes)}"
        refuse(self.plot is not None and len(axes) > 2, what, "leave it out, or reduce fewer axes")
        what = "--plot draws no run that writes a store"
        refuse(self.plot is not None and STORE in formats, what, "draw a part of the input: --select, without -o")


@dataclass(frozen=True)
class Cluster:
    """Where workers compute."""

    scheduler: Scheduler = None
    workers: Workers = None

    @property
    def wanted(self) -> bool:
        """True where a cluster is asked for."""
        return self.scheduler is not None or self.workers is not None

    def check(self, shown: Shown, within: float | None) -> None:
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
def run(
    inputs: options.Inputs,
    *,
    asked: Asked,
    beta: Beta = None,
    temperature: options.Temperature = None,
    tol: Tolerance = None,
    shown: Shown,
    cluster: Cluster,
) -> int:
    """Show the soft and the hard argmax of every slice, or write them to a file.

    \b
    softargmax run data.npy --beta 100
    softargmax run scores.csv --id-column image -o result.csv
    softargmax run heatmaps.npy --axis -2,-1 --window 3 --coords corners
    cat data.npy | softargmax run - --format jsonl | jq .soft
    softargmax run s3://bucket/volume.zarr --axis 0 --workers 4 -o result.zarr
    softargmax guide fields
    """
    number, within = _beta_of(beta, temperature, asked.kind, tol)
    cluster.check(shown, within)
    job = Job(inputs, asked, [shown.output, shown.plot], beta=number)
    places = choose_destinations(job.names, shown.output, shown.format, several=job.several)
    shown.check(places, job.axes)
    pictures = choose_pictures(job.names, shown.plot)
    results = [*(place.path for place in places), *pictures]
    connect = (lambda: cluster.connected(verbose=asked.verbose)) if cluster.wanted else None
    with ExitStack() as stack:
        stack.enter_context(job.begun(results, [shown.output, shown.plot], connect=connect))
        from softargmax_cli.cli.answer import Answer

        answer = stack.enter_context(Answer(job, shown, within))
        for name, place, picture in zip(job.names, places, pictures, strict=True):
            with job.trying(name):
                answer.put(name, place, picture)
        answer.end()
    return job.code


def _beta_of(beta: str | None, temperature: float | None, kind: str, tol: float | None) -> tuple[float, float | None]:
    """Return β, and the tolerance where β is to be found instead."""
    if beta == "auto":
        options.beta_of(1.0, temperature, kind)
        return 100.0, 0.01 if tol is None else tol
    if tol is not None:
        raise typer.BadParameter("--tol says how close --beta auto must come; give both")
    try:
        number = None if beta is None else float(beta)
    except ValueError:
        raise typer.BadParameter(f"--beta {beta!r}: give a number above 0, or auto") from None
    return options.beta_of(number, temperature, kind), None
