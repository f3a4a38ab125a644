"""Stored results, or true coordinates, read like any input, to compare with the results of a run."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from itertools import groupby, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, InputMissingError, OptionError, counted, naming, parameter, spelled
from softargmax_cli.files.members import SeveralArraysError
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import Replay
from softargmax_cli.files.source import Source
from softargmax_cli.files.tempcopy import copied, in_order
from softargmax_cli.reduction.readable import Buffer

Float = npt.NDArray[np.float64]
Ids = Sequence[str] | None
Places = npt.NDArray[Any] | None
Rows = tuple[Float, Ids, Places]
"""Numbers of some slices, (slices, axes), the names of the slices, and their row-major numbers, as far as given."""

READ_AT_ONCE = 1 << 16
"""Numbers read at a time."""
MEMORY = 16 << 20
"""Bytes that copying may take, if the order of the file is not that of the slices."""
FIT = f"give a number for each slice and axis, as softargmax run INPUT -o FILE does; is {parameter('axis')} the same?"
SAME = f"compare with a result of the same input, without {parameter('worst')} and {parameter('only')}"
LETTERS = "zyx"
"""Titles of the columns of a truth; the last one is that of the last axis."""


class Expected:
    """A stored result, read in the order of the slices, a few at a time. Raises InputError if it does not fit."""

    def __init__(self, name: str, axes: int, rows: Iterator[Rows], *, named: bool = False, note: str = "") -> None:
        """named: True if the names of rows are those of their inputs; note: how the columns were chosen."""
        self.name, self.named, self.note = name, named, note
        self._rows, self._count = rows, 0
        self._rest: Float = np.zeros((0, axes))
        self._ids: list[str] = []

    def __call__(self, slices: int, ids: Ids = None) -> Float:
        """Read the numbers expected of the next slices, (axes, slices); the ids must match, if both have any."""
        parts = [self._rest]
        while sum(map(len, parts)) < slices:
            numbers, names, places = next(self._rows, (None, None, None))
            held = self._count + sum(map(len, parts))
            if numbers is None:
                raise InputError(f"holds {counted(held, 'slice')}, the input has more", SAME, self.name)
            self._check_order(places, held)
            parts.append(numbers)
            self._ids += names or ()
        for k, (mine, theirs) in enumerate(zip(ids or (), self._ids, strict=False)):
            if mine != theirs:
                what = f"slice {self._count + k:,} is named {theirs!r} in the file and {mine!r} in the input"
                raise InputError(what, "compare results of the same rows, in the same order", self.name)
        rows: Float = np.concatenate(parts)
        taken: Float = rows[:slices].T
        self._rest, self._ids, self._count = rows[slices:], self._ids[slices:], self._count + slices
        return taken

    def end(self) -> None:
        """Raise InputError if anything is left."""
        if len(self._rest) or any(len(numbers) for numbers, _, _ in self._rows):
            raise InputError(f"holds more slices than the input, which has {self._count:,}", SAME, self.name)

    def by_input(self) -> dict[str, Float]:
        """Read all rows, which are `named`: the numbers of each input, (slices, axes)."""
        parts: dict[str, list[Float]] = {}
        for numbers, names, places in self._rows:
            start = 0
            for name, run in groupby(map(spelled, names or ())):
                stop, known = start + sum(1 for _ in run), parts.setdefault(name, [])
                self._check_order(None if places is None else places[start:stop], sum(map(len, known)))
                known.append(numbers[start:stop])
                start = stop
        return {name: np.concatenate(some) for name, some in parts.items()}

    def _check_order(self, places: Places, first: int) -> None:
        """Raise InputError unless slices with numbers are those from `first` on."""
        if places is None:
            return
        wrong = np.flatnonzero(places != np.arange(first, first + len(places)))
        if len(wrong):
            what = f"slice {places[wrong[0]]:.0f} comes where slice {first + wrong[0]:,} is expected"
            raise InputError(what, f"sort its rows by index; {SAME}", self.name)


@contextmanager
def expected(
    path: str,
    kept: tuple[int | None, ...],
    axes: Sequence[int],
    id_column: str | int | None = None,
) -> Iterator[Expected]:
    """Open a stored result of slices shaped `kept`, or their true coordinates, with NaN for unknown ones.

    There is a number for each of the reduced `axes`. An array, or `soft` of several, has shape `kept`, and one more
    last dimension if several axes are reduced. A table has columns `soft` (`soft_0`, `soft_1`, …), columns titled y and
    x (z, y and x), or a column of numbers for each of `axes`, in their order. JSON is as `softargmax run` writes it.
    Rows are named by a column `input` if there is one, else by `id_column` as in the input, or by one titled `id`.
    """
    with ExitStack() as files:
        if _is_json(path):
            named = False
            with suppress(ValueError):  # bad JSON is reported when it is read
                named = "input" in next(_objects(path), {})
            strides = _strides(kept, named=named)
            rows = _json_rows(path, len(axes), "input" if named else "id", strides)
            yield Expected(path, len(axes), rows, named=named)
            return
        replay = files.enter_context(Replay(path, Reading(strict=False)))
        indices = _numbered("index", len(kept))
        source = files.enter_context(
            closing(_opened(replay, _numbered("soft", len(axes)), indices, ("input", id_column, "id")))
        )
        named = source.facts.id_column == "input"
        strides = _strides(kept, named=named)
        with naming(source.name):
            table = source.labels is not None or source.shape[:1] == (None,)
            columns, places, note = _columns(source, axes, indices) if table else ([], [], "")
            want = kept if len(axes) == 1 else (*kept, len(axes))
            lengths = zip(want, source.shape, strict=False)
            if not table and (len(want) != len(source.shape) or any(n not in (None, m) for n, m in lengths)):
                what = f"shape {source.shape} is not that of the result, {str(want).replace('None', '?')}"
                raise InputError(what, FIT)
            if source.order == "F" and len(source.shape) > 1:  # a copy has every box at hand
                source = files.enter_context(closing(copied(source, MEMORY)))
        rows = _rows(source, columns, len(axes), places, strides)
        yield Expected(source.name, len(axes), rows, named=named, note=note)


def _numbered(name: str, count: int) -> list[str]:
    """Name the columns of a field with `count` numbers."""
    return [name] * count if count < 2 else [f"{name}_{k}" for k in range(count)]


def _strides(kept: Sequence[int | None], *, named: bool) -> npt.NDArray[np.int64] | None:
    """Return the factors by which an index becomes a row-major number; None if inputs may differ in them."""
    if not kept or (named and len(kept) > 1):
        return None
    return np.array([math.prod(n or 0 for n in kept[k + 1 :]) for k in range(len(kept))])


def _opened(replay: Replay, titles: Sequence[str], indices: Sequence[str], ids: Sequence[str | int | None]) -> Source:
    """Open the array or the columns named soft, else everything, with the first of `ids` that exists as names.

    Columns of `indices` are opened as well, if all of them exist.
    """
    held = "none of its arrays is named soft"
    for reading in (Reading(key="soft", columns=",".join(titles), strict=False), Reading(strict=False)):
        try:
            source = replay.open(reading)
            header = source.facts.header or ()
            title = next((title for title in ids if title in header), None)
            indexed = reading.columns is not None and bool(indices) and {*indices} <= {*header}
            if title is None and not indexed:
                return source
            source.close()
            columns = ",".join([*titles, *indices]) if indexed else reading.columns
            return replay.open(replace(reading, id_column=None if title is None else str(title), columns=columns))
        except SeveralArraysError as error:
            held = f"none is named soft of {error.what}"
        except OptionError:  # nothing has that name
            continue
        except InputError as error:
            error.file = replay.name
            if not isinstance(error, InputMissingError):
                error.remedy = FIT
            raise
    raise InputError(held, f"save the one to compare with alone, or name it soft\n{FIT}", replay.name)


def _columns(source: Source, axes: Sequence[int], indices: Sequence[str]) -> tuple[list[int], list[int], str]:
    """Return the column of each axis, by title or place, the columns of `indices` of a result, and a note."""
    titles, labels = _numbered("soft", len(axes)), [label.strip().lower() for label in source.labels or ()]
    width, places = source.shape[1], list[int]()
    letters = 1 < len(axes) <= len(LETTERS) and not set(titles) <= set(labels)
    if letters:
        titles = [LETTERS[sorted(axes).index(axis) - len(axes)] for axis in axes]
    if set(titles) <= set(labels):
        columns, how = [labels.index(title) for title in titles], "matched by their titles"
        if not letters and {*indices} <= {*labels}:  # in another table `index` may count from 1, or images
            places = [labels.index(index) for index in indices]
        letters = letters and columns != [*range(width or 0)]
    else:
        columns, how = [*range(len(axes))], "taken in their order"
        letters = letters and bool(labels)
        if width != len(axes):
            held = f"{width} columns of numbers{': ' if labels else ''}{', '.join((source.labels or ())[:8])}"
            remedy = f"keep a column for each axis, in their order, or title them {', '.join(titles)}"
            raise InputError(f"{held}, for {counted(len(axes), 'axis')}", remedy)
    if not letters:
        return columns, places, ""
    pairs = zip(columns, axes, strict=True)
    named = ", ".join(f"{labels[at]} of axis {axis}" for at, axis in pairs)
    return columns, places, f"{parameter('truth')}: columns are {how}: {named}"


def _rows(
    source: Source, columns: Sequence[int], axes: int, places: Sequence[int], strides: npt.NDArray[np.int64] | None
) -> Iterator[Rows]:
    """Yield the numbers of an array, or of some columns of a table, as (slices, axes), with names and places."""
    buffer = Buffer()
    for block in in_order(source, READ_AT_ONCE, "C"):
        pending = source.fetch(block)
        if pending is None:
            return
        loaded = pending.load(buffer)
        values = loaded.values[:, columns] if columns else loaded.values
        numbers = loaded.values[:, places] @ strides if len(places) and strides is not None else None
        yield np.array(values, np.float64).reshape(-1, axes), loaded.ids, numbers


def _is_json(path: str) -> bool:
    with suppress(OSError, ValueError):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                return file.read(1) == b"{"
    return False


def _json_rows(path: str, axes: int, name: str, strides: npt.NDArray[np.int64] | None) -> Iterator[Rows]:
    """Yield the numbers of json or jsonl as (slices, axes), with places, and with names, stored under `name`."""
    objects = _objects(path)
    try:
        while some := list(islice(objects, READ_AT_ONCE)):  # null becomes NaN
            numbers = np.array([each["soft"] for each in some], np.float64).reshape(len(some), axes)
            places = None
            if strides is not None and "index" in some[0]:
                places = np.array([each["index"] for each in some], np.float64) @ strides
            yield numbers, [each[name] for each in some] if name in some[0] else None, places
    except (ValueError, KeyError, TypeError):
        raise InputError(f"an object without {axes} numbers under soft", FIT, path) from None


def _objects(path: str) -> Iterator[Mapping[str, Any]]:
    """Yield the object of each slice, which has a line of its own; one of several inputs includes its input."""
    several, held = False, dict[str, Any]()
    with open(path, encoding="utf-8") as file:
        for line in file:
            text = line.strip(" ,\n")
            several = several or text.startswith('{"inputs": [')
            if text.startswith("{") and text.endswith("}"):
                yield {**held, **json.loads(text)}
            elif several and text.startswith('{"input": '):
                held = json.loads(f"{text}}}")
