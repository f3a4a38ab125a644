"""Describe what is in a file, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from softargmax_cli.errors import counted
from softargmax_cli.report.text import listed, nbytes_text, typed

ORDERS = {"C": "C (the last axis is contiguous)", "F": "Fortran (the first axis is contiguous)"}
DELIMITERS = {"\t": "tab", " ": "space"}
FEW, MANY, LONGEST = 8, 20, 40
"""The most columns and arrays that are listed, and the most characters of a name."""

Entries = dict[str, str | list[str]]
"""Names, and the lines that stand beside each."""


@dataclass(slots=True)
class Inspection:
    """The description of one input, or of a file of several arrays when none is named."""

    facts: dict[str, Any]
    """The JSON object without its suggestion."""
    arguments: Sequence[str] | None = None
    """The command to try next, its name first; None if nothing can be reduced."""
    version: str = ""
    """The version of the format."""
    why_not: str = ""
    """The reason why nothing can be reduced."""
    not_one: int = 0
    """The number of slices whose sum is not 1."""
    count: int = 0
    """The number of arrays in the file; perhaps only the first are listed."""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {**self.facts, "suggestion": None if self.arguments is None else typed(self.arguments)}

    def lines(self) -> Iterator[str]:
        """Yield the input's name, then aligned lines about it."""
        yield self.facts["input"]
        entries = {**self._stored(), **self._numbers()}
        if self.why_not:
            entries["run"] = f"cannot reduce it: {self.why_not}"
        elif self.arguments is not None:
            entries["try"] = typed(self.arguments)
        for line in listed(entries):
            yield f"  {line}"

    def _stored(self) -> Entries:
        facts, entries = self.facts, Entries()
        entries["format"] = f"{facts['format']} {self.version}".rstrip()
        if "shape" in facts:
            shape, chunked = facts["shape"], "chunks" in facts
            entries["shape"] = _size(shape) or "() a single number"
            if len(shape) > 1:
                entries["axes"] = [f"{k}: {_size([n])}" for k, n in enumerate(shape)]
            entries["dtype"] = facts["dtype"]
            if facts["order"] is not None and len(shape) > 1 and not chunked:
                entries["order"] = ORDERS[facts["order"]]
            if chunked and shape:
                entries |= {name: _size(facts[name]) for name in ("chunks", "shards") if facts[name] is not None}
                entries["codecs"] = ", ".join(facts["codecs"]) or "none"
        if facts["bytes"] is not None:
            exact = f" ({facts['bytes']:,} bytes)" if facts["bytes"] >= 1024 and "shape" in facts else ""
            entries["on disk"] = nbytes_text(facts["bytes"]) + exact
        if facts.get("result"):
            entries["holds"] = "a result of softargmax, not scores"
        if facts["members"]:
            entries["holds"] = _arrays(facts["members"], self.count or len(facts["members"]))
        delimiter, header = facts.get("delimiter"), facts.get("header")
        if delimiter is not None:
            entries["delimiter"] = DELIMITERS.get(delimiter, delimiter)
        if delimiter is not None or header is not None:
            shown = "none" if header is None else ", ".join(map(_cut, header[:FEW]))
            more = f" … ({len(header):,} in all)" if header is not None and len(header) > FEW else ""
            entries["header"] = shown + more
            entries["id column"] = (
                "none" if facts["id_column"] is None else str(facts["id_column"])[:LONGEST] or "(untitled)"
            )
        return entries

    def _numbers(self) -> Entries:
        facts, entries = self.facts, Entries()
        if facts.get("nan") is None:
            return entries
        for name in ("min", "max", "mean"):
            number = facts[name]
            entries[name] = "none" if number is None else str(number) if isinstance(number, int) else f"{number:.9g}"
        entries["negative"] = "yes" if facts["negative_inf"] or (facts["min"] or 0) < 0 else "no"
        entries["NaN"] = f"{facts['nan']:,}"
        entries["infinite"] = f"{facts['inf']:,} of +inf, {facts['negative_inf']:,} of -inf"
        if axes := facts["axis"]:
            along = f"along {'axis' if len(axes) == 1 else 'axes'} {', '.join(map(str, axes))}"
            slices = f"{counted(facts['slices_checked'])} {along}"
            if not facts["slices_checked"]:
                entries["sum to 1"] = f"not checked {along}"
            elif self.not_one:
                entries["sum to 1"] = f"no: {self.not_one:,} of {slices} do not"
            elif facts["inf"] or facts["negative_inf"]:
                entries["sum to 1"] = f"no {along}: infinite"
            else:
                entries["sum to 1"] = f"yes, all {slices}" + (", but some are negative" if facts["min"] < 0 else "")
        return entries


def _size(shape: Sequence[int | None]) -> str:
    return " × ".join("?" if n is None else f"{n:,}" for n in shape)


def _arrays(members: Sequence[dict[str, Any]], count: int) -> list[str]:
    lines = []
    for each in members[:MANY]:
        what = each["why_not"] or f"{each['dtype']} {_size(each['shape'] or ()) or 'a single number'}"
        lines.append(f"{_cut(each['name'])}  {what}")
    return lines + ([f"… {count - MANY:,} more"] if count > MANY else [])


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[:LONGEST]}…"
