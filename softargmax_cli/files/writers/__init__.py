"""Write results to files and streams: one module a format, loaded when the format is used.

A new format is one module here, with one class derived from `Writer`, a line in `ARRAYS` or `ROWS`, and a choice of
`--format`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from softargmax_cli.errors import OptionError, disk_errors, parameter
from softargmax_cli.files.writers.atomic import Output

if TYPE_CHECKING:
    from softargmax_cli.reduction.result import Run, Slices

ARRAYS = {"npy": "npy.NpyWriter", "npz": "npy.NpzWriter"}
"""Formats with a place for each slice of one input, and the class that writes each."""
ROWS = {
    "csv": "text.CsvWriter",
    "tsv": "text.TsvWriter",
    "json": "json.JsonWriter",
    "jsonl": "json.JsonLinesWriter",
    "parquet": "parquet.ParquetWriter",
}
"""Formats with a row or an object for each slice, which may hold several inputs or a choice of slices."""
FORMATS = {**ARRAYS, **ROWS}
"""The formats of a file or a stream; a file's suffix names its format."""
STORE = "zarr"
"""The format of a store, which is a directory and takes its results in any order."""
WRITTEN_AT_ONCE = 1 << 15
"""Slices written at a time; some formats turn them into Python objects."""


class Totals(Protocol):
    """The numbers of all slices: see `reduction.result.Summary` and `reduction.truth.Evaluation`."""

    def as_dict(self) -> Mapping[str, float | int | None]: ...


class Writer(Output, ABC):
    """An open result of one format, of one input or `several`: `count` slices of the current `run` are written.

    Methods raise OutputError if the target cannot be written, BrokenPipeError if the reader of a pipe has gone.
    """

    run: Run
    count: int

    def __init__(self, path: str, fields: Sequence[str], *, several: bool, force: bool) -> None:
        super().__init__(path, force=force)
        self.fields, self.several = fields, several

    def start(self, run: Run) -> None:
        """Take the slices of an input from now on."""
        self.run, self.count = run, 0
        with disk_errors(self.name):
            self.begin()

    def write(self, slices: Slices) -> None:
        """Write the next slices: all in row-major order, or a choice of them, which has numbers."""
        with disk_errors(self.name):
            for start in range(0, len(slices), WRITTEN_AT_ONCE):
                self.put(batch := slices.part(start, start + WRITTEN_AT_ONCE))
                self.count += len(batch)
            self.stream.flush()  # the reader of a pipe sees what there is so far

    def end(self, summary: Totals, shape: tuple[int, ...]) -> None:
        """End an input; `shape` is its shape, of which every length is now known."""
        with disk_errors(self.name):
            self.finish(summary, shape)

    def commit(self, total: Totals) -> None:
        """Put the result in place. total: the summary of all inputs."""
        with self, disk_errors(self.name):
            self.close(total)
            self._put_in_place()

    def begin(self) -> None:
        """Write what precedes the first slice of an input."""

    @abstractmethod
    def put(self, slices: Slices) -> None:
        """Write the next slices."""

    def finish(self, summary: Totals, shape: tuple[int, ...]) -> None:
        """Write what follows the last slice of an input."""

    def close(self, total: Totals) -> None:
        """Write what follows the last input."""


def format_of(path: str, among: Collection[str] = ()) -> str:
    """Return the format that a path's suffix names. Raises OptionError if it names none.

    among: the possible formats, if the suffix alone chooses one.
    """
    suffix = os.path.splitext(path.rstrip("/"))[1].lower()
    if suffix[1:] not in (among or (*FORMATS, STORE)):
        known = " ".join(f".{name}" for name in among or (*FORMATS, STORE))
        what = f"the suffix {suffix} names no output format" if suffix else "no suffix names the output format"
        otherwise = "" if among else f", or choose with {parameter('format')}"
        raise OptionError(f"{path}: {what}", f"end the name in one of {known}{otherwise}")
    return suffix[1:]


def fields_of(format: str, fields: tuple[str, ...], alone: str = "soft") -> tuple[str, ...]:
    """Return the `fields` that a format holds; a format of a single field holds `alone`."""
    return (alone,) if format == "npy" else fields


def open_writer(
    target: str, format: str, run: Run, fields: Collection[str], *, force: bool, several: bool = False
) -> Writer:
    """Open a path, or standard output for "-", for results in one of `FORMATS`.

    run: that of the first input. fields: those that the slices will hold. several: as in `Writer`. Raises OutputError,
    and changes nothing, if the target cannot be written, or exists without `force`.
    """
    module, _, name = FORMATS[format].rpartition(".")
    kind: type[Writer] = getattr(import_module(f"{__name__}.{module}"), name)
    wanted = tuple(field for field in fields_of(format, run.fields, run.alone) if field in fields)
    writer = kind(target, wanted, several=several, force=force)
    try:
        writer.start(run)
    except BaseException:
        writer.abort()
        raise
    return writer
