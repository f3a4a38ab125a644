"""Results stored earlier, and what is true, read like any input, to compare with the results of a run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import groupby, islice

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, OptionError, naming, parameter, spelled
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import Replay
from softargmax_cli.files.source import Source
from softargmax_cli.files.streams import refusals
from softargmax_cli.files.tempcopy import copied, in_order
from softargmax_cli.reduction.readable import Buffer

Float = npt.NDArray[np.float64]
Ids = Sequence[str] | None
Rows = tuple[Float, Ids]
"""Numbers of some slices, (slices, axes), and what names these."""

BATCH = 1 << 16
"""Numbers read at a time."""
MEMORY = 16 << 20
"""Bytes that copying may take, where the file has another order than the slices."""
AGAIN = "make it with: softargmax run INPUT -o FILE"
AXIS = f"is {parameter('axis')} the same as then?"
TRUE = "give a number for each slice and axis, such as an index from 0: an .npy, or a CSV with a column for each axis"
ONE = "is of one input, and there are several"
SEVERAL = "name a folder with a file for each, named like it, or a table with a column input"
LETTERS = "zyx"
"""Titles of the columns of a truth, whose last letter is that of the last axis."""


class Expected:
    """A stored result, read in the order of the slices, a few at a time. Raises InputError where it does not fit."""

    def __init__(self, name: str, axes: int, rows: Iterator[Rows], note: str = "", input: str | None = None) -> None:
        """input: that whose rows are wanted, of a table that names its inputs."""
        self._name, self._rows, self.note, self._input = name, rows, note, input
        self._rest: Float = np.zeros((0, axes))
        self._ids: list[str] = []
        self._count = 0

    def __call__(self, slices: int, ids: Ids = None) -> Float:
        """Read what is expected of the next slices, (axes, slices), whose ids must be those of the result, if any."""
        parts = [self._rest]
        while sum(map(len, parts)) < slices:
            part = self._next()
            if part is None:
                held = self._count + sum(map(len, parts))
                of = "" if self._input is None else f" of {self._input}"
                what = f"holds {held:,} slice{'' if held == 1 else 's'}{of}, the input has more"
                raise InputError(what, "compare with a result of the same input", self._name)
            parts.append(part[0])
            self._ids += part[1] or ()
        rows: Float = np.concatenate(parts)
        for k, (mine, theirs) in enumerate(zip(ids or (), self._ids, strict=False)):
            if mine != theirs:
                what = f"slice {self._count + k:,} is {theirs!r} there and {mine!r} in the input"
                raise InputError(what, "compare results of the same rows, in the same order", self._name)
        del self._ids[:slices]
        self._rest, self._count = rows[slices:], self._count + slices
        taken: Float = rows[:slices].T
        return taken

    def end(self) -> None:
        """Make sure that nothing is left."""
        left = len(self._rest) > 0
        while (part := self._next()) is not None:
            left = left or len(part[0]) > 0
        if left:
            what = f"holds more slices than the input, which has {self._count:,}"
            raise InputError(what, "compare with a result of the same input", self._name)

    def by_input(self) -> dict[str, Float]:
        """Read all that there is of a table that names its inputs: the numbers of each, (slices, axes)."""
        parts: dict[str, list[Float]] = {}
        for numbers, names in self._rows:
            start = 0
            for name, run in groupby(map(spelled, names or ())):
                stop = start + sum(1 for _ in run)
                parts.setdefault(name, []).append(numbers[start:stop])
                start = stop
        return {name: np.concatenate(some) for name, some in parts.items()}

    def _next(self) -> Rows | None:
        """Read some rows more, of the input that is wanted."""
        part = next(self._rows, None)
        if part is None or part[1] is None or self._input is None:
            return part
        return part[0][[spelled(name) == self._input for name in part[1]]], None


@contextmanager
def expected(
    path: str, kept: tuple[int | None, ...], axes: int, input: str | None = None, *, by_input: bool = False
) -> Iterator[Expected]:
    """Open a stored result of slices shaped `kept`, with a number for each of so many axes.

    input: the input whose rows are wanted, where a column `input` says which each is of; by_input: there must be one.

    An array, or `soft` of several, has shape `kept`, with one more last dimension where axes are several. A table, or
    JSON, has `soft` (`soft_0`, `soft_1`, … where axes are several) as `softargmax run -o` writes it; text may also
    hold nothing but these numbers.
    """
    with ExitStack() as files:
        if _is_json(path):
            yield _expected_json(path, axes, input, by_input=by_input)
            return
        replay = files.enter_context(Replay(path, Reading(judged=False)))
        source = files.enter_context(closing(_opened(replay, path, axes, AGAIN)))
        if named := _names_inputs(source, path, input, by_input=by_input):
            source.close()
            source = files.enter_context(closing(replay.open(Reading(id_column="input", judged=False))))
        with naming(source.name):
            columns = _result_columns(source, axes) if _is_table(source) else _shaped(source, kept, axes, AXIS)
        yield _expected(files, source, columns, axes, input=input if named else None)


@contextmanager
def truth(
    path: str,
    kept: tuple[int | None, ...],
    axes: Sequence[int],
    id_column: str | int | None = None,
    input: str | None = None,
    *,
    by_input: bool = False,
) -> Iterator[Expected]:
    """Open what is true of slices shaped `kept`: a number for each of the reduced axes, NaN where it is not known.

    It may be all that `expected` reads, and a table with a column of numbers for each of `axes`, in their order, or
    titled y and x (z, y and x) in any. Its rows are named by a column titled `id`, or `id_column` as in the input.
    input, by_input: as there.
    """
    with ExitStack() as files:
        if _is_json(path):
            yield _expected_json(path, len(axes), input, by_input=by_input)
            return
        replay = files.enter_context(Replay(path, Reading(judged=False)))
        source = files.enter_context(closing(_opened(replay, path, len(axes), TRUE)))
        by = _names_inputs(source, path, input, by_input=by_input)
        titles = ["input"] if by else [title for title in (id_column, "id") if title in (source.facts.header or ())]
        if titles and (by or not source.has_ids):
            source.close()
            source = files.enter_context(closing(replay.open(Reading(id_column=str(titles[0]), judged=False))))
        note = ""
        with naming(source.name):
            if _is_table(source):
                columns, note = _true_columns(source, axes)
            else:
                columns = _shaped(source, kept, len(axes), TRUE)
        yield _expected(files, source, columns, len(axes), note, input if by else None)


def _expected(
    files: ExitStack, source: Source, columns: Sequence[int], axes: int, note: str = "", input: str | None = None
) -> Expected:
    """Read a source from its beginning; `files` closes it."""
    with naming(source.name):
        if source.order == "F" and len(source.shape) > 1:  # of a copy every box is as good to read
            source = files.enter_context(closing(copied(source, MEMORY)))
    return Expected(source.name, axes, _rows(source, columns, axes), note, input)


def _names_inputs(source: Source, path: str, input: str | None, *, by_input: bool) -> bool:
    """Tell whether a table says which input each row is of. Raises InputError where it must and does not."""
    named = input is not None and "input" in (source.facts.header or ())
    if by_input and not named:
        raise InputError(ONE, SEVERAL, path)
    return named


def _titles(axes: int) -> list[str]:
    return ["soft"] if axes == 1 else [f"soft_{k}" for k in range(axes)]


def _opened(replay: Replay, path: str, axes: int, remedy: str) -> Source:
    """Open the array or the columns that are named soft, else all that there is."""
    try:
        try:
            return replay.open(Reading(key="soft", columns=",".join(_titles(axes)), judged=False))
        except OptionError:  # nothing has that name
            return replay.open()
    except OptionError as error:
        raise InputError("none of its arrays is named soft", remedy, path) from error
    except InputError as error:
        error.remedy, error.file = remedy, "<stdin>" if path == "-" else path
        raise


def _is_table(source: Source) -> bool:
    return source.labels is not None or source.shape[:1] == (None,)


def _result_columns(source: Source, axes: int) -> list[int]:
    """Return the columns of a table that hold `soft`, or all. Raises InputError where there are others only."""
    titles = _titles(axes)
    labels = titles if source.labels is None and source.shape[1] == axes else source.labels or ()
    if not set(titles) <= set(labels):
        raise InputError(f"no column {' or '.join(titles)}", AGAIN)
    return [list(labels).index(title) for title in titles]


def _true_columns(source: Source, axes: Sequence[int]) -> tuple[list[int], str]:
    """Return the column of a table for each of the axes, and a note where titles tell them apart."""
    titles = _titles(len(axes))
    labels = [label.strip().lower() for label in source.labels or ()]
    if set(titles) <= set(labels):
        return [labels.index(title) for title in titles], ""
    columns, width = list(range(len(axes))), source.shape[1]
    letters = dict(zip(sorted(axes), LETTERS[-len(axes) :], strict=False))
    if 1 < len(axes) == len(letters) and set(letters.values()) <= set(labels):
        named = [labels.index(letters[axis]) for axis in axes]
        words = ", ".join(f"{letters[axis]} of axis {axis}" for axis in axes)
        return named, f"columns are matched by their titles: {words}" if named != columns or width != len(axes) else ""
    if width != len(axes):
        held = f"{width} columns of numbers{': ' if labels else ''}{', '.join((source.labels or ())[:8])}"
        known = [letters[axis] for axis in axes] if 1 < len(axes) == len(letters) else titles
        remedy = f"keep a column for each axis, in their order, or title {'it' if len(axes) == 1 else 'them'}"
        raise InputError(f"{held}, for {len(axes)} ax{'i' if len(axes) == 1 else 'e'}s", f"{remedy} {', '.join(known)}")
    return columns, ""


def _shaped(source: Source, kept: tuple[int | None, ...], axes: int, remedy: str) -> list[int]:
    """Raise InputError for an array of another shape than that of the results; no columns are taken from it."""
    wanted = kept if axes == 1 else (*kept, axes)
    if len(source.shape) != len(wanted) or any(n not in (None, m) for n, m in zip(wanted, source.shape, strict=True)):
        what = f"shape {source.shape} is not that of the result, {str(wanted).replace('None', '?')}"
        raise InputError(what, remedy)
    return []


def _rows(source: Source, columns: Sequence[int], axes: int) -> Iterator[Rows]:
    """Read an array or a table from its beginning, (slices, axes) at a time."""
    buffer = Buffer()
    for block in in_order(source, BATCH, "C"):
        with naming(source.name), refusals(source.name):
            pending = source.fetch(block)
            if pending is None:
                return
            loaded = pending.load(buffer)
            values = loaded.values[:, columns] if columns else loaded.values
            yield np.array(values, np.float64).reshape(-1, axes), loaded.ids


def _is_json(path: str) -> bool:
    with suppress(OSError, ValueError):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                return file.read(1) == b"{"
    return False


def _expected_json(path: str, axes: int, input: str | None, *, by_input: bool) -> Expected:
    """Open json or jsonl, whose slices say their input where there are several."""
    with refusals(path), open(path, encoding="utf-8") as file:
        first = next(_objects(file), ("{}", None))
    named = input is not None and (first[1] is not None or '"input": ' in first[0])
    if by_input and not named:
        raise InputError(ONE, SEVERAL, path)
    return Expected(path, axes, _json_rows(path, axes, by_input=named), input=input if named else None)


def _json_rows(path: str, axes: int, *, by_input: bool) -> Iterator[Rows]:
    """Read the slices of json or jsonl, each on a line of its own, (slices, axes) at a time, with what names them."""
    with refusals(path), open(path, encoding="utf-8") as file:
        objects = _objects(file)
        while some := list(islice(objects, BATCH)):
            try:  # null becomes NaN
                read = [json.loads(text) for text, _ in some]
                numbers = np.array([each["soft"] for each in read], np.float64).reshape(len(some), axes)
                names: list[str] | None = None
                if by_input:
                    names = [str(each.get("input", held)) for each, (_, held) in zip(read, some, strict=True)]
                elif "id" in read[0]:
                    names = [each["id"] for each in read]
                yield numbers, names
            except (ValueError, KeyError, TypeError, AttributeError):
                raise InputError(f"an object without {axes} numbers under soft", AGAIN, path) from None


def _objects(file: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Yield the object of each slice, and the input that a document of several has named last."""
    several, held = False, None
    for line in file:
        text = line.strip(" ,\n")
        several = several or text.startswith('{"inputs": [')
        if text.startswith("{") and text.endswith("}"):
            yield text, held
        elif several and text.startswith('{"input": '):
            held = json.loads(f"{text}}}")["input"]
