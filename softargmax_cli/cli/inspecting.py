"""`softargmax inspect` from names to what is said of them."""

from __future__ import annotations

import io
import math
import os
import stat
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from softargmax_cli.cli.saying import FAILED, say_error, say_note
from softargmax_cli.cli.suggesting import of_text, run_on
from softargmax_cli.errors import InputError, OptionError, SoftArgmaxError, as_typed, naming, parameter
from softargmax_cli.report.inspection import Inspection, Listing
from softargmax_cli.report.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from softargmax_cli.files.members import SeveralArraysError
    from softargmax_cli.files.reading import Reading
    from softargmax_cli.files.source import Pending, Source
    from softargmax_cli.files.statistics import Statistics
    from softargmax_cli.reduction.blocks import Block
    from softargmax_cli.reduction.boxes import Boxes

BLOCK = 2 << 20
"""Bytes of a block."""
MEMORY = 256 << 20
"""Bytes of boxes that are held at a time, where there are chunks, of which boxes are made."""
MOST_OPEN = 4 << 20
"""Slices that may be unfinished at a time; of more than that the sums are not looked at."""
SMALLEST, FLATTEST = 8, 4
"""What looks like a heatmap is at least so many entries long and wide, and at most so many times as wide as long."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What is looked at."""

    axes: tuple[int, ...] | None
    """None where nobody says it."""
    quick: bool
    reading: Reading
    quiet: bool
    verbose: bool


def inspect_all(names: Sequence[str], looked: Looked, format: str) -> int:
    """Inspect one input after the other; 0, or 2 where one cannot be used."""
    from softargmax_cli.files.members import SeveralArraysError

    code, apart = 0, False
    found: Inspection | Listing
    notes: Sequence[str]
    for name in names:
        try:
            found, notes = _inspected(name, looked)
        except SeveralArraysError as several:
            found, notes = _listed(name, several, looked), ()
        except SoftArgmaxError as error:
            say_error(error, verbose=looked.verbose)
            code = FAILED
            continue
        if format == "json":
            from softargmax_cli.files.writers.json import json_object

            print(json_object(found.as_dict()), flush=True)
        else:
            print("\n" * apart + "\n".join(found.lines(sys.stdout)), flush=True)
            apart = True
        for note in () if looked.quiet else notes:
            say_note(f"{found.input}: {note}")
    return code


def _inspected(name: str, looked: Looked) -> tuple[Inspection, Sequence[str]]:
    from softargmax_cli.files.registry import open_source
    from softargmax_cli.files.watching import refusals, watching
    from softargmax_cli.reduction.spec import Spec

    with closing(open_source(name, looked.reading)) as source, naming(source.name):
        axes, why_not = looked.axes or ((-2, -1) if _like_heatmaps(source.shape) else (-1,)), None
        resolved: tuple[int, ...] = ()
        try:
            resolved = Spec(axes).resolve(source.shape, source.dtype, frozenset()).axes
        except InputError as error:  # there is something to see all the same
            why_not = as_typed(error.what)
        found = Inspection(
            input=source.name,
            format=source.facts.format,
            version=source.facts.version,
            shape=source.shape,
            dtype=source.stored,
            order=source.order if source.facts.header is None and source.facts.delimiter is None else None,
            bytes=_bytes_on_disk(name),
            axes=resolved,
            why_not=why_not,
            delimiter=source.facts.delimiter,
            header=source.facts.header,
            id_column=source.facts.id_column,
            members=[(each.name, each.shape, each.dtype) for each in source.facts.members],
            chunks=source.chunks,
            shards=source.facts.shards,
            codecs=source.facts.codecs,
        )
        sums, notes = None, [*source.notes]
        if not looked.quick:
            sums = _Sums(source, resolved)
            with watching(source.watch, notes), refusals(source.name):
                statistics = _streamed(source, sums, io.StringIO() if looked.quiet else None)
            shape = tuple(source.rows if n is None else n for n in source.shape)
            found = replace(
                found,
                shape=shape,
                min=statistics.minimum,
                max=statistics.maximum,
                mean=statistics.mean,
                nan=statistics.nan,
                inf=statistics.inf,
                negative_inf=statistics.negative_inf,
                sums_to_one=None if statistics.inf or statistics.negative_inf else sums.all_one,
                slices_checked=sums.checked,
                slices_not_one=sums.not_one,
            )
        arguments = None if why_not else tuple(_arguments(name, found, looked, axes, sums))
        return replace(found, arguments=arguments), notes


def _like_heatmaps(shape: tuple[int | None, ...]) -> bool:
    if len(shape) != 4 or None in shape:
        return False
    short, long = sorted(n or 0 for n in shape[-2:])
    return short >= SMALLEST and long <= FLATTEST * short


def _bytes_on_disk(name: str) -> int | None:
    try:
        status = os.fstat(sys.stdin.fileno()) if name == "-" else os.stat(name)
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _listed(name: str, several: SeveralArraysError, looked: Looked) -> Listing:
    """What a file holds where nothing says which of it is meant: the first array of numbers is tried next."""
    members = [(each.name, each.shape, each.dtype) for each in several.members]
    arguments = [*run_on(name, replace(looked.reading, key=several.first))]
    title = "<stdin>" if name == "-" else name
    return Listing(title, several.kind, _bytes_on_disk(name), members, several.count, arguments)


def _arguments(
    name: str, found: Inspection, looked: Looked, axes: tuple[int, ...], sums: _Sums | None
) -> Iterator[str]:
    """The arguments of the command to try next."""
    reading = looked.reading
    yield from run_on(name, reading if found.members else replace(reading, key=None))  # of one array it says nothing
    if axes != (-1,):
        yield from ("--axis", ",".join(map(str, axes)))
    if found.format.startswith("csv"):
        yield from of_text(reading)
    if found.id_column is not None:
        yield from ("--id-column", reading.id_column or str(found.id_column))
    if sums is None:
        return
    if found.sums_to_one and sums.fractions and found.min is not None and found.min >= 0:
        yield from ("--kind", "probs")
    length = math.prod(found.shape[axis] or 0 for axis in found.axes)
    if found.nan or (found.negative_inf or 0) >= length > 0:  # perhaps all of one slice
        yield from ("--nan", "omit")


def _streamed(source: Source, sums: _Sums, stream: io.StringIO | None) -> Statistics:
    """What the numbers are like, and their sums to `sums`."""
    from softargmax_cli.files.statistics import Statistics, statistics
    from softargmax_cli.reduction.buffer import Buffer
    from softargmax_cli.reduction.parallel import cores, in_order

    space = threading.local()

    def work(task: tuple[Block, Pending]) -> tuple[int, Statistics, _Part | None]:
        if not hasattr(space, "buffer"):
            space.buffer = Buffer()
        block, pending = task
        values = pending.load(space.buffer).values
        return pending.nbytes, statistics(values), sums.part(block, values)

    whole, threads = Statistics(), min(4, cores())
    boxes = _boxes(source, sums.axes)
    if boxes is not None:
        threads = boxes.threads(threads, MEMORY)
    with Progress(source.nbytes, stream) as progress:
        for nbytes, one, part in in_order(work, _fetched(source, sums.axes, boxes), threads=threads):
            whole.merge(one)
            sums.add(part)
            progress.advance(nbytes)
    sums.end()
    return whole


def _boxes(source: Source, axes: tuple[int, ...]) -> Boxes | None:
    """Those of whole chunks, where there are any. Raises OptionError where one does not fit."""
    from softargmax_cli.reduction.boxes import boxes_of

    shape = tuple(n for n in source.shape if n is not None)
    chunks = source.chunks
    if chunks is None or not shape or 0 in shape:
        return None
    nothing_waits = 0
    layout = source.order, source.dtype.itemsize, MEMORY, chunks, nothing_waits
    try:
        return boxes_of(shape, axes, *layout)
    except OptionError as error:
        what = error.what.removeprefix(f"{parameter('memory')}: ")
        raise OptionError(f"{source.name}: {what}", "look at its head alone, with --quick") from None


def _fetched(source: Source, axes: tuple[int, ...], boxes: Boxes | None) -> Iterator[tuple[Block, Pending]]:
    from softargmax_cli.reduction import blocks

    elements = BLOCK // source.dtype.itemsize
    shape = tuple(n for n in source.shape if n is not None)
    every: Iterable[Block]
    if len(shape) < len(source.shape):
        every = blocks.rows(shape[0], elements)
    elif not shape:
        every = [blocks.Block((), ())]
    elif 0 in shape:
        every = []
    elif boxes is not None:
        every = boxes.plan
    else:
        every = blocks.plan(shape, axes, source.order, elements, contiguous=source.sequential)
    for block in every:
        pending = source.fetch(block)
        if pending is None:
            return
        yield block, pending


@dataclass(frozen=True, slots=True)
class _Part:
    """Sums along the axes of what one block holds."""

    place: tuple[int, ...]
    """Where its slices begin, along the axes that stay."""
    sums: npt.NDArray[np.float64]
    complete: bool
    """Whether its slices end in it; those of a table end with the table."""
    whole: bool
    """Whether they begin in it, too."""


class _Sums:
    """Sums of slices along some axes: how many are not 1, in memory that does not grow with the file."""

    def __init__(self, source: Source, axes: tuple[int, ...]) -> None:
        self.axes = axes
        self.checked = self.not_one = 0
        self.fractions = False
        """Whether the first block of real numbers holds any between 0 and 1; else they are labels at most."""
        self._shape = source.shape
        self._kept = [k for k in range(len(source.shape)) if k not in axes]
        self._open: dict[tuple[int, ...], npt.NDArray[np.float64]] = {}
        self._size = 0
        self._first = True
        self._given_up = not axes

    @property
    def all_one(self) -> bool | None:
        """Whether all sums are 1; None where nothing was checked."""
        return not self.not_one if self.checked and not self._given_up else None

    def part(self, block: Block, values: npt.NDArray[Any]) -> _Part | None:
        """The share of a block; any thread may ask."""
        import numpy as np

        if self._given_up:
            return None
        if self._first and values.size:
            self._first = False
            with np.errstate(invalid="ignore"):
                self.fractions = values.dtype.kind == "f" and bool(((values > 0) & (values < 1)).any())
        whole = all(values.shape[axis] == self._shape[axis] for axis in self.axes)
        ends = all(block.stop[axis] == self._shape[axis] for axis in self.axes)
        with np.errstate(invalid="ignore", over="ignore"):
            sums = np.asarray(values.sum(axis=self.axes, dtype=np.float64))
        return _Part(tuple(block.start[k] for k in self._kept), sums, ends, whole)

    def add(self, part: _Part | None) -> None:
        """Take a block's share; in order."""
        if part is None or self._given_up:
            return
        if part.whole:
            self._judge(part.sums)
            return
        before = self._open.pop(part.place, None)
        sums = part.sums if before is None else before + part.sums
        self._size -= 0 if before is None else before.size
        if part.complete:
            self._judge(sums)
            return
        self._open[part.place] = sums
        self._size += sums.size
        if self._size > MOST_OPEN:
            self._open.clear()
            self._given_up = True

    def end(self) -> None:
        """Nothing more comes."""
        for sums in self._open.values():
            self._judge(sums)
        self._open.clear()
        if self._given_up:
            self.checked = self.not_one = 0

    def _judge(self, sums: npt.NDArray[np.float64]) -> None:
        import numpy as np

        from softargmax_cli.reduction.lookalike import tolerance

        length = math.prod(self._shape[axis] or 1 for axis in self.axes)
        known = sums[~np.isnan(sums)]  # with NaN in it a slice says nothing
        self.checked += known.size
        self.not_one += int(np.count_nonzero(abs(known - 1) > tolerance(length)))
