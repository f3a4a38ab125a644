"""The coordinates of an axis, one for each index: a range, or a small file that is read like any input."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, InputMissingError, OptionError, SoftArgmaxError, parameter
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.tempcopy import copied
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

MEMORY = 16 << 20
"""Bytes that reading a table may take."""
ROUNDED = 1e-6
"""The relative error allowed in the number of steps, as a step may be written with few digits."""
REMEDY_RANGE = "write START:STOP:STEP, as 0:360:5 for 0, 5, 10 ... 355"
REMEDY = "write a finite number for each index, all on one line or each on its own, or a 1-D .npy"


def _range(text: str, start: float, stop: float, step: float) -> npt.NDArray[np.float64]:
    """Return START + i · STEP below STOP. Raises OptionError unless STOP is a whole number of steps away."""
    given = parameter("values", text)
    if not all(map(math.isfinite, (start, stop, step))) or not step or (stop - start) / step <= 0:
        raise OptionError(f"{given}: there is nothing from {start:g} to {stop:g} in steps of {step:g}", REMEDY_RANGE)
    exact = (stop - start) / step
    count = round(exact)
    if exact > 1 << 26:
        raise OptionError(f"{given}: {exact:.4g} coordinates are too many", REMEDY_RANGE)
    if abs(exact - count) > ROUNDED * exact:
        below = math.floor(exact)
        ends = f"{start + below * step:.10g} (for {below}) or {start + (below + 1) * step:.10g} (for {below + 1})"
        what = f"{given}: {stop:g} is no whole number of steps of {step:g} from {start:g}"
        raise OptionError(what, f"end it at {ends}")
    return np.arange(count, dtype=np.float64) * step + start


def read_values(path: str) -> npt.NDArray[np.float64]:
    """Read the coordinate of each index along an axis: (n,), n ≥ 1, C-contiguous, finite, in the file's order.

    path: START:STOP:STEP, or a file of one row or one column, perhaps with a header. Raises OptionError for "-" and an
    impossible range, InputError for other files, and for NaN or an infinity.
    """
    try:
        start, stop, step = map(float, path.split(":"))
    except ValueError:
        return _of_file(path)
    return _range(path, start, stop, step)


def _of_file(path: str) -> npt.NDArray[np.float64]:
    if path == "-":
        what = f"{parameter('values', path)}: standard input is for the scores, not for coordinates"
        raise OptionError(what, "name a file")
    with (
        _naming(path),
        closing(open_source(path, Reading(strict=False))) as opened,
        closing(copied(opened, MEMORY)) as source,
    ):
        shape = tuple(n or 0 for n in source.shape)
        if len(shape) not in (1, 2) or min(shape) > 1 < len(shape):
            raise InputError(f"shape {shape}: coordinates are one row or one column", file=source.name)
        pending = None if 0 in shape else source.fetch(Block((0,) * len(shape), shape))
        if pending is None:
            raise InputError("no numbers in it", file=source.name)
        with np.errstate(invalid="ignore"):  # for signalling NaNs
            values = np.array(pending.load(Buffer()).values.reshape(-1), np.float64)
        finite = np.isfinite(values)
        if not finite.all():
            first = int(np.argmin(finite))
            raise InputError(f"the coordinate of index {first} is {values[first]}", file=source.name)
        return values


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Name the option in errors, and replace advice that is meant for the reduced file."""
    try:
        yield
    except SoftArgmaxError as error:
        error.what, error.file = f"{parameter('values')} {error.message}", None
        if not isinstance(error, InputMissingError) and isinstance(error, InputError | OptionError):
            error.remedy = REMEDY
        elif ":" in path or not path:
            error.remedy = REMEDY_RANGE
        raise
