"""The layout of a block in the kernel: its shape, its dtypes, and the wanted outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from softargmax_cli.reduction.coordinates import Coordinates, Geometry

Kind = Literal["scores", "probs", "cost"]
PIECE = 2 << 20
"""Bytes of a block that the kernel takes at a time: with all that it computes, they stay in the cache."""
ALIGNMENT = 64
"""Bytes; TensorFlow does not copy memory with this alignment."""
F4, F8, I4, I8, U8 = map(np.dtype, ("float32", "float64", "int32", "int64", "uint64"))


SHARED = frozenset({"maximum", "hard", "ties", "nans"})
"""The results of `block_sums` that do not depend on β."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One row of the moments of a state: see `reduction/coordinates.py`. The kernel gets coordinates separately."""

    axis: int
    """The number of its axis among the reduced ones, in the order of the array."""
    geometry: Geometry
    placed: bool
    """True if the kernel is given coordinates; else they are indices on a line."""
    squared: bool
    """True if the second moment is wanted, too."""
    along: Coordinates = field(compare=False)


@dataclass(frozen=True, slots=True)
class Layout:
    """The shape, dtypes and wanted outputs of a block in the kernel. Equal layouts share one compiled program."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    """The reduced axes of `shape`; positions are compared, and coordinates returned, in this order."""
    dtype: np.dtype[Any]
    precision: np.dtype[Any]
    """The dtype of the weights, float32 or float64."""
    outputs: tuple[str, ...]
    """The results of `block_sums` that are wanted, in the order in which they are returned."""
    kind: Kind = "scores"
    window: int | None = None
    """The distance from the hard argmax, along each axis, within which weights are summed."""
    radius: int = 1
    """The distance from the hard argmax beyond which weights belong to a second mode."""
    known: bool = False
    """True if maximum and hard are inputs, as for slices of which the block holds a part."""
    careful: bool = False
    """True if scores may be NaN or +inf, and slices −inf throughout. Blocks are first tried without."""
    border: tuple[tuple[int, int], ...] = ()
    """The number of neighbouring entries, 0 or 1, that x has before and after the block along each of `axes`, none by
    default. They only help to find second modes."""
    betas: int = 1
    """The number of β."""
    rows: tuple[Moment, ...] = ()
    """The moments that are summed."""
    rounds: tuple[int | None, ...] = ()
    """The whole length of each of `axes` that is circular, of which the block may have a part; None for others."""

    @property
    def bordered(self) -> tuple[int, ...]:
        """The shape of x, with the border."""
        borders = dict(zip(self.axes, self.border, strict=False))
        return tuple(n + sum(borders.get(axis, (0, 0))) for axis, n in enumerate(self.shape))

    @property
    def kept(self) -> tuple[int, ...]:
        """The lengths of the kept axes."""
        return tuple(n for axis, n in enumerate(self.shape) if axis not in self.axes)

    @property
    def names(self) -> list[str]:
        """The names of all outputs, for every β."""
        return [*self.outputs, *[name for name in self.outputs if name not in SHARED] * (self.betas - 1)]

    @property
    def results(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        """The shape of each output, for every β, and its dtype in a state."""
        slices, rows = math.prod(self.kept), len(self.rows)
        kinds = {
            "maximum": ((slices,), exact_dtype(self.dtype, self.precision)),
            "hard": ((len(self.axes), slices), I8),
            "moment": ((rows, slices), F8),
            "second_moment": ((rows, slices), F8),
            "slope": ((len(self.axes), slices), F8),
            "share": (self.shape, self.precision),
        }
        return [kinds.get(name, ((slices,), F8)) for name in self.names]

    def round(self, axis: int) -> int | None:
        """Return the length of one of `axes` if it is circular; None for a line."""
        return self.rounds[self.axes.index(axis)] if self.rounds else None


def piece_length(shape: Sequence[int], axes: Sequence[int], itemsize: int) -> int:
    """Return the length along the first axis that the kernel takes at a time: all of a reduced axis.

    Pieces begin at multiples of `ALIGNMENT` if possible, since TensorFlow copies others.
    """
    stride = math.prod(shape[1:]) * itemsize
    if 0 in axes or shape[0] * stride <= PIECE:
        return shape[0]
    length, step = max(1, PIECE // stride), ALIGNMENT // math.gcd(ALIGNMENT, stride)
    return min(shape[0], length // step * step or length)


def exact_dtype(dtype: np.dtype[Any], precision: np.dtype[Any]) -> np.dtype[Any]:
    """Return the narrowest dtype, at least the precision, that keeps all scores distinct."""
    if dtype in (I8, U8):  # float64 does not hold all of these
        return dtype
    if dtype.kind in "iu" and dtype.itemsize > 2:
        return F8
    return np.promote_types(dtype, precision) if dtype.kind == "f" else precision
