"""Print what is in a file, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TextIO

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
    "json": "JSON",
    "jsonl": "JSON lines",
}
ORDERS = {"C": "C (the last axis is contiguous)", "F": "Fortran (the first axis is contiguous)"}
DELIMITERS = {"\t": "tab", " ": "space"}
FEW = 8
"""Names of columns that are shown."""
MANY = 20
"""Arrays of a file that are shown."""
LONGEST = 40
"""Characters of one that are."""

Entries = Iterator[tuple[str, Sequence[str]]]
"""A name and its lines."""


class Array(Protocol):
    """An array of a file that holds several."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...] | None: ...
    @property
    def dtype(self) -> str: ...
    @property
    def why_not(self) -> str: ...


@dataclass(slots=True)
class Inspection:
    """All that is said of one input, or of a file of several arrays of which none is named."""

    facts: dict[str, Any]
    """The entries of the JSON object but the suggestion."""
    arguments: Sequence[str] | None = None
    """The command to try next, its name first; None where nothing can be reduced."""
    version: str = ""
    """Version of the format."""
    why_not: str = ""
    """Why nothing can be reduced."""
    not_one: int = 0
    """Slices whose sum is not 1."""
    count: int = 0
    """All arrays of the file, of which only the first may be listed."""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {**self.facts, "suggestion": None if self.arguments is None else typed(self.arguments, printable)}

    def lines(self, stream: TextIO) -> Iterator[str]:
        """Yield the input's name, and below it aligned lines that `stream` can show."""
        yield legible(self.facts["input"], stream)
        for line in listed([*self._stored(signs_of(stream)), *self._numbers(), *self._next(stream)], stream):
            yield f"  {line}"

    def _stored(self, signs: Signs) -> Entries:
        facts = self.facts
        yield "format", [f"{FORMATS.get(facts['format'], facts['format'])} {self.version}".rstrip()]
        if "shape" in facts:
            shape = facts["shape"]
            lengths = ["?" if n is None else f"{n:,}" for n in shape]
            yield "shape", [signs.times.join(lengths) or "() a single number"]
            if len(shape) > 1:
                yield "axes", [f"{k}: {n}" for k, n in enumerate(lengths)]
            yield "dtype", [facts["dtype"]]
            if facts["order"] is not None and len(shape) > 1 and "chunks" not in facts:
                yield "order", [ORDERS[facts["order"]]]
            if "chunks" in facts and shape:
                for name in ("chunks", "shards"):
                    if facts[name] is not None:
                        yield name, [signs.times.join(f"{n:,}" for n in facts[name])]
                yield "packed", [", ".join(facts["codecs"]) or "no"]
        if facts["bytes"] is not None:
            exact = f" ({facts['bytes']:,} bytes)" if facts["bytes"] >= 1024 and "shape" in facts else ""
            yield "on disk", [nbytes_text(facts["bytes"]) + exact]
        if facts.get("result"):
            yield "holds", ["a result of softargmax, not scores"]
        if facts["members"]:
            yield "holds", _arrays(facts["members"], self.count or len(facts["members"]), signs)
        delimiter, header = facts.get("delimiter"), facts.get("header")
        if delimiter is not None:
            yield "delimiter", [DELIMITERS.get(delimiter, delimiter)]
        if delimiter is not None or header is not None:
            yield "header", [_few(header, signs) if header is not None else "none"]
            yield "id column", ["none" if facts["id_column"] is None else str(facts["id_column"])[:LONGEST]]

    def _numbers(self) -> Entries:
        facts = self.facts
        if facts.get("nan") is None:
            return
        for name in ("min", "max", "mean"):
            number = facts[name]
            yield name, ["none" if number is None else str(number) if isinstance(number, int) else f"{number:.9g}"]
        yield "negative", ["yes" if facts["negative_inf"] or (facts["min"] or 0) < 0 else "no"]
        yield "NaN", [f"{facts['nan']:,}"]
        yield "infinite", [f"{facts['inf']:,} of +inf, {facts['negative_inf']:,} of -inf"]
        if facts["axis"]:
            yield "sum to 1", [self._sums()]

    def _sums(self) -> str:
        facts = self.facts
        along = f"along {'axis' if len(facts['axis']) == 1 else 'axes'} {', '.join(map(str, facts['axis']))}"
        count, infinite = facts["slices_checked"], facts["inf"] or facts["negative_inf"]
        if not count:
            return f"not checked {along}"
        slices = f"{count:,} slice{'' if count == 1 else 's'} {along}"
        if self.not_one:
            return f"no: {self.not_one:,} of {slices} do not"
        if infinite:
            return f"no {along}: infinite"
        return f"yes, all {slices}" + (", but some are negative" if facts["min"] < 0 else "")

    def _next(self, stream: TextIO) -> Entries:
        if self.why_not:
            yield "run", [f"cannot reduce it: {self.why_not}"]
        elif self.arguments is not None:
            yield "try", [typed(self.arguments, partial(legible, stream=stream))]


def arrays_of(members: Sequence[Array]) -> list[dict[str, Any]]:
    """Describe the arrays of a file under the names of JSON."""
    return [
        {
            "name": each.name,
            "shape": None if each.shape is None else list(each.shape),
            "dtype": each.dtype or None,
            "why_not": each.why_not or None,
        }
        for each in members
    ]


def _arrays(members: Sequence[dict[str, Any]], count: int, signs: Signs) -> list[str]:
    lines = []
    for each in members[:MANY]:
        size = signs.times.join(f"{n:,}" for n in each["shape"] or ()) or "a single number"
        what = each["why_not"] or f"{each['dtype']} {size}"
        lines.append(f"{_cut(each['name'], signs)}  {what}")
    return lines + ([f"{signs.more} {count - MANY:,} more"] if count > MANY else [])


def _few(names: Sequence[str], signs: Signs) -> str:
    shown = ", ".join(_cut(name, signs) for name in names[:FEW])
    return shown + (f" {signs.more} ({len(names):,} in all)" if len(names) > FEW else "")


def _cut(name: str, signs: Signs) -> str:
    return name if len(name) <= LONGEST else name[:LONGEST] + signs.more
