"""The result of a reduction as whole NumPy arrays."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.fields import BY_NAME, NAMES
from softargmax_cli.reduction.result import Run, Slices, Summary


@dataclass(frozen=True, eq=False)
class Result:
    """The results of a reduction as arrays, shaped as the axes that stay.

    `hard`, `soft`, `offset` and `spread` have, where several axes are reduced, one more last dimension with a number
    for each, in the order given. Offsets and spreads are in the unit of the coordinates, entropies in nats. A slice
    without an answer has hard −1, ties 0, agree False, else NaN. Fields that nobody asked for are None.
    """

    fields: Mapping[str, npt.NDArray[Any]]
    """The fields by their names (see `softargmax guide fields`), which are attributes, too: `result.soft`."""
    ids: list[str] | None
    """The name of each slice, where the file has names for them."""
    labels: list[str] | None
    """The name of each position along the reduced axis, as `labels[hard]`, where the file has names for them."""
    summary: Summary
    run: Run
    """The question and where it was answered: input, shape, dtype, axes, beta, kind, coords, window, device."""

    def __getattr__(self, name: str) -> Any:
        """Return a field, or None where nobody asked for it."""
        if name not in NAMES:
            raise AttributeError(name)
        return self.fields.get(name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *NAMES]

    def __repr__(self) -> str:
        run, summary = self.run, self.summary
        axes = f"axis {run.axes[0]}" if len(run.axes) == 1 else f"axes {', '.join(map(str, run.axes))}"
        words = [f"{self.peak.shape} slices along {axes} of {run.input}, {run.shape} {run.dtype}"]
        words += [] if run.kind == "scores" else [run.kind]
        words += [] if run.beta is None else [f"beta {run.beta:g}"]
        words += [] if run.window is None else [f"window {run.window}"]
        words += [] if run.coords == "index" else [run.coords]
        if not math.isnan(summary.agreement):
            words += [f"largest |offset| {summary.max_abs_offset:.3g}", f"{summary.agreement:.0%} agree"]
        words += [f"{summary.undefined} undefined"] if summary.undefined else []
        return f"Result({'; '.join(words)})"


class Collector:
    """Collect runs of slices, in their order, in whole arrays: allocated at once where their number is known."""

    def __init__(self, run: Run, fields: Collection[str]) -> None:
        self._run, self._summary = run, Summary()
        self._fields = [field for field in NAMES if field in fields]
        self._ids: list[str] | None = [] if run.has_ids else None
        self._count = 0
        kept = [n for n in run.kept if n is not None]
        self._parts: dict[str, list[npt.NDArray[Any]]] = {field: [] for field in self._fields}
        self._whole: dict[str, npt.NDArray[Any]] | None = None
        if len(kept) == len(run.kept):
            self._whole = {field: self._array(field, math.prod(kept)) for field in self._fields}

    def add(self, slices: Slices) -> None:
        """Take the next slices."""
        self._summary.add(slices)
        if self._ids is not None and slices.ids is not None:
            self._ids.extend(slices.ids)
        for field in self._fields:
            column = slices.column(field)
            if self._whole is None:
                part = self._array(field, len(slices))
                self._parts[field].append(part)
            else:
                part = self._whole[field][self._count : self._count + len(slices)]
            if part.ndim == 1:
                part[:] = column.reshape(-1)
            else:
                for k, numbers in enumerate(column):
                    part[:, k] = numbers
        self._count += len(slices)

    def result(self, run: Run) -> Result:
        """Return all of them; `run` has the shape that the end of the input told."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        for field in self._fields:
            if self._whole is None:
                flat = np.concatenate([self._array(field, 0), *self._parts.pop(field)])
            else:
                flat = self._whole[field]
            arrays[field] = flat.reshape(self._shape(field, [n or 0 for n in run.kept]))
        labels = None if run.labels is None else list(run.labels)
        return Result(arrays, ids=self._ids, labels=labels, summary=self._summary, run=run)

    def _array(self, field: str, count: int) -> npt.NDArray[Any]:
        """Return room for so many slices."""
        return np.empty(self._shape(field, [count]), BY_NAME[field].dtype)

    def _shape(self, field: str, kept: Sequence[int]) -> tuple[int, ...]:
        axes = len(self._run.axes)
        return (*kept, axes) if axes > 1 and BY_NAME[field].per_axis else tuple(kept)
