"""Results as json and jsonl: an object a slice, valid JSON whatever the numbers and names are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from softargmax_cli.files.writers import Totals, Writer
from softargmax_cli.files.writers.text import FieldColumns
from softargmax_cli.reduction.result import Slices

# Characters that json.dumps does not escape, but that control a terminal or cannot be encoded in UTF-8.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def json_text(value: Any, indent: int | None = None) -> str:
    """Write plain Python objects as JSON: null for infinities and NaN, nothing that controls a terminal."""
    return _text(_finite(value), indent)


def _text(value: Any, indent: int | None = None) -> str:
    document = json.dumps(value, ensure_ascii=False, indent=indent)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def _finite(value: Any) -> Any:
    """Replace infinities and NaN by None."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def objects(columns: FieldColumns, slices: Slices) -> Iterator[dict[str, Any]]:
    """Yield slices as objects, with a list for a name of several columns, and None for infinities and NaN."""
    lists = [column if isinstance(column, Sequence) else column.tolist() for column in columns.of(slices)]
    for row in zip(*map(_finite, lists), strict=True):
        cells = iter(row)
        yield {
            name: next(cells) if width == 1 and name != "index" else [*islice(cells, width)]
            for name, width in columns.widths.items()
        }


class JsonLinesWriter(Writer):
    """An object a line; with several inputs its first key is `input`."""

    def begin(self) -> None:
        self._columns = FieldColumns(self.run, self.fields, name_input=self.several)

    def put(self, slices: Slices) -> None:
        for each in objects(self._columns, slices):
            self.stream.write(f"{_text(each)}\n".encode())


class JsonWriter(Writer):
    """One document, with an object for each of several inputs.

    `shape` and `summary` come last, since only the end of a stream tells them.
    """

    _inputs, _open = 0, False

    def begin(self) -> None:
        run = self.run
        self._columns = FieldColumns(run, self.fields)
        self._leave()
        if self.several:
            self._put(",\n" if self._inputs else '{"inputs": [\n')
        self._inputs, self._open = self._inputs + 1, True
        head = {"input": run.input, "dtype": run.dtype, "axis": _one(run.axes), "beta": run.beta, "kind": run.kind}
        head |= {"coords": run.coords, **({"period": _one(run.periods)} if run.periods else {})}
        head |= {"window": run.window, "device": run.device, **({"wrt": run.wrt} if run.wrt is not None else {})}
        self._put("{" + "".join(f'"{name}": {json_text(value)},\n ' for name, value in head.items()) + '"slices": [')

    def put(self, slices: Slices) -> None:
        for number, each in enumerate(objects(self._columns, slices), self.count):
            self._put(f"{',' if number else ''}\n  {_text(each)}")

    def finish(self, summary: Totals, shape: tuple[int, ...]) -> None:
        end, self._open = "\n " if self.count else "", False
        self._put(f'{end}],\n "shape": {json_text([*map(int, shape)])},\n "summary": {json_text(summary.as_dict())}}}')

    def _leave(self) -> None:
        """End the object of an input that failed, so that a document in a pipe can be read."""
        if self._open:
            self._put("]}")
        self._open = False

    def close(self, total: Totals) -> None:
        self._leave()
        self._put(f'],\n "summary": {json_text(total.as_dict())}}}\n' if self.several else "\n")

    def _put(self, text: str) -> None:
        self.stream.write(text.encode())


def _one(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else values
