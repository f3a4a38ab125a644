"""A block as the kernel sees it, and what is wanted of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal["scores", "probs", "cost"]
F4, F8, I4, I8, U8 = map(np.dtype, ("float32", "float64", "int32", "int64", "uint64"))


@dataclass(frozen=True, slots=True)
class Layout:
    """A block as the kernel sees it, and what is wanted of it. Equal layouts share one compiled program."""

    shape: tuple[int, ...]
    """The first length may be −1, for one that is not known when the operations are laid down."""
    axes: tuple[int, ...]
    """The reduced axes of `shape`, by which positions are compared and in whose order coordinates are returned."""
    dtype: np.dtype[Any]
    precision: np.dtype[Any]
    """float32 or float64, of the weights."""
    outputs: tuple[str, ...]
    """Which of `block_sums`'s results are wanted, in the order in which they are returned."""
    kind: Kind = "scores"
    window: int | None = None
    """Only weights within so many positions of the hard argmax, along each axis, are summed."""
    radius: int = 1
    """Weights further than that from the hard argmax belong to a second mode."""
    known: bool = False
    """Whether maximum and hard are inputs: those of slices of which the block holds a part."""
    careful: bool = False
    """Whether scores may be NaN or +inf, and slices −inf throughout. It costs time: blocks are first tried without."""


def exact_dtype(dtype: np.dtype[Any], precision: np.dtype[Any]) -> np.dtype[Any]:
    """The narrowest dtype not below the precision in which scores are as distinct as in the file."""
    if dtype in (I8, U8):  # a float64 does not hold all of these
        return dtype
    if dtype.kind in "iu" and dtype.itemsize > 2:
        return F8
    return np.promote_types(dtype, precision) if dtype.kind == "f" else precision
