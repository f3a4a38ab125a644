"""What is in a file, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TextIO

from softargmax_cli.report.text import Signs, legible, listed, nbytes_text, printable, signs_of, typed

FORMATS = {
    "npy": ".npy",
    "npz": ".npz",
    "safetensors": ".safetensors",
    "hdf5": "HDF5",
    "zarr": "Zarr",
    "parquet": "Parquet",
    "csv": "CSV",
    "csv.gz": "CSV, gzipped",
}
ORDERS = {"C": "C (the last axis is contiguous)", "F": "Fortran (the first axis is contiguous)"}
DELIMITERS = {"\t": "tab", " ": "space"}
FEW = 8
"""Names of columns that are shown."""
MANY = 20
"""Arrays of a file that are shown."""
LONGEST = 40
"""Characters of one that are."""


Member = tuple[str, tuple[int, ...] | None, str]
"""An array of a file that holds several: its name, its shape, which may not be known, and its dtype."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What is said of a file of several arrays where none is named."""

    input: str
    format: str
    bytes: int | None
    members: Sequence[Member]
    count: int
    """Of all members, of which only the first may be here."""
    arguments: Sequence[str]
    """Of the command to try next, its name first."""

    def as_dict(self) -> dict[str, Any]:
        """What JSON says of it."""
        return {
            "input": self.input,
            "format": self.format,
            "bytes": self.bytes,
            "members": _members_dicts(self.members),
            "suggestion": typed(self.arguments, printable),
        }

    def lines(self, stream: TextIO) -> Iterator[str]:
        """The input's name, and below it aligned lines that `stream` can show."""
        yield legible(self.input, stream)
        for line in listed(list(self._entries(stream)), stream):
            yield f"  {line}"

    def _entries(self, stream: TextIO) -> Iterator[tuple[str, Sequence[str]]]:
        yield "format", [FORMATS.get(self.format, self.format)]
        if self.bytes is not None:
            yield "on disk", [nbytes_text(self.bytes)]
        yield "holds", _members_lines(self.members, self.count, signs_of(stream))
        yield "try", [typed(self.arguments, partial(legible, stream=stream))]


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that is said of one input; None for what is not known, or was not asked for."""

    input: str
    format: str
    version: str | None
    shape: tuple[int | None, ...]
    dtype: str
    order: str | None
    bytes: int | None
    axes: tuple[int, ...]
    """Those along which slices lie, counted from 0; none where the array has no slices."""
    why_not: str | None
    """Why nothing can be reduced."""
    delimiter: str | None = None
    header: Sequence[str] | None = None
    id_column: str | int | None = None
    members: Sequence[Member] = ()
    """Of a file that holds arrays by name."""
    chunks: Sequence[int] | None = None
    """Lengths of the boxes that are stored each by itself, and of those of several that lie in one object."""
    shards: Sequence[int] | None = None
    codecs: Sequence[str] = ()
    """What a chunk goes through when it is stored."""
    min: float | int | None = None
    max: float | int | None = None
    mean: float | None = None
    nan: int | None = None
    """None where the numbers have not been read."""
    inf: int | None = None
    negative_inf: int | None = None
    sums_to_one: bool | None = None
    slices_checked: int | None = None
    slices_not_one: int | None = None
    arguments: Sequence[str] | None = None
    """Of the command to try next, its name first."""

    def as_dict(self) -> dict[str, Any]:
        """What JSON says of it."""
        return {
            "input": self.input,
            "format": self.format,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "order": self.order,
            "bytes": self.bytes,
            "delimiter": self.delimiter,
            "header": None if self.header is None else list(self.header),
            "id_column": self.id_column,
            "members": _members_dicts(self.members) if self.members else None,
            **self._layout(),
            "min": self.min,
            "max": self.max,
            "mean": self.mean,
            "nan": self.nan,
            "inf": self.inf,
            "negative_inf": self.negative_inf,
            "axis": list(self.axes),
            "slices_checked": self.slices_checked,
            "sums_to_one": self.sums_to_one,
            "suggestion": None if self.arguments is None else typed(self.arguments, printable),
        }

    def lines(self, stream: TextIO) -> Iterator[str]:
        """The input's name, and below it aligned lines that `stream` can show."""
        yield legible(self.input, stream)
        for line in listed(list(self._entries(stream)), stream):
            yield f"  {line}"

    def _entries(self, stream: TextIO) -> Iterator[tuple[str, Sequence[str]]]:
        signs = signs_of(stream)
        yield "format", [f"{FORMATS.get(self.format, self.format)} {self.version or ''}".rstrip()]
        yield "shape", [signs.times.join("?" if n is None else f"{n:,}" for n in self.shape) or "() a single number"]
        if len(self.shape) > 1:
            yield "axes", [f"{k}: {'?' if n is None else f'{n:,}'}" for k, n in enumerate(self.shape)]
        yield "dtype", [self.dtype]
        if self.order is not None and len(self.shape) > 1 and self.chunks is None:
            yield "order", [ORDERS[self.order]]
        if self.chunks is not None and self.shape:
            lengths = [("chunks", self.chunks), ("shards", self.shards)]
            yield from ((name, [_times(each, signs)]) for name, each in lengths if each is not None)
            yield "packed", [", ".join(self.codecs) or "no"]
        if self.bytes is not None:
            exact = f" ({self.bytes:,} bytes)" if self.bytes >= 1024 else ""
            yield "on disk", [nbytes_text(self.bytes) + exact]
        if self.members:
            yield "holds", _members_lines(self.members, len(self.members), signs)
        if self.delimiter is not None:
            yield "delimiter", [DELIMITERS.get(self.delimiter, self.delimiter)]
        if self.delimiter is not None or self.header is not None:
            yield "header", [_few(self.header, signs) if self.header is not None else "none"]
            yield "id column", ["none" if self.id_column is None else str(self.id_column)[:LONGEST]]
        if self.nan is not None:
            yield from self._numbers()
        if self.why_not is not None:
            yield "run", [f"cannot reduce it: {self.why_not}"]
        elif self.arguments is not None:
            yield "try", [typed(self.arguments, partial(legible, stream=stream))]

    def _layout(self) -> dict[str, Any]:
        """How an array in chunks is stored; nothing of others."""
        if self.chunks is None:
            return {}
        shards = None if self.shards is None else list(self.shards)
        return {"chunks": list(self.chunks), "shards": shards, "codecs": list(self.codecs)}

    def _numbers(self) -> Iterator[tuple[str, Sequence[str]]]:
        for name, number in (("min", self.min), ("max", self.max), ("mean", self.mean)):
            spelt = "none" if number is None else str(number) if isinstance(number, int) else f"{number:.9g}"
            yield name, [spelt]
        yield "negative", ["yes" if self.negative_inf or (self.min is not None and self.min < 0) else "no"]
        yield "NaN", [f"{self.nan:,}"]
        yield "infinite", [f"{self.inf:,} of +inf, {self.negative_inf:,} of -inf"]
        if self.axes:
            yield "sum to 1", [self._sums()]

    def _sums(self) -> str:
        along = f"along {'axis' if len(self.axes) == 1 else 'axes'} {', '.join(map(str, self.axes))}"
        count = self.slices_checked or 0
        if self.sums_to_one is None and not (count and (self.inf or self.negative_inf)):
            return f"not checked {along}"
        slices = f"{count:,} slice{'' if count == 1 else 's'} {along}"
        if self.sums_to_one:
            negative = self.min is not None and self.min < 0
            return f"yes, all {slices}" + (", but some are negative" if negative else "")
        return f"no: {self.slices_not_one:,} of {slices} do not" if self.slices_not_one else f"no {along}: infinite"


def _times(lengths: Sequence[int], signs: Signs) -> str:
    return signs.times.join(f"{n:,}" for n in lengths)


def _few(names: Sequence[str], signs: Signs) -> str:
    shown = [name if len(name) <= LONGEST else name[:LONGEST] + signs.more for name in names[:FEW]]
    return ", ".join(shown) + (f" {signs.more} ({len(names):,} in all)" if len(names) > FEW else "")


def _members_dicts(members: Sequence[Member]) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": None if shape is None else list(shape), "dtype": dtype or None}
        for name, shape, dtype in members
    ]


def _members_lines(members: Sequence[Member], count: int, signs: Signs) -> list[str]:
    lines = []
    for name, shape, dtype in members[:MANY]:
        size = signs.times.join(f"{n:,}" for n in shape or ()) or "a single number"
        what = "cannot be read" if shape is None else f"{dtype} {size}"
        lines.append(f"{name if len(name) <= LONGEST else name[:LONGEST] + signs.more}  {what}")
    return lines + ([f"{signs.more} {count - MANY:,} more"] if count > MANY else [])
