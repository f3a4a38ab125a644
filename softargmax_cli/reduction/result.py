"""Finished slices, as they leave the reduction, their summary, and the facts of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.blocks import ENDLESS
from softargmax_cli.reduction.fields import BY_NAME, NAMES

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Slices:
    """A run of `m` slices, consecutive in row-major order of the kept axes unless they have `numbers`.

    Columns have shape (m,), or (a, m) for a field with a number for each of `a` reduced axes, in the order of the
    coordinates. A slice without an answer has hard −1, soft, offset and peak NaN, agree False. Only fields that were
    asked for are present.
    """

    start: int
    """The row-major number of the first slice."""
    columns: Mapping[str, Array]
    """The fields by their names (see `fields.FIELDS`)."""
    ids: Sequence[str] | None = None
    """The name of each slice, if the file names them."""
    numbers: npt.NDArray[np.int64] | None = None
    """The row-major number of each slice, if they are not consecutive."""

    def __len__(self) -> int:
        return int(self.columns["peak"].shape[-1])

    def __getattr__(self, field: str) -> Any:
        """Return the column of a field, or None if it was not computed."""
        if field not in BY_NAME:
            raise AttributeError(field)
        return self.columns.get(field)

    def column(self, field: str) -> Array:
        """Return the column of a field. Raises LookupError if it was not computed."""
        if field not in self.columns:
            raise LookupError(f"the field {field!r} was not computed")
        return self.columns[field]

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """The row-major number of each slice, (m,)."""
        return np.arange(self.start, self.start + len(self)) if self.numbers is None else self.numbers

    def part(self, start: int, stop: int) -> Slices:
        """Return slices `start` to `stop`, counted from the first one here; views, not copies."""
        ids = None if self.ids is None else self.ids[start:stop]
        numbers = None if self.numbers is None else self.numbers[start:stop]
        columns = {name: column[..., start:stop] for name, column in self.columns.items()}
        return Slices(self.start + start, columns, ids, numbers)

    def take(self, which: npt.NDArray[np.intp]) -> Slices:
        """Return some of these slices, by their places here, in any order; copies."""
        ids = None if self.ids is None else [self.ids[k] for k in which.tolist()]
        columns = {name: column[..., which] for name, column in self.columns.items()}
        return Slices(self.start, columns, ids, self.places[which])

    @classmethod
    def joined(cls, parts: Sequence[Slices]) -> Slices:
        """Join runs of slices, consecutive or all with `numbers`; a copy."""
        first = parts[0]
        columns = {name: np.concatenate([part.columns[name] for part in parts], axis=-1) for name in first.columns}
        ids = None if first.ids is None else [name for part in parts for name in part.ids or ()]
        numbers = None if first.numbers is None else np.concatenate([part.places for part in parts])
        return cls(first.start, columns, ids, numbers)

    def positions(self, kept: Sequence[int | None]) -> list[npt.NDArray[np.int64]]:
        """Return the position of each slice along each of the kept axes, one array of shape (m,) an axis.

        kept: the lengths of those axes; that of a single one may be unknown, as for the rows of a table.
        """
        return [*np.unravel_index(self.places, [ENDLESS if n is None else n for n in kept])] if kept else []


@dataclass(slots=True)
class Summary:
    """A summary of all slices; offsets in coordinate units, over all reduced axes."""

    slices: int = 0
    undefined: int = 0
    agreeing: int = 0
    max_abs_offset: float = math.nan
    total_abs_offset: float = 0.0
    offsets: int = 0
    """The number of offsets in the total: one for each slice with an answer and each reduced axis."""
    tied: int | None = None
    """The number of slices whose maximum occurs more than once; None if ties were not counted."""
    multimodal: int | None = None
    """The number of slices with a second mode; None if modes were not looked for."""
    max_norm: float = math.nan
    total_norm: float = 0.0
    vanished: int | None = None
    """The number of slices whose gradient has vanished; None if there are no gradients."""

    def add(self, slices: Slices) -> None:
        distance = np.abs(slices.offset)
        if math.isnan(distance.sum()):
            distance = distance[:, ~np.isnan(distance).any(axis=0)]
        self.slices += len(slices)
        self.undefined += len(slices) - distance.shape[1]
        self.agreeing += int(np.count_nonzero(slices.agree))
        if distance.size:
            self.max_abs_offset = float(np.fmax(self.max_abs_offset, distance.max()))
        self.total_abs_offset += float(distance.sum())
        self.offsets += distance.size
        if slices.ties is not None:
            self.tied = (self.tied or 0) + int(np.count_nonzero(slices.ties > 1))
        if slices.multimodal is not None:
            self.multimodal = (self.multimodal or 0) + int(np.count_nonzero(slices.multimodal))
        if slices.vanished is not None:
            self.max_norm = float(np.fmax.reduce(slices.norm, initial=self.max_norm))
            self.total_norm += float(np.nansum(slices.norm))
            self.vanished = (self.vanished or 0) + int(np.count_nonzero(slices.vanished))

    def join(self, other: Summary) -> None:
        counts = ("slices", "undefined", "agreeing", "offsets", "tied", "multimodal", "vanished")
        for name in (*counts, "total_abs_offset", "total_norm"):
            if (more := getattr(other, name)) is not None:
                setattr(self, name, (getattr(self, name) or 0) + more)
        for name in ("max_abs_offset", "max_norm"):
            setattr(self, name, float(np.fmax(getattr(self, name), getattr(other, name))))

    @property
    def mean_abs_offset(self) -> float:
        """The mean of |offset| over the slices that have an answer, and their axes; NaN when none has."""
        return self.total_abs_offset / self.offsets if self.offsets else math.nan

    @property
    def agreement(self) -> float:
        """The fraction of slices with an answer whose hard argmax is the index nearest to soft; NaN when none has."""
        defined = self.slices - self.undefined
        return self.agreeing / defined if defined else math.nan

    @property
    def mean_norm(self) -> float:
        """The mean norm of the gradient over the slices that have an answer; NaN when none has."""
        defined = self.slices - self.undefined
        return self.total_norm / defined if defined else math.nan

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the summary under its public names, with None for numbers that are not finite."""
        names: tuple[str, ...] = ("max_abs_offset", "mean_abs_offset", "agreement", "tied", "multimodal")
        if self.vanished is not None:
            names = ("max_norm", "mean_norm", "vanished")
        numbers = {name: getattr(self, name) for name in ("slices", *names, "undefined")}
        return {name: n if n is None or math.isfinite(n) else None for name, n in numbers.items()}


@dataclass(frozen=True, slots=True)
class Run:
    """The facts of a run that are known before its first slice: the heading of a table, the head of a document."""

    input: str
    """The input as the user named it; "<stdin>" for "-"."""
    shape: tuple[int | None, ...]
    """The input's shape; None if it is known only at the end of the file (rows of a CSV)."""
    dtype: str
    axes: tuple[int, ...]
    """The reduced axes, counted from 0, in the order of the coordinates."""
    beta: float | None
    """None if the input is weights, which have no β."""
    device: str
    """The device that computes, as "CPU" or "GPU:0"."""
    kind: str = "scores"
    """The kind of the numbers: "scores", "probs" or "cost"."""
    coords: str = "index"
    """The unit of soft, offset and spread: "index", "corners", "centers", "circular" or "values"; if it differs from
    axis to axis, one for each, separated by commas."""
    periods: tuple[float | None, ...] = ()
    """The period of each circular axis, in that unit, and None for the others; empty if none is circular."""
    window: int | None = None
    """The window: the distance from hard within which weights count, in indices along each axis; None for all."""
    fields: tuple[str, ...] = NAMES
    """The fields that its slices may have, in the order in which every format lists them."""
    alone: str = "soft"
    """The field that is written in formats for a single one."""
    wrt: str | None = None
    """The variable that soft was differentiated by, "x" or "beta", if any."""
    vanished: float = 0.0
    """The norm below which a gradient has vanished."""
    epsilon: float = 1e-11
    """The error bound of soft, relative to the step from one coordinate to the next, and to the spread."""
    steps: tuple[float, ...] = ()
    """The largest distance between neighbouring coordinates along each of the axes; none if all are 1."""
    has_ids: bool = False
    labels: Sequence[str] | None = None
    """Names of the positions along the one reduced axis, as the class names of a CSV header."""

    @property
    def kept(self) -> tuple[int | None, ...]:
        """The lengths of the kept axes."""
        return tuple(n for k, n in enumerate(self.shape) if k not in self.axes)

    @property
    def known_shape(self) -> tuple[int, ...]:
        """The input's shape, once all of it is known. Raises LookupError before that."""
        known = tuple(n for n in self.shape if n is not None)
        if len(known) < len(self.shape):
            raise LookupError("the input's length is not known before its end")
        return known

    def label(self, hard: int) -> str | None:
        """Return the name of position `hard`, if it has one."""
        return self.labels[hard] if self.labels is not None and hard >= 0 else None
