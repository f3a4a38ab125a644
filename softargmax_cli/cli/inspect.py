"""`softargmax inspect`: the contents of a file, and the `run` command to try next."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from softargmax_cli.cli.options import Inputs, MessageOptions, ReadingOptions, axes_of, grouped, option, values_of
from softargmax_cli.cli.pipeline import Batch
from softargmax_cli.cli.usage import run_command
from softargmax_cli.errors import InputError, OptionError, as_typed, naming, parameter
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.streams import status_of
from softargmax_cli.report.text import legible

if TYPE_CHECKING:
    from softargmax_cli.files.source import Member, Source
    from softargmax_cli.reduction.problem import Problem
    from softargmax_cli.reduction.statistics import Statistics
    from softargmax_cli.report.inspection import Inspection

HEAD = 1000
"""Rows of a text table that a quick inspection reads, so that its suggestion can be run."""
MEMORY = 256 << 20
"""Bytes that blocks may take."""
SMALLEST, FLATTEST = 8, 4
"""The least length of an axis of a heatmap, and the largest ratio of its axes."""
NUMBERS = {"min": "minimum", "max": "maximum", "mean": "mean", "nan": "nan", "inf": "inf"}
NUMBERS |= {"negative_inf": "negative_inf", "slices_checked": "checked", "sums_to_one": "sums_to_one"}
"""The names of statistics in JSON, and in `Statistics`."""


@dataclass(frozen=True)
class InspectOptions(MessageOptions, ReadingOptions):
    """Options of an inspection."""

    axis: str | None = option(
        None, "Input", "N[,N...]", "Chooses the axes along which slices may sum to 1. Default: -1; for heatmaps -2,-1."
    )
    quick: bool = option(False, "Input", None, "Reads only the beginning of the file.", "--quick")
    format: Literal["table", "json"] = option(
        "table", "Output", "FORMAT", "Chooses table, or json with one object on each line. Default: table."
    )


@grouped
def inspect(inputs: Inputs, *, looks: InspectOptions) -> int:
    """Show what files hold: shape, dtype, range, NaN, and the run command to try next.

    \b
    softargmax inspect data.npy
    softargmax inspect huge.csv --quick
    cat data.npy | softargmax inspect - --format json | jq .shape
    softargmax guide formats
    """
    from softargmax_cli.files.members import ResultError, SeveralArraysError
    from softargmax_cli.files.writers.json import json_text
    from softargmax_cli.report.inspection import Inspection

    batch, reading = Batch(inputs, looks), Reading(**values_of(looks, ReadingOptions), inspected=True)
    batch.note(*batch.left_out)
    for name in batch.names:
        notes = list[str]()
        facts: dict[str, Any] = {"input": "<stdin>" if name == "-" else name}
        with batch.trying(name):
            try:
                found = _inspected(name, reading, looks, notes)
            except SeveralArraysError as several:  # the first of numbers is tried next
                facts |= {"format": several.kind, "bytes": _bytes_on_disk(name), "members": _members(several.members)}
                first = Reading(key=several.first, select=reading.select)
                found = Inspection(facts, count=several.count, arguments=[*run_command(name, first, (-1,))])
            except ResultError as result:
                facts |= {"format": result.kind, "bytes": _bytes_on_disk(name), "members": None, "result": True}
                found = Inspection(facts, ["softargmax", "check", "INPUT", "--expect", name])
            if looks.format == "json":
                print(json_text(found.as_dict()), flush=True)
            else:
                batch.begin_table()
                print("\n".join(legible(line, sys.stdout) for line in found.lines()), flush=True)
            batch.note(*(f"{found.facts['input']}: {note}" for note in notes))
    return batch.code


def _inspected(name: str, reading: Reading, looks: InspectOptions, notes: list[str]) -> Inspection:
    """Describe an array, and its numbers, unless the inspection is quick. notes: takes notes for the user."""
    from softargmax_cli.files.registry import open_source
    from softargmax_cli.reduction.blocks import rows
    from softargmax_cli.reduction.problem import Spec
    from softargmax_cli.reduction.readable import Buffer
    from softargmax_cli.report.inspection import Inspection

    with closing(open_source(name, reading)) as source, naming(source.name):
        usual = "-2,-1" if _like_heatmaps(source.shape) else "-1"
        axes = axes_of(usual if looks.axis is None else looks.axis)
        problem, why_not, numbers = None, "", None
        try:
            problem = Spec(axes).resolve(source.shape, source.dtype, frozenset())
        except InputError as error:  # the rest is shown all the same
            why_not = as_typed(error.what)
        if not looks.quick:
            numbers = _numbers(source, problem, quiet=looks.quiet)
        elif source.shape[:1] == (None,):
            columns = source.shape[1] or 1
            if head := source.fetch(rows(columns, HEAD * columns).block(0)):
                head.load(Buffer())  # raises for a cell that is no number
        source.watch.check()
        notes += source.notes
        shape = source.shape if looks.quick else tuple(source.rows if n is None else n for n in source.shape)
        facts = _facts(name, source, shape)
        facts |= {fact: getattr(numbers, field, None) for fact, field in NUMBERS.items()}
        facts["axis"] = () if problem is None else problem.axes
        length = math.prod(shape[axis] or 0 for axis in facts["axis"])
        arguments = None if problem is None else _suggested(name, source, reading, axes, numbers, length)
        not_one = getattr(numbers, "not_one", 0)
        return Inspection(facts, arguments, version=source.facts.version or "", why_not=why_not, not_one=not_one)


def _numbers(source: Source, problem: Problem | None, *, quiet: bool) -> Statistics:
    """Compute the statistics of an array; one without slices has at most one number."""
    from softargmax_cli.reduction.blocks import Block
    from softargmax_cli.reduction.readable import Buffer
    from softargmax_cli.reduction.statistics import Statistics, block_statistics, statistics_of
    from softargmax_cli.report.progress import progress

    if problem is None:
        pending = None if source.shape else source.fetch(Block((), ()))
        return Statistics() if pending is None else block_statistics(pending.load(Buffer()).values)
    try:
        with progress(source.nbytes, io.StringIO() if quiet else None) as advance:
            return statistics_of(source, problem, memory=MEMORY, advance=advance)
    except OptionError as error:  # a chunk that takes too much memory
        raise OptionError(error.what, f"look at its head alone, with {parameter('quick')}") from None


def _facts(name: str, source: Source, shape: tuple[int | None, ...]) -> dict[str, Any]:
    """Describe how an array is stored, under the names of JSON."""
    facts = source.facts
    described: dict[str, Any] = {"input": source.name, "format": facts.format, "shape": shape, "dtype": source.stored}
    described["order"] = source.order if facts.header is None and facts.delimiter is None else None
    described["bytes"] = _bytes_on_disk(name)
    described |= {name: getattr(facts, name) for name in ("delimiter", "header", "id_column")}
    described["members"] = _members(facts.members) if facts.members else None
    if facts.chunks is not None:
        described |= {"chunks": facts.chunks, "shards": facts.shards, "codecs": facts.codecs}
    return described


def _members(members: Sequence[Member]) -> list[dict[str, Any]]:
    """Describe the arrays of a file under the names of JSON."""
    return [{"name": m.name, "shape": m.shape, "dtype": m.dtype or None, "why_not": m.why_not or None} for m in members]


def _like_heatmaps(shape: tuple[int | None, ...]) -> bool:
    if len(shape) != 4 or None in shape:
        return False
    short, long = sorted(n or 0 for n in shape[-2:])
    return short >= SMALLEST and long <= FLATTEST * short


def _bytes_on_disk(name: str) -> int | None:
    status = status_of(name)
    return status.st_size if status else None


def _suggested(
    name: str, source: Source, reading: Reading, axes: tuple[int, ...], statistics: Statistics | None, length: int
) -> Sequence[str]:
    """Suggest the command to try next, with the options that apply to this format. length: that of a slice."""
    facts, probs, lacks = source.facts, False, False
    if statistics is not None:
        probs = bool(statistics.sums_to_one and statistics.fractions and (statistics.minimum or 0) >= 0)
        lacks = statistics.nan > 0 or statistics.negative_inf >= length > 0  # perhaps all of one slice
    id_column = reading.id_column or facts.id_column or None  # an untitled one needs no option
    said = reading if facts.format.startswith("csv") else Reading(select=reading.select)
    named = replace(
        said,
        key=reading.key if facts.members else None,
        id_column=None if id_column is None else str(id_column),
        columns=facts.columns,
    )
    return [*run_command(name, named, axes, kind="probs" if probs else None, nan="omit" if lacks else None)]
