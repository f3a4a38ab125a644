"""Results to files and streams, one module a format; loaded when a format is used.

A new format is one module here, with one class derived from `atomic.Writer`, and one line in `FORMATS`.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from importlib import import_module
from typing import TYPE_CHECKING

from softargmax_cli.errors import OptionError, parameter

if TYPE_CHECKING:
    from softargmax_cli.files.writers.atomic import Writer
    from softargmax_cli.reduction.result import Run

FORMATS = {
    "npy": "npy.NpyWriter",
    "npz": "npy.NpzWriter",
    "csv": "text.CsvWriter",
    "tsv": "text.TsvWriter",
    "json": "json.JsonWriter",
    "jsonl": "json.JsonLinesWriter",
    "parquet": "parquet.ParquetWriter",
}
"""The formats of a file or a stream, and the class that writes each; a file's suffix names its format."""
SHARED = ("csv", "tsv", "json", "jsonl", "parquet")
"""Formats of which one file holds the results of several inputs."""
STORE = "zarr"
"""The format of a store, which is a directory and takes its results in any order."""


def format_of(path: str, among: Collection[str] = ()) -> str:
    """Return the format that a path's suffix names. Raises OptionError where it names none.

    among: the formats there are, where no option but the suffix chooses one.
    """
    suffix = os.path.splitext(path.rstrip("/"))[1].lower()
    if suffix[1:] not in (among or (*FORMATS, STORE)):
        known = " ".join(f".{name}" for name in among or (*FORMATS, STORE))
        what = f"the suffix {suffix} names no output format" if suffix else "no suffix names the output format"
        otherwise = "" if among else f", or choose with {parameter('format')}"
        raise OptionError(f"{path}: {what}", f"end the name in one of {known}{otherwise}")
    return suffix[1:]


def known_format(name: str | None) -> str | None:
    """Return the name of a format, "table" or None. Raises OptionError for another word."""
    if name not in (None, "table", *FORMATS, STORE):
        raise OptionError(f"there is no format {name!r}", f"choose one of {', '.join(('table', *FORMATS, STORE))}")
    return name


def fields_of(format: str, fields: tuple[str, ...], alone: str = "soft") -> tuple[str, ...]:
    """Return those of all `fields` that a format holds; `alone` is the one where it holds no more."""
    return (alone,) if format == "npy" else fields


def open_writer(
    target: str, format: str, run: Run, fields: Collection[str], *, force: bool, several: bool = False
) -> Writer:
    """Open a path, or standard output for "-", for results in one of `FORMATS`.

    run: of the first input. fields: those that the slices will hold. several: there may be more inputs, and each slice
    says its own. Raises OutputError where the target
    cannot be written, or exists without `force`; nothing is changed then.
    """
    from softargmax_cli.files.writers.atomic import open_target

    module, _, name = FORMATS[format].rpartition(".")
    kind: type[Writer] = getattr(import_module(f"{__name__}.{module}"), name)
    wanted = tuple(field for field in fields_of(format, run.fields, run.alone) if field in fields)
    writer = kind(open_target(target, force=force), wanted, several=several)
    try:
        writer.start(run)
    except BaseException:
        writer.abort()
        raise
    return writer
