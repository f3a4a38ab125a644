"""Results to files and streams: one sink a format, fed in row-major order, whole or not at all."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from softargmax_cli.errors import OptionError
from softargmax_cli.files.suffixes import FORMATS, format_of
from softargmax_cli.files.writers.base import Sink
from softargmax_cli.files.writers.delimited import DELIMITERS, DelimitedSink
from softargmax_cli.files.writers.jsontext import JsonLinesSink, JsonSink
from softargmax_cli.files.writers.numpyfiles import NpySink, NpzSink
from softargmax_cli.files.writers.target import Target, blaming, open_target
from softargmax_cli.reduction.fields import NAMES
from softargmax_cli.reduction.result import Run

__all__ = ["FORMATS", "Sink", "fields_of", "format_of", "open_sink"]


def fields_of(format: str, fields: tuple[str, ...] = NAMES, alone: str = "soft") -> tuple[str, ...]:
    """Which of all `fields` a format holds; `alone` is the one where it holds no more.

    OptionError when there is no such format.
    """
    if format not in FORMATS:
        raise OptionError(f"there is no output format {format!r}", f"choose one of {', '.join(FORMATS)}")
    return (alone,) if format == "npy" else fields


def open_sink(
    target: str, format: str, run: Run, fields: Collection[str], *, force: bool, name_inputs: bool = False
) -> Sink:
    """Open a path, or standard output for "-", for results in one of `FORMATS`.

    `fields` are those that the slices will hold. `name_inputs` gives each object of a jsonl stream the name
    of its input. OutputError when the target cannot be written, or exists without `force`; nothing is
    changed then. OptionError when the format does not fit.
    """
    wanted = [field for field in fields_of(format, run.fields, run.alone) if field in fields]
    if name_inputs and format != "jsonl":
        raise OptionError("only jsonl tells several inputs apart in one stream", "use --format jsonl")
    opened = open_target(target, force=force)
    try:
        with blaming(opened.name):
            sink = _sink(opened, format, run, wanted, name_inputs)
            sink._begin()
    except BaseException:
        opened.abort()
        raise
    return sink


def _sink(target: Target, format: str, run: Run, fields: Sequence[str], name_inputs: bool) -> Sink:
    if format == "npy":
        return NpySink(target, run)
    if format == "npz":
        return NpzSink(target, run, fields)
    if format == "json":
        return JsonSink(target, run, fields)
    if format == "jsonl":
        return JsonLinesSink(target, run, fields, name_inputs=name_inputs)
    return DelimitedSink(target, run, fields, DELIMITERS[format])
