"""Errors, and the references to files and parameters in their texts.

    SoftArgmaxError
    ├── InputError (ValueError)                a file or stream does not hold what it should
    │   └── InputMissingError (FileNotFoundError)
    ├── OptionError (ValueError)               an option has no meaning, or none for this input
    ├── UndefinedError (ArithmeticError)       a slice has no soft argmax
    ├── OutputError (OSError)                  a result could not be written
    ├── DeviceError (RuntimeError)             TensorFlow failed
    │   └── NoSuchDeviceError
    ├── ClusterError (ConnectionError)         a Dask cluster cannot be reached, or cannot do the work
    └── MissingDependencyError (ImportError)   an optional package is not installed

Each leaf also is the built-in exception that it resembles, so that library users may catch either. Texts refer to
options and arguments through `parameter`; the command line and Python spell them as their users type them.
"""

from __future__ import annotations

import errno
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

_REFERENCE = re.compile("\ue000(.*?)\ue001(.*?)\ue002", re.DOTALL)  # option, argument; private-use characters
ROOM = "free some space, or set TMPDIR to a directory with more room"
_REMEDIES = {
    errno.ENOSPC: "free some space, or write elsewhere",
    errno.ENOENT: "make the directory first",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def parameter(name: str, value: object = None) -> str:
    """Refer to a parameter in the text of an error or a note, perhaps with a value.

    `parameter("axis", (-2, -1))` becomes `--axis -2,-1` on the command line and `axis=(-2, -1)` in Python,
    `parameter("header", False)` becomes `--no-header` and `header=False`.
    """
    option = name.replace("_", "-")
    if value is None:
        return f"\ue000--{option}\ue001{name}\ue002"
    if isinstance(value, bool):
        typed, called = f"--{option}" if value else f"--no-{option}", str(value)
    elif isinstance(value, str):
        typed, called = f"--{option} {quoted(value)}", f'"{value}"' if '"' not in value else repr(value)
    else:
        several = value if isinstance(value, tuple | list) else (value,)
        plain = tuple(int(each) if isinstance(each, float) and each.is_integer() else each for each in several)
        typed, called = f"--{option} {','.join(map(str, plain))}", repr(plain if several is value else plain[0])
    return f"\ue000{typed}\ue001{name}={called}\ue002"


def as_typed(text: str) -> str:
    """Spell the parameters in a text as options of the command line."""
    return _REFERENCE.sub(r"\1", text)


def as_called(text: str) -> str:
    """Spell the parameters in a text as arguments of Python."""
    return _REFERENCE.sub(r"\2", text)


def quoted(word: str) -> str:
    """Quote a word for a shell; an unprintable one in ANSI-C quotes, which bash, zsh and newer POSIX shells read."""
    if word.isprintable():
        return shlex.quote(word)
    try:
        raw = word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate, as JSON may hold; nobody can type it
        raw = word.encode("utf-8", "replace")
    # Octal, which ends after three digits whatever follows.
    return "$'" + "".join(chr(b) if 32 <= b < 127 and b not in b"'\\" else f"\\{b:03o}" for b in raw) + "'"


class SoftArgmaxError(Exception):
    """Root of the project's errors: `what` went wrong, the `remedy` if there is one, and the `file` it is about."""

    def __init__(self, what: str, remedy: str = "", file: str | None = None) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy
        self.file = file

    @property
    def message(self) -> str:
        """The file and what is wrong with it."""
        return self.what if self.file is None or self.what.startswith(f"{self.file}: ") else f"{self.file}: {self.what}"

    def __str__(self) -> str:
        return as_called(f"{self.message}\n{self.remedy}" if self.remedy else self.message)


class InputError(SoftArgmaxError, ValueError):
    """A file or stream does not hold what it should."""


class InputMissingError(InputError, FileNotFoundError):
    """An input file does not exist."""

    # There are defaults for unpickling, which sets the attributes later.
    def __new__(cls, what: str = "", remedy: str = "", file: str | None = None) -> InputMissingError:
        """Choose the built-in base explicitly: Python would pick the first, which cannot be instantiated."""
        return FileNotFoundError.__new__(cls, what, remedy)


class OptionError(SoftArgmaxError, ValueError):
    """An option has no meaning, or none for this input."""


class UndefinedError(SoftArgmaxError, ArithmeticError):
    """A slice has no soft argmax: it holds NaN, or nothing but minus infinity."""

    def __init__(self, what: str, remedy: str = "", file: str | None = None, details: tuple[str, ...] = ()) -> None:
        super().__init__(what, remedy, file)
        self.details = details
        """Lines that --verbose shows."""


class OutputError(SoftArgmaxError, OSError):
    """A result could not be written; the target is as it was before."""


class DeviceError(SoftArgmaxError, RuntimeError):
    """TensorFlow failed."""


class NoSuchDeviceError(DeviceError):
    """The device asked for is not among those that TensorFlow sees."""


class ClusterError(SoftArgmaxError, ConnectionError):
    """A Dask cluster cannot be reached, or cannot do the work."""


class MissingDependencyError(SoftArgmaxError, ImportError):
    """An optional package is not installed; the remedy names the extra that brings it."""


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Give errors that name no file the file `name`."""
    try:
        yield
    except SoftArgmaxError as error:
        if error.file is None and not isinstance(error, OutputError | DeviceError):
            error.file = name
        raise


@contextmanager
def disk_errors(place: str, remedy: str = "") -> Iterator[None]:
    """Turn errors of the system, except a broken pipe, into OutputErrors that name `place`."""
    try:
        yield
    except (SoftArgmaxError, BrokenPipeError):
        raise
    except OSError as error:
        raise refused(place, error, remedy) from error


def refused(place: str, error: OSError, remedy: str = "") -> OutputError:
    """Make the error for a refusal to write to `place`; a remedy replaces the usual one."""
    remedy = remedy or _REMEDIES.get(error.errno or 0, "write elsewhere, as with -o FILE")
    return OutputError(f"{place}: {error.strerror or error}", remedy)


def counted(number: int, noun: str = "slice") -> str:
    """Write a number of things: "1 slice", "2,000 slices", "2 axes"."""
    plural = f"{noun[:-2]}es" if noun.endswith("is") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def spelled(input: str) -> str:
    """Spell the name of an input as results do: bytes that are no UTF-8 with backslashes."""
    return input.encode("utf-8", "backslashreplace").decode()
