"""The first slices of a run as a table for people, the same in a terminal and in a pipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import ClassVar, TextIO

import numpy as np

from softargmax_cli.reduction.result import MULTIMODAL, Run, Slices, Summary
from softargmax_cli.report.layout import Column, coordinates, fixed, joined, painted, short
from softargmax_cli.report.summary import summary_line
from softargmax_cli.report.text import Signs, legible, signs_of

TABLE_FIELDS = ("hard", "soft", "offset", "peak", "second", "spread", "ties", "agree")
"""The fields that the table shows, or marks slices by."""


def put_rows(slices: Slices, run: Run, file: TextIO, *, color: bool) -> None:
    """Print the names of the columns, a rule, and a row for each slice to `file`."""
    signs = signs_of(file)
    put_columns(_columns(slices, run, signs, partial(legible, stream=file)), _styles(slices), file, color=color)


class Table:
    """Collects the first `rows` slices of a run, 0 for all; then prints them."""

    put_rows: ClassVar[Callable[..., None]] = staticmethod(put_rows)
    line_of: ClassVar[Callable[..., str]] = staticmethod(summary_line)

    def __init__(self, rows: int = 20) -> None:
        self._rows = rows
        self._parts: list[Slices] = []
        self._count = 0

    def add(self, slices: Slices) -> None:
        """Take the next slices; beyond the last row this costs nothing."""
        wanted = len(slices) if self._rows == 0 else min(len(slices), self._rows - self._count)
        if wanted > 0:
            self._parts.append(type(slices).joined([slices.part(0, wanted)]))  # a copy, so that the rest can go
            self._count += wanted

    def render(self, run: Run, shape: tuple[int, ...], summary: Summary, file: TextIO, *, color: bool) -> None:
        """Print heading, rows and summary to `file`; `shape` is the input's.

        Colour adds to the text and changes nothing in it.
        """
        signs = signs_of(file)
        put_heading(run, shape, file, color=color)
        if self._count:
            self.put_rows(type(self._parts[0]).joined(self._parts), run, file, color=color)
        if summary.slices > self._count:
            more = summary.slices - self._count
            _put(file, f"{signs.more} and {more:,} more slice{'' if more == 1 else 's'}", "dim" if color else "")
        if summary.slices:
            _put(file, "")
        _put(file, self.line_of(summary, run, signs=signs))


def put_heading(run: Run, shape: tuple[int, ...], file: TextIO, *, color: bool) -> None:
    """Print what was reduced, and how, to `file`; below it an empty line."""
    signs = signs_of(file)
    _put(file, _heading(run, shape, signs, partial(legible, stream=file)), "bold" if color else "")
    settings = _settings(run, signs)
    if settings:
        _put(file, signs.dot.join(settings))
    _put(file, "")


def put_columns(columns: Iterable[Column], styles: Iterable[str], file: TextIO, *, color: bool) -> None:
    """Print columns side by side to `file`, each line, from that of the names on, in its style."""
    for line, style in zip(joined(columns, signs_of(file).rule), styles, strict=True):
        _put(file, line, style if color else "")


def _put(file: TextIO, line: str, style: str = "") -> None:
    file.write((painted(line, style) if style else line) + "\n")


def _heading(run: Run, shape: tuple[int, ...], signs: Signs, show: Callable[[str], str]) -> str:
    size = signs.times.join(map(str, shape))
    axes = f"{'axis' if len(run.axes) == 1 else 'axes'} {', '.join(map(str, run.axes))}"
    parts = [show(run.input), f"{show(run.dtype)} {size}", axes]
    if run.beta is not None:
        parts.append(f"{signs.beta} {run.beta:.10g} (temperature {1 / run.beta:.6g})")
    return signs.dot.join([*parts, show(run.device)])


def _settings(run: Run, signs: Signs) -> list[str]:
    """In words what is not as usual; one line of an ordinary width holds all of it."""
    words = {
        "cost": "cost: soft argmin",
        "probs": "probs: weights as they are",
        "corners": f"corners: {signs.minus}1 to 1 at the end indices",
        "centers": f"centers: (2i + 1)/n {signs.minus} 1",
        "values": "values: coordinates as given",
    }
    settings = [words[name] for name in (run.kind, run.coords) if name in words]
    if run.window is not None:
        settings.append(f"window {signs.within}{run.window}")
    if run.wrt is not None:
        by = signs.beta if run.wrt == "beta" else "x"
        settings.append(f"gradient: {signs.partial}soft/{signs.partial}{by}")
    return settings


def numbers_of(slices: Slices, field: str, signs: Signs, spell: Callable[[float], str] | None = None) -> Column:
    """A field of numbers, each as `spell` writes it, or all of an axis alike."""
    axes = []
    for values in np.atleast_2d(slices.column(field)).tolist():
        spelt = spell or fixed(values, 7)  # axes may have units of their own
        axes.append([signs.none if math.isnan(number) else spelt(number) for number in values])
    return Column(field, coordinates(axes))


def places_of(slices: Slices, run: Run, signs: Signs, show: Callable[[str], str]) -> Iterator[Column]:
    """Which slices they are, and where their maximum is."""
    if run.kept:
        yield Column("slice", coordinates([list(map(str, along.tolist())) for along in slices.positions(run.kept)]))
    if slices.ids is not None:
        yield Column("id", [show(name) for name in slices.ids], "left")
    hard = [[signs.none if index < 0 else str(index) for index in along] for along in slices.hard.tolist()]
    yield Column("hard", coordinates(hard))
    if run.labels is not None:
        yield Column("label", [show(run.label(index) or "") for index in slices.hard[0].tolist()], "left")


def _columns(slices: Slices, run: Run, signs: Signs, show: Callable[[str], str]) -> Iterator[Column]:
    numbers = partial(numbers_of, slices, signs=signs)
    yield from places_of(slices, run, signs, show)
    yield numbers("soft")
    yield numbers("offset", spell=short)
    yield numbers("peak", spell="{:.4f}".format)
    if slices.second is not None:
        yield numbers("second", spell="{:.4f}".format)
    if slices.spread is not None:
        yield numbers("spread", spell=short)
    notes = list(_notes(slices, signs))
    if any(notes):
        yield Column("", notes, "left")


def _notes(slices: Slices, signs: Signs) -> Iterator[str]:
    """A mark and a word for each slice that wants a second look."""
    ties = [0] * len(slices) if slices.ties is None else slices.ties.tolist()
    states = zip(_undefined(slices), slices.agree.tolist(), _multimodal(slices), ties, strict=True)
    for undefined, agree, multimodal, tied in states:
        if undefined:
            yield f"{signs.undefined} undefined"
            continue
        notes = [] if agree else [f"{signs.differs} disagrees"]
        if multimodal:
            notes.append(f"{signs.modes} two modes")
        if tied > 1:
            notes.append(f"= {tied:,} tied")
        yield "  ".join(notes)


def _styles(slices: Slices) -> Iterator[str]:
    """Of the names of the columns, the rule below them, and every row."""
    yield from ("bold", "dim")
    for undefined, agree, multimodal in zip(
        _undefined(slices), slices.agree.tolist(), _multimodal(slices), strict=True
    ):
        yield "yellow" if undefined else "bold red" if not agree else "magenta" if multimodal else ""


def _undefined(slices: Slices) -> list[bool]:
    undefined: list[bool] = np.isnan(slices.soft[0]).tolist()
    return undefined


def _multimodal(slices: Slices) -> list[bool]:
    if slices.second is None:
        return [False] * len(slices)
    return [second >= MULTIMODAL for second in slices.second.tolist()]
