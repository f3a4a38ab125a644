"""Results as json and jsonl: an object a slice, valid JSON whatever the numbers and names are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from softargmax_cli.files.writers import Writer
from softargmax_cli.files.writers.text import Column, Columns, batches
from softargmax_cli.reduction.result import Run, Slices, Summary

# What json.dumps leaves bare and a terminal would obey, or UTF-8 cannot hold; escaped, it is the same text to a parser.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def json_text(value: Any, indent: int | None = None) -> str:
    """Write plain Python objects as JSON: null for infinities and NaN, nothing that controls a terminal."""
    document = json.dumps(_finite(value), ensure_ascii=False, indent=indent)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def _finite(value: Any) -> Any:
    """Put None for infinities and NaN."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class JsonObjects:
    """Slices as JSON objects, made by filling a template."""

    def __init__(self, run: Run, fields: Sequence[str], *, name_input: bool = False) -> None:
        self._columns = Columns(run, fields, name_input=name_input)
        blanks = {
            name: "%s" if width == 1 and name != "index" else f"[{', '.join(['%s'] * width)}]"
            for name, width in self._columns.widths.items()
        }
        self._template = "{" + ", ".join(f'"{name}": {blank}' for name, blank in blanks.items()) + "}"

    def of(self, slices: Slices) -> Iterator[list[str]]:
        """Yield the objects in batches."""
        for batch in batches(slices):
            rows = zip(*map(_cells, self._columns.of(batch)), strict=True)
            yield [self._template % row for row in rows]


def _cells(column: Column) -> Sequence[Any]:
    """Return cells whose `str` is their JSON."""
    if isinstance(column, Sequence) or column.dtype == bool:
        return [json_text(cell) for cell in (column if isinstance(column, Sequence) else column.tolist())]
    cells: list[Any] = column.tolist()
    return [cell if math.isfinite(cell) else "null" for cell in cells]


class JsonLinesWriter(Writer):
    """An object a line; where there are several inputs its first key is `input`."""

    def begin(self) -> None:
        self._objects = JsonObjects(self.run, self.fields, name_input=self.several)

    def put(self, slices: Slices) -> None:
        for batch in self._objects.of(slices):
            self.stream.write("\n".join([*batch, ""]).encode())


class JsonWriter(Writer):
    """One document, with an object for each of several inputs.

    `shape` and `summary` come last, since only the end of a stream tells them.
    """

    _inputs, _open = 0, False

    def begin(self) -> None:
        run = self.run
        self._objects = JsonObjects(run, self.fields)
        self._leave()
        if self.several:
            self._put(",\n" if self._inputs else '{"inputs": [\n')
        self._inputs, self._open = self._inputs + 1, True
        head = {"input": run.input, "dtype": run.dtype, "axis": _one(run.axes), "beta": run.beta, "kind": run.kind}
        head |= {"coords": run.coords, **({"period": _one(run.periods)} if run.periods else {})}
        head |= {"window": run.window, "device": run.device, **({"wrt": run.wrt} if run.wrt is not None else {})}
        items = "".join(f'"{name}": {json_text(value)},\n ' for name, value in head.items())
        self._put("{" + items + '"slices": [')

    def put(self, slices: Slices) -> None:
        before = ",\n  " if self.count else "\n  "
        for batch in self._objects.of(slices):
            self._put(before + ",\n  ".join(batch))
            before = ",\n  "

    def finish(self, summary: Summary, shape: tuple[int, ...]) -> None:
        end, self._open = "\n " if self.count else "", False
        self._put(f'{end}],\n "shape": {json_text([*map(int, shape)])},\n "summary": {json_text(summary.as_dict())}}}')

    def _leave(self) -> None:
        """End the object of an input that failed, so that a document in a pipe can be read."""
        if self._open:
            self._put("]}")
        self._open = False

    def close(self, total: Summary) -> None:
        self._leave()
        self._put(f'],\n "summary": {json_text(total.as_dict())}}}\n' if self.several else "\n")

    def _put(self, text: str) -> None:
        self.stream.write(text.encode())


def _one(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else values
