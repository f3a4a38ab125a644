"""TensorFlow for `reduce`, in a process that is not ours: kept between calls, and nothing of the process changed."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from softargmax_cli.errors import NoSuchDeviceError, OptionError
from softargmax_cli.tensorflow.base import Runtime
from softargmax_cli.tensorflow.chatter import Chatter
from softargmax_cli.tensorflow.loading import VARIABLE

if TYPE_CHECKING:
    import ctypes

REUSED = 32
"""Reductions that one runtime makes. Each shape adds to its graph, and makes the next a little slower to add."""

WHILE_LOADING = {
    "TF_CPP_MIN_LOG_LEVEL": "1",
    # Else the first session's number of threads, one, would be that of all the process: also of TensorFlow in Python.
    "TF_OVERRIDE_GLOBAL_THREADPOOL": "1",
}
"""Variables that TensorFlow reads once, of which none stays set."""


@dataclass(slots=True)
class _Shared:
    """A runtime, and who uses it."""

    runtime: Runtime
    reductions: int = 0
    active: int = 0
    retired: bool = False

    def close_if_done(self) -> None:
        """Release it when it is no longer lent to anyone, nor will be."""
        if self.retired and not self.active:
            self.runtime.close()


_lock = threading.Lock()
_shared: dict[tuple[str, str], _Shared] = {}


@contextmanager
def lent(device: str) -> Iterator[Runtime]:
    """A runtime on `device`, for one reduction: Python's own where TensorFlow is imported, else its C library.

    Threads may share one. Raises NoSuchDeviceError, and DeviceError where TensorFlow fails.
    """
    with _lock:
        place = (device, _choice())
        shared = _shared.get(place)
        if shared is not None and shared.reductions >= REUSED:
            shared.retired = True
            shared.close_if_done()
            shared = None
        if shared is None:
            shared = _shared[place] = _Shared(_made(*place))
        shared.reductions += 1
        shared.active += 1
    try:
        yield shared.runtime
    finally:
        with _lock:
            shared.active -= 1
            shared.close_if_done()


def _choice() -> str:
    """Which runtime is used; "auto" for the C library if that can be loaded."""
    choice = os.environ.get(VARIABLE) or "auto"
    if choice not in ("auto", "native", "python"):
        raise OptionError(f"{VARIABLE}={choice}: the runtimes are native and python")
    return "python" if choice == "auto" and "tensorflow" in sys.modules else choice


def _made(device: str, choice: str) -> Runtime:
    """A new runtime. TensorFlow's messages are held back, and shown where it fails."""
    with _environment(), ExitStack() as undo:
        if choice == "python" and "tensorflow" in sys.modules:
            return _python(device)  # it has had its say
        chatter = Chatter()
        undo.callback(chatter.release, show=False)
        try:
            return _first(device, choice)
        except NoSuchDeviceError:  # nothing failed, and the error says what there is
            raise
        except Exception:
            chatter.release(show=True)
            raise


def _first(device: str, choice: str) -> Runtime:
    if choice == "python":
        return _python(device)
    try:
        library = _library()
    except Exception as failure:  # whatever it is, there is another way
        if choice == "native":
            raise OptionError(f"{VARIABLE}=native: {failure}", f"unset {VARIABLE}, or set it to python") from failure
        return _python(device)
    from softargmax_cli.tensorflow.native import NativeRuntime

    return NativeRuntime(library, device)


@functools.cache
def _library() -> ctypes.CDLL:
    from softargmax_cli.tensorflow.capi import load

    return load()


def _python(device: str) -> Runtime:
    """TensorFlow as it is imported, its logger as it was."""
    from tensorflow import get_logger

    from softargmax_cli.tensorflow.python import PythonRuntime

    logger = get_logger()
    level = logger.level
    try:
        return PythonRuntime(device)
    finally:
        logger.setLevel(level)


@contextmanager
def _environment() -> Iterator[None]:
    """Set what is not set, and unset it again."""
    missing = {name: value for name, value in WHILE_LOADING.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
