"""Which runtime is used: the C library where it can be loaded, `import tensorflow` where not."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from softargmax_cli.errors import MORE_MEMORY, DeviceError, NoSuchDeviceError, OptionError, short_of_memory
from softargmax_cli.tensorflow.chatter import Chatter

if TYPE_CHECKING:
    import ctypes

    from softargmax_cli.tensorflow.base import Runtime

VARIABLE = "SOFTARGMAX_RUNTIME"
"""Environment variable that forces a runtime: "native" or "python"."""


TRIED = "2.21."
"""The releases in which XLA has these flags: over one that it does not know it ends the process."""
XLA_FLAGS = "--xla_cpu_prefer_vector_width=512 --xla_cpu_enable_concurrency_optimized_scheduler=false"
"""XLA halves the vectors of processors that have 512 bits, for the sake of their clock, and keeps more arrays at once,
to do more in parallel, than a core's cache has room for. Either costs up to a tenth."""


def tune(version: str) -> None:
    """Set XLA's flags where nobody has, in a process of ours, before it compiles anything; `version`: TensorFlow's."""
    if version.startswith(TRIED):
        os.environ.setdefault("XLA_FLAGS", XLA_FLAGS)


class Loading:
    """The C library on its way into memory, in a thread, while the command reads its input's header.

    Loading it is most of a short run. Standard error is held back from here until `runtime` returns
    or `close` is called: one of them must be, before anything is said there.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        self.choice = os.environ.get(VARIABLE) or "auto"
        if self.choice not in ("auto", "native", "python"):
            raise OptionError(f"{VARIABLE}={self.choice}: the runtimes are native and python")
        self._library: ctypes.CDLL | None = None
        self._failure: Exception | None = None
        self._chatter: Chatter | None = None
        # oneDNN replaces none of the operations used here, and looking for them takes time.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
        if not verbose:
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
            self._chatter = Chatter()
        self._thread = threading.Thread(target=self._load, name="load-tensorflow")
        if self.choice != "python":
            self._thread.start()

    def _load(self) -> None:
        from softargmax_cli.tensorflow.capi import load

        try:
            self._library = load()
        except Exception as failure:  # whatever it is, there is another way
            self._failure = failure

    def runtime(self, device: str, note: Callable[[str], None]) -> Runtime:
        """TensorFlow, ready to compute on `device`; `note` is told which runtime it is, and why.

        Raises NoSuchDeviceError where `device` is not there; where TensorFlow fails, its messages are shown.
        """
        if self._chatter is not None:
            self._chatter.hold()  # again, where an error of another input has been said meanwhile
        failed = False
        try:
            made = self._make(device)
            tune(made.version)
        except NoSuchDeviceError:  # nothing failed, and the error says what there is
            raise
        except Exception:
            failed = True
            raise
        finally:
            self.close(show=failed)
        if self._failure is not None:
            note(f"TensorFlow's C library cannot be used: {self._failure}")
        note(f"TensorFlow {made.version}, {made.name} runtime on {made.device} (force one: {VARIABLE}=native|python)")
        return made

    def _make(self, device: str) -> Runtime:
        if self.choice != "python":
            self._thread.join()
            if self._library is not None:
                from softargmax_cli.tensorflow.native import NativeRuntime

                return NativeRuntime(self._library, device)
            if self._failure is not None and (why := short_of_memory(self._failure)):  # the other way takes more
                raise DeviceError(f"TensorFlow cannot be loaded: {why}", MORE_MEMORY)
            if self.choice == "native":
                raise OptionError(f"{VARIABLE}=native: {self._failure}", f"unset {VARIABLE}, or set it to python")
        from softargmax_cli.tensorflow.python import PythonRuntime

        return PythonRuntime(device)

    @property
    def failure(self) -> str | None:
        """Why the C library cannot be used; None where it can, or was not tried. Known once `runtime` returns."""
        return None if self._failure is None else str(self._failure)

    def close(self, *, show: bool = False) -> None:
        """Stop holding standard error back; the library stays loaded. With `show`, print what was held back."""
        if self._thread.ident is not None:
            self._thread.join()
        if self._chatter is not None:
            self._chatter.release(show=show)
