"""Parse arguments as people write them. Loads NumPy where a reduction is asked for, not before."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from softargmax_cli.errors import InputError, OptionError, parameter
from softargmax_cli.files.reading import NAMED_DELIMITERS

if TYPE_CHECKING:
    from softargmax_cli.reduction.problem import Arrays, Problem, Spec

Axis = int | tuple[int, ...] | list[int]
KindOfCoords = Literal["index", "corners", "centers", "circular"]
Coords = KindOfCoords | tuple[KindOfCoords, ...] | list[KindOfCoords]

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
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
    """Return what is asked of any array. Raises OptionError for an argument that has no meaning."""
    from softargmax_cli.reduction.layout import Kind
    from softargmax_cli.reduction.problem import NanPolicy, Precision, Spec

    axes = axes_of(axis)
    return Spec(
        axes,
        one_of("kind", kind, get_args(Kind)),
        beta,
        coords_of(coords, get_args(KindOfCoords)),
        _values(values, len(axes)),
        window_of(window),
        one_of("nan", nan, get_args(NanPolicy)),
        one_of("precision", precision, get_args(Precision)),
        period=period_of(period),
    )


def resolved(spec: Spec, shape: tuple[int | None, ...], dtype: str) -> Problem:
    """Return what is asked of one tensor, of which the reduced axes must have known lengths.

    Raises OptionError for an axis that it has not, or for values that are not as many as its indices; InputError for
    a length that is 0 or not known, and for slices whose positions float32 does not tell apart.
    """
    import numpy as np

    from softargmax_cli.reduction.problem import shape_text

    problem = spec.resolve(shape, np.dtype(dtype), frozenset())
    for axis in problem.axes:
        if shape[axis] is None:
            raise InputError(
                f"the length of axis {axis} is not known (shape {shape_text(shape)})",
                "set it: only axes that stay may have any length",
            )
    positions = math.prod(shape[axis] or 1 for axis in problem.axes)
    if positions >= 1 << 24:
        raise InputError(f"a slice of {positions:,} scores is too long for a tensor", "pass the array to reduce")
    return problem


def beta_of(beta: Any, temperature: Any) -> Any:
    """Return β, of which temperature is the inverse; 100 where neither is given. Tensors stay tensors."""
    if temperature is None:
        return 100.0 if beta is None else beta
    if beta is not None:
        raise OptionError(f"{parameter('beta')} and {parameter('temperature')} say the same thing", "give one of them")
    if isinstance(temperature, int | float) and not 0 < temperature < math.inf:
        raise OptionError(f"{parameter('temperature', temperature)}: it must be a finite number above 0")
    return 1.0 / temperature


def one_of(name: str, value: Any, choices: Sequence[str]) -> Any:
    """Return `value`. Raises OptionError where it is none of the choices."""
    if value not in choices:
        raise OptionError(f"{name}={value!r}: no such choice", f"choose one of {', '.join(map(repr, choices))}")
    return value


def coords_of(coords: Any, kinds: Sequence[str]) -> Any:
    """Return one kind of coordinates, or a tuple of one for each axis. Raises OptionError for any other."""
    if isinstance(coords, tuple | list) and len(coords) > 1:
        return tuple(one_of("coords", each, kinds) for each in coords)
    return one_of("coords", coords[0] if isinstance(coords, tuple | list) and coords else coords, kinds)


def period_of(period: Any) -> tuple[float, ...] | None:
    """Return the period of each circular axis, or one for all. Raises OptionError for what is no number."""
    if period is None:
        return None
    try:
        return tuple(map(float, period)) if isinstance(period, tuple | list) else (float(period),)
    except (TypeError, ValueError):
        raise OptionError(f"period={period!r}: a period is a number, several are a tuple of them") from None


def axes_of(axis: Any) -> tuple[int, ...]:
    """Return the axes named by an integer or by several. Raises OptionError for anything else."""
    try:
        return (operator.index(axis),)
    except TypeError:
        pass
    try:
        return tuple(operator.index(each) for each in axis)
    except TypeError:
        raise OptionError(f"axis={axis!r}: an axis is an integer, several are a tuple of them") from None


def window_of(window: Any) -> int | None:
    """Return a distance in indices; None for none. Raises OptionError for what is no integer."""
    try:
        return None if window is None else operator.index(window)
    except TypeError:
        raise OptionError(f"window={window!r}: a distance from the hard argmax is 0 or more indices") from None


def size_of(size: int | str) -> int:
    """Return bytes, of a number or of "200MB", "1.5GB", "512MiB". Raises OptionError for less than 16 MiB."""
    if isinstance(size, str):
        found = re.fullmatch(r"(\d{1,18}(?:\.\d+)?)\s*([KMGT]?I?)B?", size.strip().upper())
        if found is None or found[2] not in UNITS:
            raise OptionError(f"{size!r} is no size", "write one as 200MB, 1.5GB or 512MiB")
        nbytes, said = int(float(found[1]) * UNITS[found[2]]), size
    else:
        nbytes = operator.index(size)
        said = f"{nbytes:,} bytes"
    if nbytes < LEAST_MEMORY:
        raise OptionError(f"{said} is too little to work in", "the least is 16MiB")
    return nbytes


def device_of(device: str) -> str:
    """Return the device in small letters. Raises OptionError where it is none of cpu, gpu and gpu:N."""
    if not re.fullmatch(r"cpu|gpu(:\d+)?", device.lower()):
        raise OptionError(f"{device!r} is no device", "choose cpu, gpu or gpu:N")
    return device.lower()


def delimiter_of(delimiter: str | None) -> str | None:
    """Return the character between cells, which may have a name, as "tab". Raises OptionError where it is none."""
    if delimiter is None:
        return None
    character = NAMED_DELIMITERS.get(delimiter.lower(), delimiter)
    if len(character) != 1 or not character.isascii() or character in '"\r\n\0':
        raise OptionError(f"{delimiter!r} is no delimiter", f"give one character, or {', '.join(NAMED_DELIMITERS)}")
    return character


def comment_of(comment: str | None) -> str | None:
    """Return what begins a comment, empty for nothing. Raises OptionError where it cannot be told from a cell."""
    if comment and (
        not comment.isprintable() or not comment.isascii() or set(comment) & set('" ') or comment[0].isalnum()
    ):
        raise OptionError(
            f"{comment!r} begins no comment", "give a mark as # or % or //, or '' where there are no comments"
        )
    return comment


def decimal_of(decimal: str | None) -> str | None:
    """Return the decimal mark. Raises OptionError where it is neither a point nor a comma."""
    mark = {"point": ".", "comma": ","}.get(decimal or "", decimal)
    if mark not in (None, ".", ","):
        raise OptionError(f"{decimal!r} is no decimal mark", "give , or .")
    return mark


def skip_of(skip: int | None) -> int | None:
    """Return how many lines to leave out. Raises OptionError where it is no number of lines."""
    if skip is not None and (isinstance(skip, bool) or operator.index(skip) < 0):
        raise OptionError(f"skip={skip!r}: a number of lines is 0 or more")
    return skip


def _values(values: Any, axes: int) -> Arrays | None:
    """Return the coordinate of each index, one array for each axis."""
    import numpy as np

    if values is None:
        return None
    several = [values] if axes == 1 else list(values)
    if len(several) != axes:
        raise OptionError(f"values: {len(several)} for {axes} axes", "give a sequence with one array for each axis")
    arrays = []
    for each in several:
        try:
            array = np.array(each, np.float64)
        except (TypeError, ValueError) as error:
            raise OptionError(f"values: not a number for each index: {error}") from None
        if array.ndim != 1 or not array.size:
            many = "" if axes == 1 else ", and there is one such array for each axis"
            raise OptionError(f"values: shape {array.shape}: an axis has one coordinate for each index, (n,){many}")
        arrays.append(array)
    return tuple(arrays)
