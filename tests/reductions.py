"""Sources of small arrays, and their reduction beside the oracle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from oracle import FIELDS, answer_to, assert_answers

from softargmax_cli.files.formats.npy import ArraySource
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.budget import REDUCTION, Budget
from softargmax_cli.reduction.engine import reduce
from softargmax_cli.reduction.problem import Spec
from softargmax_cli.reduction.readable import Buffer, Loaded
from softargmax_cli.reduction.result import Slices
from softargmax_cli.tensorflow.base import Runtime

Array = npt.NDArray[Any]
EVERYTHING = frozenset(FIELDS)
ONE_PASS = EVERYTHING - {"second", "multimodal"}
"""Every field that parts of slices have after one pass."""
MEMORY = 64 << 20


@dataclass(frozen=True)
class Ready:
    """A pending block whose values are at hand."""

    values: Array
    ids: Sequence[str] | None = None
    failure: Exception | None = None

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def load(self, buffer: Buffer) -> Loaded:
        if self.failure is not None:
            raise self.failure
        return Loaded(self.values, self.ids)


class File(ArraySource):
    """An array whose blocks may be read at any place, and which remembers which were."""

    def __init__(self, values: Array, chunks: tuple[int, ...] | None = None) -> None:
        super().__init__(values)
        self.chunks = chunks
        self.fetched: list[Block] = []

    def fetch(self, block: Block) -> Any:
        self.fetched.append(block)
        return super().fetch(block)


class Pipe(File):
    """Hands out its elements in the order of the memory, whatever is asked."""

    sequential = True

    def __init__(self, values: Array, ids: Sequence[str] | None = None) -> None:
        super().__init__(values)
        self._rest, self._names = values.ravel(self.order), ids

    def fetch(self, block: Block) -> Any:
        self.fetched.append(block)
        size = math.prod(block.shape)
        box, self._rest = self._rest[:size].reshape(block.shape, order=self.order), self._rest[size:]
        return Ready(box, None if self._names is None else self._names[block.start[0] : block.stop[0]])


class Table(ArraySource):
    """Rows, of which nobody knows how many there are, in blocks of lengths of its own, as of a CSV file."""

    sequential = True

    def __init__(self, values: Array, lengths: Sequence[int], *, ids: bool = False) -> None:
        super().__init__(values)
        self.shape = (None, *values.shape[1:])
        self.labels = [f"column {k}" for k in range(values.shape[1])]
        names = [f"row {k}" for k in range(len(values))]
        stops = np.cumsum(lengths).tolist()
        self._parts = [
            Ready(values[stop - n : stop].copy("F"), names[stop - n : stop] if ids else None)
            for n, stop in zip(lengths, stops, strict=True)
        ]

    def fetch(self, block: Block) -> Any:
        return self._parts.pop(0) if self._parts else None


def reduced(source: Any, runtime: Runtime, spec: Spec, fields: frozenset[str] = EVERYTHING, **more: Any) -> Slices:
    """Reduce a source, in parts that must follow each other; return all slices as one."""
    problem = spec.resolve(source.shape, source.dtype, fields)
    found, start = [], 0
    for slices in reduce(source, problem, runtime, **{"memory": MEMORY, **more}):
        assert slices.start == start
        assert set(slices.columns) == fields | {"hard", "soft", "offset", "peak", "agree"}
        start += len(slices)
        found.append(slices)
    return Slices.joined(found)


def check(
    values: Array, runtime: Runtime, spec: Spec, fields: frozenset[str] = EVERYTHING, source: Any = None, **more: Any
) -> None:
    """Reduce an array, or a source of it, and compare all fields with the oracle."""
    source = File(values) if source is None else source
    got = reduced(source, runtime, spec, fields, **more)
    single = spec.resolve(values.shape, source.dtype, fields).precision == np.float32
    kinds = (spec.coords,) * len(spec.axes) if isinstance(spec.coords, str) else spec.coords
    lengths = [values.shape[axis] for axis in spec.axes]
    scale = [_step(kind, n) for kind, n in zip(kinds, lengths, strict=True)]
    columns = {name: getattr(got, name) for name in FIELDS}
    assert_answers(SimpleNamespace(**columns), answer_to(values, spec), single=single, scale=scale)


def _step(kind: str, n: int) -> float:
    """The distance from one coordinate to the next, or 1 where that is less or not known."""
    return min(1.0, {"corners": 2 / max(1, n - 1), "centers": 2 / n}.get(kind, 1.0))


def needs_copy(source: Any, spec: Spec, fields: frozenset[str] = EVERYTHING) -> bool:
    """Tell whether a source that can only be read in order must be copied first."""
    return Budget(REDUCTION, source, spec.resolve(source.shape, source.dtype, fields), MEMORY).must_seek
