"""The layout of a block in the kernel: its shape and dtypes, and what is wanted of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from softargmax_cli.reduction.coordinates import Coordinates, Geometry

Kind = Literal["scores", "probs", "cost"]
PIECE = 2 << 20
"""Bytes of a block that the kernel takes at a time: they stay in the cache, with what it computes of them."""
ALIGNMENT = 64
"""Bytes; TensorFlow takes memory so aligned without copying it."""
F4, F8, I4, I8, U8 = map(np.dtype, ("float32", "float64", "int32", "int64", "uint64"))


SHARED = frozenset({"maximum", "hard", "ties", "nans"})
"""The results of `block_sums` that are the same for every β."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One row of the moments of a state: see `reduction/coordinates.py`. The kernel is given coordinates apart."""

    axis: int
    """The number of its axis among the reduced ones, in the order of the array."""
    geometry: Geometry
    placed: bool
    """True where places are given; else they are indices, on a line."""
    squared: bool
    """True where the second moment is wanted, too."""
    along: Coordinates = field(compare=False)


@dataclass(frozen=True, slots=True)
class Layout:
    """The shape, dtypes and wanted outputs of a block in the kernel. Equal layouts share one compiled program."""

    shape: tuple[int, ...]
    """The first length may be −1, for one that is not known when the operations are laid down."""
    axes: tuple[int, ...]
    """The reduced axes of `shape`, by which positions are compared and in whose order coordinates are returned."""
    dtype: np.dtype[Any]
    precision: np.dtype[Any]
    """float32 or float64, of the weights."""
    outputs: tuple[str, ...]
    """The results of `block_sums` that are wanted, in the order in which they are returned."""
    kind: Kind = "scores"
    window: int | None = None
    """Only weights within so many positions of the hard argmax, along each axis, are summed."""
    radius: int = 1
    """Weights further than that from the hard argmax belong to a second mode."""
    known: bool = False
    """True where maximum and hard are inputs: those of slices of which the block holds a part."""
    careful: bool = False
    """True where scores may be NaN or +inf, and slices −inf throughout. Blocks are first tried without."""
    border: tuple[tuple[int, int], ...] = ()
    """How many entries of a block's neighbours x has before and after it, along each of `axes`: 0 or 1; none at all by
    default. They decide what a second mode is, and count for nothing else."""
    betas: int = 1
    """How many β there are."""
    rows: tuple[Moment, ...] = ()
    """What moments are summed."""
    rounds: tuple[int | None, ...] = ()
    """Along each of `axes` its whole length, of which the block may have a part, where it goes round."""

    @property
    def bordered(self) -> tuple[int, ...]:
        """The shape of x, with the border."""
        borders = dict(zip(self.axes, self.border, strict=False))
        return tuple(n + sum(borders.get(axis, (0, 0))) for axis, n in enumerate(self.shape))

    @property
    def kept(self) -> tuple[int, ...]:
        """The lengths of the axes that stay."""
        return tuple(n for axis, n in enumerate(self.shape) if axis not in self.axes)

    @property
    def names(self) -> list[str]:
        """The names of all outputs, of every β."""
        return [*self.outputs, *[name for name in self.outputs if name not in SHARED] * (self.betas - 1)]

    @property
    def results(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        """The shape of each of all outputs, and its dtype in a state."""
        slices, rows = math.prod(self.kept), len(self.rows)
        kinds = {
            "maximum": ((slices,), exact_dtype(self.dtype, self.precision)),
            "hard": ((len(self.axes), slices), I8),
            "moment": ((rows, slices), F8),
            "second_moment": ((rows, slices), F8),
            "share": (self.shape, self.precision),
        }
        return [kinds.get(name, ((slices,), F8)) for name in self.names]

    def round(self, axis: int) -> int | None:
        """Return the length of the circle that one of `axes` is; None for a line."""
        return self.rounds[self.axes.index(axis)] if self.rounds else None


def piece_length(shape: Sequence[int], axes: Sequence[int], itemsize: int) -> int:
    """Return how much of the first axis of a block the kernel takes at a time: all of an axis that is reduced.

    Pieces begin at multiples of `ALIGNMENT` where they can, since TensorFlow copies others.
    """
    stride = math.prod(shape[1:]) * itemsize
    if 0 in axes or not stride:
        return shape[0]
    length, step = max(1, PIECE // stride), ALIGNMENT // math.gcd(ALIGNMENT, stride)
    return min(shape[0], length // step * step or length)


def exact_dtype(dtype: np.dtype[Any], precision: np.dtype[Any]) -> np.dtype[Any]:
    """Return the narrowest dtype not below the precision in which scores are as distinct as in the file."""
    if dtype in (I8, U8):  # a float64 does not hold all of these
        return dtype
    if dtype.kind in "iu" and dtype.itemsize > 2:
        return F8
    return np.promote_types(dtype, precision) if dtype.kind == "f" else precision
