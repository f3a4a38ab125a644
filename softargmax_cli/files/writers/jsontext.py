"""json and jsonl: an object a slice, valid JSON whatever the numbers and names are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from softargmax_cli.files.writers.base import Sink
from softargmax_cli.files.writers.rows import Rows, Spelling
from softargmax_cli.files.writers.target import Target
from softargmax_cli.reduction.result import Run, Slices, Summary

# What json.dumps leaves bare and a terminal would obey, or UTF-8 cannot hold; escaped, it is the same text to a parser.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def json_string(text: str) -> str:
    """`text` as a JSON string in which nothing controls a terminal."""
    return escaped(json.dumps(text, ensure_ascii=False))


def escaped(document: str) -> str:
    """A JSON document in which nothing controls a terminal."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def json_object(names: dict[str, Any]) -> str:
    """A dictionary as JSON on one line; no number in it may be infinite or NaN."""
    return escaped(json.dumps(names, ensure_ascii=False, allow_nan=False))


def json_value(value: float | int | None) -> str:
    """A number as JSON; null for what is no finite number."""
    return "null" if value is None or not math.isfinite(value) else json.dumps(value)


def _list_of(values: Sequence[str]) -> str:
    return f"[{', '.join(values)}]"


_SPELLING = Spelling(false="false", true="true", missing="null", not_finite="null", text=json_string)


class JsonObjects:
    """Slices as JSON objects, made by filling a template; `head` stands before the first key."""

    def __init__(self, run: Run, fields: Sequence[str], head: str = "") -> None:
        self._rows = Rows(run, fields, _SPELLING)
        cells = [f'"index": {_list_of(["%s"] * len(run.kept))}']
        for name, width in self._rows.widths.items():
            cells.append(f'"{name}": %s' if width == 1 else f'"{name}": {_list_of(["%s"] * width)}')
        self._template = "{" + head.replace("%", "%%") + ", ".join(cells) + "}"

    def of(self, slices: Slices, before: str = "", after: str = "") -> Iterator[list[str]]:
        """The objects in batches, each between two texts."""
        template = before.replace("%", "%%") + self._template + after.replace("%", "%%")
        for batch in self._rows.of(slices):
            yield [template % row for row in batch]


class _ObjectSink(Sink):
    """What json and jsonl share: a slice as one line."""

    def __init__(self, target: Target, run: Run, fields: Sequence[str], head: str = "") -> None:
        super().__init__(target, run)
        self._objects = JsonObjects(run, fields, head)

    def _lines(self, slices: Slices, before: str, after: str) -> None:
        for batch in self._objects.of(slices, before, after):
            self._put("".join(batch))

    def _put(self, text: str) -> None:
        self._target.stream.write(text.encode())


class JsonLinesSink(_ObjectSink):
    """An object a line; with `name_inputs` its first key is `input`."""

    def __init__(self, target: Target, run: Run, fields: Sequence[str], *, name_inputs: bool) -> None:
        super().__init__(target, run, fields, f'"input": {json_string(run.input)}, ' if name_inputs else "")

    def _write(self, slices: Slices) -> None:
        self._lines(slices, "", "\n")

    def _finish(self, summary: Summary, shape: tuple[int, ...]) -> None:
        pass


class JsonSink(_ObjectSink):
    """One document; `shape` and `summary` come last, since only the end of a stream tells them."""

    def _begin(self) -> None:
        run = self._run
        head = {
            "input": json_string(run.input),
            "dtype": json_string(run.dtype),
            "axis": json_value(run.axes[0]) if len(run.axes) == 1 else _list_of([json_value(k) for k in run.axes]),
            "beta": json_value(run.beta),
            "kind": json_string(run.kind),
            "coords": json_string(run.coords),
            "window": json_value(run.window),
            "device": json_string(run.device),
        }
        if run.wrt is not None:
            head["wrt"] = json_string(run.wrt)
        self._put("{" + "".join(f'"{name}": {value},\n ' for name, value in head.items()) + '"slices": [')

    def _write(self, slices: Slices) -> None:
        if self._count == 0 and len(slices):
            self._lines(slices.part(0, 1), "\n  ", "")
            slices = slices.part(1, len(slices))
        self._lines(slices, ",\n  ", "")

    def _finish(self, summary: Summary, shape: tuple[int, ...]) -> None:
        numbers = ", ".join(f'"{name}": {json_value(value)}' for name, value in summary.as_dict().items())
        end = "\n " if self._count else ""
        self._put(f'{end}],\n "shape": {json.dumps([int(n) for n in shape])},\n "summary": {{{numbers}}}}}\n')
