"""The command line's reduction of files and arrays, for notebooks and scripts."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from softargmax_cli.api.arguments import Axis, Coords, beta_of, device_of, one_of, size_of, spec_of
from softargmax_cli.api.pipeline import reduction_of
from softargmax_cli.errors import OptionError, as_called, parameter
from softargmax_cli.files.formats.npy import ArraySource
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.select import selected
from softargmax_cli.files.source import Source
from softargmax_cli.reduction.fields import BY_NAME, FREE, NAMES
from softargmax_cli.reduction.result import Run, Summary
from softargmax_cli.tensorflow.choice import shared


@dataclass(frozen=True, eq=False)
class Result:
    """The results of a reduction as arrays, shaped as the axes that stay.

    If several axes are reduced, `hard`, `soft`, `offset` and `spread` have one more last dimension with a number for
    each, in the order given. Offsets and spreads are in the unit of the coordinates, entropies in nats. A slice without
    an answer has hard −1, ties 0, agree False, else NaN. Fields that were not asked for are None.
    """

    fields: Mapping[str, npt.NDArray[Any]]
    """The fields by their names (see `softargmax guide fields`), which are attributes, too: `result.soft`."""
    ids: list[str] | None
    """The name of each slice, if the file names them."""
    labels: list[str] | None
    """The name of each position along the reduced axis, as `labels[hard]`, if the file names them."""
    summary: Summary
    run: Run
    """The facts of the run: input, shape, dtype, axes, beta, kind, coords, window, device."""

    def __getattr__(self, name: str) -> Any:
        """Return a field, or None if it was not asked for."""
        if name not in NAMES:
            raise AttributeError(name)
        return self.fields.get(name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *NAMES]

    def __repr__(self) -> str:
        summary = self.summary
        found = f"largest |offset| {summary.max_abs_offset:.3g}; {summary.agreement:.0%} agree"
        return f"Result({self.peak.shape} slices of {self.run.input}; {found}; {summary.undefined} undefined)"


def reduce(
    path_or_array: Any,
    *,
    axis: Axis = -1,
    beta: float | None = None,
    temperature: float | None = None,
    kind: Literal["scores", "probs", "cost"] = "scores",
    coords: Coords = "index",
    values: Any = None,
    period: float | Sequence[float] | None = None,
    window: int | None = None,
    nan: Literal["error", "omit", "propagate"] = "error",
    precision: Literal["auto", "single", "double"] = "auto",
    device: str = "cpu",
    memory: int | str = "256MiB",
    key: str | None = None,
    select: Any = None,
    delimiter: str | None = None,
    header: bool | None = None,
    id_column: str | int | None = None,
    columns: str | Sequence[str | int] | None = None,
    skip: int | None = None,
    comment: str | None = None,
    decimal: str | None = None,
    fields: Iterable[str] | None = None,
) -> Result:
    """Compute the hard and soft argmax of every slice of a file or an array, as `softargmax run` does.

    (…, n, …) → NumPy arrays shaped (…); for several axes, the coordinates are shaped (…, a).

    path_or_array: the name of a file that `softargmax run` reads, in blocks; or an array of real
        numbers, or anything that becomes one, which must not change meanwhile.
    axis, beta, temperature, kind, coords, values, period, window: as those of `softargmax`; numbers; no β for "probs".
    nan: NaN, and slices without any weight, are an "error", or are left out, "omit", or marked, "propagate".
    precision: of the weights: "single", "double", or by the dtype, "auto". Results are float64.
    device: "cpu", "gpu" or "gpu:N", where TensorFlow computes.
    memory: bound on the blocks held at a time, in bytes or as "256MiB"; the result and TensorFlow take more.
    key: the name of the array, in a file that holds several.
    select: the part to take, as numpy.s_[0, :, 3:5] or "0,:,3:5": integers, slices and ...; the rest is not read.
    id_column, columns: of a table: the name or number (from 1) of the column that names the rows; the columns of
        scores, as "a,b", "a:c", "2:" or "^id" (all but id), or a list of names and numbers.
    delimiter, header, skip, comment, decimal: of text: what separates cells, whether line 1 names the columns, how many
        lines above the table are left out, what begins a comment ("#"), and the decimal mark. Found if not given.
    fields: which of second, spread, entropy, ties and multimodal are wanted beside the rest; all of them by default.

    TensorFlow is loaded by the first call, not imported. Raises the leaves of `errors.SoftArgmaxError`, which are also
    ValueErrors where an input or an argument is at fault; warns, with a UserWarning, of what may be a mistake.
    """
    spec = spec_of(axis, float(beta_of(beta, temperature)), kind, coords, values, period, window, nan, precision)
    wanted, room, device = _fields(fields), size_of(memory), device_of(device)
    reading = Reading(
        key=key,
        select=select,
        delimiter=delimiter,
        header=header,
        id_column=None if id_column is None else str(id_column),
        columns=columns,
        skip=skip,
        comment=comment,
        decimal=decimal,
    )
    source = _opened(path_or_array, reading)
    with reduction_of(source, spec, wanted, room, lambda: shared(device)) as reduction:
        parts: dict[str, list[npt.NDArray[Any]]] = {field: [] for field in NAMES if field in wanted}
        ids: list[str] = []
        summary = Summary()
        for slices in reduction:
            summary.add(slices)
            ids += slices.ids or ()
            for field, found in parts.items():
                found.append(slices.column(field))
    for note in reduction.notes:
        warnings.warn(f"{source.name}: {as_called(note)}", stacklevel=2)
    run = reduction.run
    arrays = {field: _joined(field, parts.pop(field), run) for field in [*parts]}
    return Result(arrays, ids if run.has_ids else None, None if run.labels is None else [*run.labels], summary, run)


def _joined(field: str, columns: list[npt.NDArray[Any]], run: Run) -> npt.NDArray[Any]:
    """Join the columns of a field, (m,) or (a, m) each, to an array of the axes that stay."""
    axes, shape, facts = len(run.axes), [n or 0 for n in run.kept], BY_NAME[field]
    none = np.empty((axes, 0) if facts.per_axis else 0, facts.dtype)
    whole = np.concatenate([none, *columns], axis=-1)
    return np.ascontiguousarray(whole.T).reshape([*shape, axes] if facts.per_axis and axes > 1 else shape)


def _opened(path_or_array: Any, reading: Reading) -> Source:
    """Open a file by its name, or an array."""
    if isinstance(path_or_array, str | os.PathLike):
        path = os.fspath(path_or_array)
        if path == "-":
            raise OptionError("-: standard input is read by the command line only", "give a file or an array")
        return open_source(path, reading)
    if reading.given:
        raise OptionError(
            f"{' and '.join(map(parameter, reading.given))}: an array has none", "leave it out, or give a file"
        )
    array: npt.NDArray[Any] = np.asanyarray(path_or_array)  # masked arrays stay what they are, and are refused
    source = ArraySource(array)
    return source if reading.select is None else selected(source, reading.select)


def _fields(fields: Iterable[str] | None) -> frozenset[str]:
    """Return the fields to compute; those that cost nothing are always among them."""
    if fields is None:
        return frozenset(NAMES)
    if isinstance(fields, str):
        fields = [fields]
    return FREE | {one_of("fields", field, NAMES) for field in fields}
