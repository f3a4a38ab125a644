"""Parse arguments as people write them. Loads nothing."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from typing import Any

from softargmax_cli.errors import OptionError
from softargmax_cli.files.reading import NAMED_DELIMITERS

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
LEAST_MEMORY = 16 * 2**20


def one_of(name: str, value: Any, choices: Sequence[str]) -> Any:
    """`value`, which must be one of the choices; OptionError where it is not."""
    if value not in choices:
        raise OptionError(f"{name}={value!r}: no such choice", f"choose one of {', '.join(map(repr, choices))}")
    return value


def axes_of(axis: Any) -> tuple[int, ...]:
    """The axes named by an integer or by several. Raises OptionError for anything else."""
    try:
        return (operator.index(axis),)
    except TypeError:
        pass
    try:
        return tuple(operator.index(each) for each in axis)
    except TypeError:
        raise OptionError(f"axis={axis!r}: an axis is an integer, several are a tuple of them") from None


def window_of(window: Any) -> int | None:
    """A distance in indices; None for none. Raises OptionError for what is no integer."""
    try:
        return None if window is None else operator.index(window)
    except TypeError:
        raise OptionError(f"window={window!r}: a distance from the hard argmax is 0 or more indices") from None


def size_of(size: int | str) -> int:
    """Bytes, of a number or of "200MB", "1.5GB", "512MiB". Raises OptionError for less than 16 MiB."""
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
    """The device in small letters. Raises OptionError where it is none of cpu, gpu and gpu:N."""
    if not re.fullmatch(r"cpu|gpu(:\d+)?", device.lower()):
        raise OptionError(f"{device!r} is no device", "choose cpu, gpu or gpu:N")
    return device.lower()


def delimiter_of(delimiter: str | None) -> str | None:
    """The character between cells, which may have a name, as "tab". Raises OptionError where it is none."""
    delimiter = NAMED_DELIMITERS.get(delimiter or "", delimiter)
    if delimiter is not None and (len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n'):
        raise OptionError(f"{delimiter!r} is no delimiter", f"give one character, or {', '.join(NAMED_DELIMITERS)}")
    return delimiter
