"""What can go wrong, in words for the person at the keyboard.

Every error the project raises on purpose is a `SoftArgmaxError`; each leaf also is the built-in
exception it resembles, so that library users may catch either. `remedy` says what to do next.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class SoftArgmaxError(Exception):
    """Root of the project's errors: `what` went wrong and where, and the `remedy` where there is one."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}\n{self.remedy}" if self.remedy else self.what


class InputError(SoftArgmaxError, ValueError):
    """A file or stream does not hold what it should."""


class InputMissingError(InputError, FileNotFoundError):
    """An input file is not there."""

    def __new__(cls, *given: str) -> InputMissingError:
        """By the base whose layout it has; the first base's own is found else, which makes none."""
        return FileNotFoundError.__new__(cls, *given)


class OptionError(SoftArgmaxError, ValueError):
    """An option has no meaning, or none for this input."""


class UndefinedError(SoftArgmaxError, ArithmeticError):
    """A slice has no soft argmax: it holds NaN, or nothing but minus infinity."""


class OutputError(SoftArgmaxError, OSError):
    """A result could not be written; the target is as it was before."""


class DeviceError(SoftArgmaxError, RuntimeError):
    """TensorFlow failed."""


class NoSuchDeviceError(DeviceError):
    """The device asked for is not among those that TensorFlow sees."""


class ClusterError(SoftArgmaxError, ConnectionError):
    """A Dask cluster cannot be reached, or cannot do the work; what it has finished can be gone on with."""


class MissingDependencyError(SoftArgmaxError, ImportError):
    """An optional package is not installed; the remedy names the extra that brings it."""


_NO_MEMORY = ("failed to map segment", "cannot allocate memory", "can't start new thread")
"""Words of the system and of Python, in lower case, where an import or a thread gets no memory."""


MORE_MEMORY = "allow this process more memory: ulimit -v, or what limits its container"
"""What to do about it."""


def short_of_memory(error: BaseException) -> str:
    """The line by which an error that is no MemoryError says it was for want of memory; empty where none does."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if any(words in line.lower() for words in _NO_MEMORY)), "")


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Put the input's name before errors that do not know it."""
    try:
        yield
    except SoftArgmaxError as error:
        if not isinstance(error, OutputError) and not error.what.startswith(f"{name}: "):
            error.what = f"{name}: {error.what}"
        raise
