"""What a run has answered, from any format, as the arrays that the oracle is compared with."""

from __future__ import annotations

import csv
import io
import json
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from command import Done
from oracle import FIELDS, PER_AXIS, Answer, assert_answers

TEXTUAL = {"csv": ",", "tsv": "\t"}
DTYPES = {"hard": "i8", "ties": "i8", "agree": "?", "multimodal": "?"}


def assert_answered(
    done: Done, format: str, want: Answer, *, single: bool = False, scale: float | list[float] = 1.0
) -> list[list[int]]:
    """Exit code 0, nothing said, and every field of a format right; the positions of the slices, where it has them."""
    assert (done.code, done.err) == (0, "")
    return assert_holds(done.raw, format, want, single=single, scale=scale)


def assert_holds(
    data: bytes, format: str, want: Answer, *, single: bool = False, scale: float | list[float] = 1.0
) -> list[list[int]]:
    """The same of what a file holds."""
    axes, slices = len(want.hard), want.peak.size
    if format == "npy":
        soft = np.load(io.BytesIO(data), allow_pickle=False)
        assert soft.shape == (*want.peak.shape, *([axes] if axes > 1 else []))
        bound = (1e-6 if single else 1e-11) * (np.reshape(scale, (-1, 1)) + want.flat().spread)
        assert (abs(soft.reshape(slices, axes).T - want.flat().soft) <= bound + 4e-16 * abs(want.flat().soft)).all()
        return []
    if format == "npz":
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files if name != "id"}
        assert list(found) == list(FIELDS)
        for name, array in found.items():
            several = [axes] if name in PER_AXIS and axes > 1 else []
            assert array.shape == (*want.peak.shape, *several)
            found[name] = array.reshape(slices, axes).T if name in PER_AXIS else array.reshape(slices)
        positions: list[list[int]] = []
    elif format in TEXTUAL:
        found, positions = _of_text(data.decode(), TEXTUAL[format], axes)
    else:
        rows = json.loads(data)["slices"] if format == "json" else [json.loads(line) for line in data.splitlines()]
        found, positions = _of_objects(rows, axes)
    assert_answers(SimpleNamespace(**found), want, single=single, scale=scale)
    return positions


def _of_text(text: str, delimiter: str, axes: int) -> tuple[dict[str, Any], list[list[int]]]:
    header, *rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    names = [name if axes == 1 or name not in PER_AXIS else f"{name}_{k}" for name in FIELDS for k in range(axes)]
    names = list(dict.fromkeys(names))
    assert [name for name in header if name not in ("id", "label") and not name.startswith("index")] == names
    columns = {name: [row[k] for row in rows] for k, name in enumerate(header)}
    found = {
        name: np.array([_numbers(name, columns[column]) for column in _columns(header, name)])
        if name in PER_AXIS
        else _numbers(name, columns[name])
        for name in FIELDS
    }
    positions = [columns[name] for name in header if re.fullmatch(r"index(_\d+)?", name)]
    return found, [list(map(int, position)) for position in zip(*positions, strict=True)]


def _columns(header: list[str], name: str) -> list[str]:
    return [column for column in header if re.fullmatch(rf"{name}(_\d+)?", column)]


def _numbers(name: str, cells: list[str]) -> npt.NDArray[Any]:
    if name in ("agree", "multimodal"):
        assert set(cells) <= {"true", "false"}
        return np.array([cell == "true" for cell in cells])
    return np.array([int(cell) if name in DTYPES else float(cell) for cell in cells], DTYPES.get(name, "f8"))


def _of_objects(rows: list[dict[str, Any]], axes: int) -> tuple[dict[str, Any], list[list[int]]]:
    found: dict[str, Any] = {}
    for name in FIELDS:
        values = [row[name] for row in rows]
        if name in PER_AXIS and axes > 1:
            assert all(isinstance(value, list) and len(value) == axes for value in values)
            values = [[np.nan if number is None else number for number in value] for value in values]
        else:
            values = [np.nan if value is None else value for value in values]
        array = np.array(values, DTYPES.get(name, "f8"))
        found[name] = array.reshape(len(rows), axes).T if name in PER_AXIS else array
    return found, [row["index"] for row in rows]


def table_cells(done: Done) -> list[dict[str, str]]:
    """The rows of a table by the names of their columns; what stands behind the last column is "notes"."""
    lines = done.lines
    at = next(k for k, line in enumerate(lines) if line and set(line) <= set("─ "))
    spans = [match.span() for match in re.finditer("─+", lines[at])]
    names = [lines[at - 1][a:b].strip() for a, b in spans]
    body = lines[at + 1 : lines.index("", at)]
    rows = [line for line in body if not line.startswith("… ")]
    cells = [{name: line[a:b].strip() for name, (a, b) in zip(names, spans, strict=True)} for line in rows]
    return [{**row, "notes": line[spans[-1][1] :].strip()} for row, line in zip(cells, rows, strict=True)]


def numbers(cell: str) -> list[float]:
    """The numbers of a cell of several axes."""
    return [float(part) for part in cell.split(",")]
