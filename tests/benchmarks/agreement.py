"""Whether two programs found the same: python -m tests.benchmarks.agreement OURS.npy THEIRS.npy

Prints the largest difference of the soft argmax, in index units; `inf` where shapes differ or one has a NaN. The
scripts write soft and hard in two rows, the tool writes soft alone.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import numpy.typing as npt


def largest_difference(ours: npt.NDArray[np.floating], theirs: npt.NDArray[np.floating]) -> float:
    """In index units."""
    if theirs.ndim == ours.ndim + 1:
        theirs = theirs[0]
    if ours.shape != theirs.shape:
        return math.inf
    difference = float(np.abs(ours - theirs).max())
    return math.inf if math.isnan(difference) else difference


if __name__ == "__main__":
    print(largest_difference(np.load(sys.argv[1], mmap_mode="r"), np.load(sys.argv[2], mmap_mode="r")))
