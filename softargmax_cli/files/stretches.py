"""Places of the parts of a box in a file: pure geometry, for reading and for writing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def stretches(start: Sequence[int], shape: Sequence[int], lengths: Sequence[int]) -> tuple[list[int], int]:
    """Find where each stretch of a box begins, and how long they are, in elements of an array of `lengths` in C order.

    The box begins at `start`; its stretches follow each other as they do in the box itself.
    """
    # From this axis on, the box is one stretch of the file for each position along the axes before.
    split = len(shape)
    while split > 0 and tuple(shape[split:]) == tuple(lengths[split:]):
        split -= 1
    strides = [math.prod(lengths[k + 1 :]) for k in range(len(lengths))]
    places = np.array(sum(i * step for i, step in zip(start, strides, strict=True)), np.int64)
    for count, step in zip(shape[:split], strides[:split], strict=True):
        places = np.add.outer(places, np.arange(count) * step)
    return places.ravel().tolist(), math.prod(shape[split:])
