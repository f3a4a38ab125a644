"""Results as json and jsonl: an object a slice, valid JSON whatever the numbers and names are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from softargmax_cli.files.writers.atomic import Writer
from softargmax_cli.files.writers.columns import Column, Columns, batches
from softargmax_cli.reduction.result import Run, Slices, Summary

# What json.dumps leaves bare and a terminal would obey, or UTF-8 cannot hold; escaped, it is the same text to a parser.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escaped(document: str) -> str:
    """Escape what would control a terminal in a JSON document."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def json_string(text: str) -> str:
    """Write `text` as a JSON string in which nothing controls a terminal."""
    return escaped(json.dumps(text, ensure_ascii=False))


def json_object(names: dict[str, Any]) -> str:
    """Write a dictionary as JSON on one line; no number in it may be infinite or NaN."""
    return escaped(json.dumps(names, ensure_ascii=False, allow_nan=False))


def json_value(value: float | int | None) -> str:
    """Write a number as JSON; null for what is no finite number."""
    return "null" if value is None or not math.isfinite(value) else json.dumps(value)


class JsonObjects:
    """Slices as JSON objects, made by filling a template."""

    def __init__(self, run: Run, fields: Sequence[str], *, name_input: bool = False) -> None:
        self._columns = Columns(run, fields, name_input=name_input)
        items = (f'"{name}": {_blank(name, width)}' for name, width in self._columns.widths.items())
        self._template = "{" + ", ".join(items) + "}"

    def of(self, slices: Slices, before: str = "", after: str = "") -> Iterator[list[str]]:
        """Yield the objects in batches, each between two texts."""
        template = before + self._template + after
        for batch in batches(slices):
            rows = zip(*map(_cells, self._columns.of(batch)), strict=True)
            yield [template % row for row in rows]


def _blank(name: str, width: int) -> str:
    """Return room for a number, or for a list of them."""
    return "%s" if width == 1 and name != "index" else f"[{', '.join(['%s'] * width)}]"


def _cells(column: Column) -> Sequence[Any]:
    """Return cells whose `str` is their JSON."""
    if isinstance(column, Sequence):
        return ["null" if text is None else json_string(text) for text in column]
    if column.dtype == bool:
        return ["true" if value else "false" for value in column.tolist()]
    cells: list[Any] = column.tolist()
    if column.dtype.kind == "f":
        for k in np.flatnonzero(~np.isfinite(column)).tolist():
            cells[k] = "null"
    return cells


class JsonLinesWriter(Writer):
    """An object a line; where there are several inputs its first key is `input`."""

    def begin(self) -> None:
        self._objects = JsonObjects(self.run, self.fields, name_input=self.several)

    def put(self, slices: Slices) -> None:
        for batch in self._objects.of(slices, after="\n"):
            self.target.stream.write("".join(batch).encode())


class JsonWriter(Writer):
    """One document, with an object for each of several inputs.

    `shape` and `summary` come last, since only the end of a stream tells them.
    """

    _inputs, _open = 0, False

    def begin(self) -> None:
        self._objects = JsonObjects(self.run, self.fields)
        self._leave()
        if self.several:
            self._put(",\n" if self._inputs else '{"inputs": [\n')
        self._inputs, self._open = self._inputs + 1, True
        run = self.run
        head: dict[str, Any] = {
            "input": run.input,
            "dtype": run.dtype,
            "axis": run.axes[0] if len(run.axes) == 1 else run.axes,
            "beta": run.beta,
            "kind": run.kind,
            "coords": run.coords,
            **({"period": run.periods[0] if len(run.periods) == 1 else run.periods} if run.periods else {}),
            "window": run.window,
            "device": run.device,
        }
        if run.wrt is not None:
            head["wrt"] = run.wrt
        items = "".join(
            f'"{name}": {escaped(json.dumps(value, ensure_ascii=False))},\n ' for name, value in head.items()
        )
        self._put("{" + items + '"slices": [')
        self._begun = False

    def put(self, slices: Slices) -> None:
        for batch in self._objects.of(slices, before=",\n  "):
            self._put("".join(batch).removeprefix("" if self._begun else ","))
            self._begun = True

    def finish(self, summary: Summary, shape: tuple[int, ...]) -> None:
        end, self._open = "\n " if self.count else "", False
        self._put(f'{end}],\n "shape": {json.dumps([int(n) for n in shape])},\n "summary": {_numbers(summary)}}}')

    def _leave(self) -> None:
        """End the object of an input that failed, so that a document in a pipe can be read."""
        if self._open:
            self._put("]}")
        self._open = False

    def close(self, total: Summary) -> None:
        self._leave()
        self._put(f'],\n "summary": {_numbers(total)}}}\n' if self.several else "\n")

    def _put(self, text: str) -> None:
        self.target.stream.write(text.encode())


def _numbers(summary: Summary) -> str:
    """Write a summary as an object."""
    return "{" + ", ".join(f'"{name}": {json_value(value)}' for name, value in summary.as_dict().items()) + "}"
