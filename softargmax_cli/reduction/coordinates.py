"""From positions, counted in indices, to the coordinates that are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.spec import Coords

Float = npt.NDArray[np.float64]


def step(coords: Coords, length: int) -> float:
    """The coordinate's distance from one index to the next, along an axis of `length`; 0 where there is but one."""
    if coords == "index":
        return 1.0
    if length == 1:
        return 0.0
    return 2 / (length - 1) if coords == "corners" else 2 / length


def coordinate(coords: Coords, length: int, index: npt.NDArray[Any]) -> Float:
    """The coordinate of indices along an axis of `length`.

    "corners": −1 + 2i / (n − 1), the ends of the axis at −1 and 1, as `align_corners=True` elsewhere;
    "centers": (2i + 1) / n − 1, the edges of the outer cells at −1 and 1, as `align_corners=False`. 0 where n = 1.
    """
    if coords == "index":
        return index.astype(np.float64)
    if length == 1:
        return np.zeros(index.shape)
    if coords == "corners":
        return (2.0 * index - (length - 1)) / (length - 1)
    return (2.0 * index + (1 - length)) / length
