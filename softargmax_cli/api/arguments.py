"""Parse arguments as people write them. NumPy is loaded only when a reduction is asked for."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from softargmax_cli.errors import OptionError, counted, parameter

if TYPE_CHECKING:
    from softargmax_cli.reduction.problem import Arrays, Spec

Axis = int | tuple[int, ...] | list[int]
KindOfCoords = Literal["index", "corners", "centers", "circular"]
Coords = KindOfCoords | tuple[KindOfCoords, ...] | list[KindOfCoords]

LEAST_MEMORY = 16 * 2**20


def spec_of(
    axis: Any,
    beta: float,
    kind: Any,
    coords: Any,
    values: Any,
    period: Any,
    window: Any,
    nan: Any = "propagate",
    precision: Any = "auto",
) -> Spec:
    """Parse what is asked of any array. Raises OptionError for an argument without meaning."""
    from softargmax_cli.reduction.layout import Kind
    from softargmax_cli.reduction.problem import NanPolicy, Precision, Spec

    several = isinstance(axis, Iterable) and not isinstance(axis, str)
    axes = tuple(_whole("axis", each) for each in (axis if several else [axis]))
    kinds = coords if isinstance(coords, tuple | list) and coords else (coords,)
    kinds = tuple(one_of("coords", each, get_args(KindOfCoords)) for each in kinds)
    periods = period if period is None or isinstance(period, tuple | list) else [period]
    return Spec(
        axes,
        one_of("kind", kind, get_args(Kind)),
        beta,
        kinds if len(kinds) > 1 else kinds[0],
        _values(values, len(axes)),
        None if window is None else _whole("window", window),
        one_of("nan", nan, get_args(NanPolicy)),
        one_of("precision", precision, get_args(Precision)),
        period=None if periods is None else tuple(map(float, periods)),
    )


def _whole(name: str, value: Any) -> int:
    """Return a whole number as Python's integer. Raises OptionError for anything else."""
    try:
        return operator.index(value)
    except TypeError:
        what = f"{parameter(name, value)}: not an integer"
        raise OptionError(what, f"give {parameter(name)} one such as 2") from None


def _values(values: Any, axes: int) -> Arrays | None:
    """Return the coordinate of each index, one array for each axis."""
    import numpy as np

    if values is None:
        return None
    several = [values] if axes == 1 else list(values)
    if len(several) != axes:
        what = f"values: {counted(len(several), 'array')} for {axes} axes"
        raise OptionError(what, "give a sequence with one array for each axis")
    try:
        arrays = tuple(np.array(each, np.float64) for each in several)
    except (TypeError, ValueError):
        raise OptionError(f"values: {str(values)[:40]!r} are no numbers", "give a number for each index") from None
    for array in arrays:
        if array.ndim != 1 or not array.size:
            what = f"values: shape {array.shape}: an axis has one coordinate for each index, (n,)"
            raise OptionError(what, "" if axes == 1 else "give a sequence with one array for each axis")
    return arrays


def beta_of(beta: Any, temperature: Any) -> Any:
    """Return β, the inverse of the temperature; 100 if neither is given. Tensors stay tensors."""
    if isinstance(beta, str):
        raise OptionError(f"{parameter('beta', beta)}: not a number", f"give {parameter('beta')} a number such as 100")
    if temperature is None:
        return 100.0 if beta is None else beta
    if beta is not None:
        raise OptionError(f"{parameter('beta')} and {parameter('temperature')} say the same thing", "give one of them")
    if isinstance(temperature, int | float) and not 0 < temperature < math.inf:
        what = f"{parameter('temperature', temperature)}: it must be a finite number above 0"
        raise OptionError(what, f"give {parameter('temperature')} a number such as 0.01")
    return 1.0 / temperature


def one_of(name: str, value: Any, choices: Sequence[str]) -> Any:
    """Return `value`. Raises OptionError unless it is one of the choices."""
    if value not in choices:
        raise OptionError(f"{name}={value!r}: no such choice", f"choose one of {', '.join(map(repr, choices))}")
    return value


def size_of(size: int | str) -> int:
    """Parse a number of bytes, also as "200MB", "1.5GB" or "512MiB". Raises OptionError for less than 16 MiB."""
    if isinstance(size, str):
        found = re.fullmatch(r"(\d{1,18}(?:\.\d+)?)\s*(?:([KMGT])(I?))?B?", size.strip().upper())
        if found is None:
            raise OptionError(f"{parameter('memory')}: {size!r} is no size", "write one as 200MB, 1.5GB or 512MiB")
        unit = (1024 if found[3] else 1000) ** " KMGT".index(found[2] or " ")
        nbytes, said = int(float(found[1]) * unit), size
    else:
        nbytes = operator.index(size)
        said = f"{nbytes:,} bytes"
    if nbytes < LEAST_MEMORY:
        raise OptionError(f"{parameter('memory')}: {said} is too little to work in", "the least is 16MiB")
    return nbytes


def device_of(device: str) -> str:
    """Return the device in lower case. Raises OptionError unless it is cpu, gpu or gpu:N."""
    if not re.fullmatch(r"cpu|gpu(:\d+)?", device.lower()):
        raise OptionError(f"{parameter('device')}: {device!r} is no device", "choose cpu, gpu or gpu:N")
    return device.lower()
