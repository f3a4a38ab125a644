"""`softargmax run`: soft and hard argmax of files, as tables, pictures or data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from softargmax_cli.cli.options import BETA, CommonOptions, ForceOptions, Inputs, grouped, option, output_option, refuse
from softargmax_cli.cli.outputs import Outputs
from softargmax_cli.cli.paths import choose_pictures
from softargmax_cli.cli.pipeline import Job
from softargmax_cli.errors import OptionError, parameter
from softargmax_cli.files.writers import ARRAYS, FORMATS, STORE


def _beta_of(text: str | None) -> float | str | None:
    try:
        return text if text is None or text == "auto" else float(text)
    except ValueError:
        raise OptionError(f"--beta {text!r}: not a number", "give a number such as 100, or auto") from None


@dataclass(frozen=True)
class AutoBetaOptions(CommonOptions):
    """All options of a reduction whose β may have to be found."""

    beta: str | None = option(
        None, "Reduction", "B|auto", f"{BETA} auto: the smallest within --tol.", callback=_beta_of
    )
    tol: float | None = option(None, "Reduction", "T", "Limits |soft - hard| of auto. Default: 0.01.", min=0)
    temperature: float | None = option(None, "More", "T", "Sets the temperature 1/beta, in place of --beta.")


@dataclass(frozen=True)
class OutputOptions(ForceOptions):
    """The places of results, and the choice of slices."""

    output: str | None = output_option(
        "FILE|DIR/|-", "Writes results here; the suffix sets the format. DIR/ takes one file for each input."
    )
    format: Literal["table", "npy", "npz", "csv", "tsv", "json", "jsonl", "parquet", "zarr"] | None = option(
        None, "Output", "FORMAT", f"Chooses {', '.join(('table', *FORMATS))} or {STORE}. Default: table."
    )
    rows: int = option(20, "Output", "N", "Limits the table; 0 shows all. Default: 20.", min=0)
    worst: int | None = option(None, "Output", "N", "Keeps only the N slices of largest |offset|.", min=1)
    only: Literal["disagree", "multimodal", "tied", "undefined"] | None = option(
        None, "Output", "STATE", "Keeps only slices that disagree, or are multimodal, tied or undefined."
    )
    plot: str | None = option(None, "Output", "FILE|DIR/", "Draws the table's slices: .png, .svg or .pdf.")

    def check(self, format: str, axes: int) -> None:
        """Raise OptionError if slices are chosen for a format without room for a choice, or cannot be drawn."""
        chosen = parameter("only", self.only) if self.only else parameter("worst", self.worst) if self.worst else ""
        what = f"{chosen} keeps some slices, but an array holds all"
        refuse(chosen and format in (*ARRAYS, STORE), what, "write .csv, .jsonl or .parquet instead")
        what = f"--plot draws slices along one axis or two, and --axis names {axes}"
        refuse(self.plot is not None and axes > 2, what, "leave it out, or reduce fewer axes")
        what = "--plot cannot draw a run that writes a Zarr store"
        refuse(self.plot is not None and format == STORE, what, "draw a part of the input: --select, without -o")


@dataclass(frozen=True)
class ClusterOptions:
    """Where workers compute."""

    scheduler: str | None = option(
        None, "Running", "ADDRESS|FILE", "Runs on this Dask cluster; see softargmax guide cluster for its inputs."
    )
    workers: int | None = option(None, "Running", "N", "Runs on a Dask cluster of N processes on this machine.", min=1)

    def chosen(self, asked: AutoBetaOptions, shown: OutputOptions) -> tuple[str | None, int] | None:
        """Return the address and the number of workers, if any. Raises OptionError for options without use there."""
        both = self.scheduler is not None and self.workers is not None
        refuse(both, "--scheduler and --workers both say where to run", "give one of them")
        if self.scheduler is None and self.workers is None:
            return None
        what = "--beta auto does not work on a cluster"
        refuse(asked.beta == "auto", what, "find it with softargmax sweep on one machine, and give --beta that number")
        what = "--plot needs the scores, which stay on the workers"
        refuse(shown.plot is not None, what, "draw them on one machine")
        return self.scheduler, self.workers or 1


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
    auto = asked.beta == "auto"
    refuse(asked.tol is not None and not auto, "--tol has a use only with --beta auto", "give both, or neither")
    workers, job = cluster.chosen(asked, shown), Job(inputs, asked, shown.output, shown.plot)
    outputs = Outputs(job, shown.output, shown.format, force=shown.force)
    shown.check(outputs.format, len(job.axes))
    pictures = choose_pictures(job.names, shown.plot)
    with job.begun([*outputs.paths, *pictures], shown.output, shown.plot, cluster=workers), outputs:
        from softargmax_cli.cli.answer import Answer

        answer = Answer(job, shown, outputs, (0.01 if asked.tol is None else asked.tol) if auto else None)
        for name, path, picture in zip(job.names, outputs.paths, pictures, strict=True):
            with job.trying(name):
                answer.put(name, path, picture)
        answer.end()
    return job.code
