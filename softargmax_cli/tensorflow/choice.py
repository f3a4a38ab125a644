"""Choose the runtime of TensorFlow, for the commands, for `reduce` and for the workers of a cluster, and start it.

On the CPU its C library computes if it can be loaded, which takes a tenth of the time of `import tensorflow`. GPUs,
plug-in devices and processes that have imported TensorFlow already use `import tensorflow`. Messages that its C++ code
writes straight to file descriptor 2 are held back meanwhile.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from softargmax_cli.errors import DeviceError, OptionError, parameter

if TYPE_CHECKING:
    from softargmax_cli.tensorflow.base import Runtime

VARIABLE = "SOFTARGMAX_RUNTIME"
"""Environment variable that forces a runtime: "native" or "python"."""
TUNED = "2.21"
"""The minor release of TensorFlow whose XLA is tuned; an unknown flag makes it end the process."""
XLA_FLAGS = "--xla_cpu_prefer_vector_width=512 --xla_cpu_enable_concurrency_optimized_scheduler=false"
"""By default XLA uses half of the vectors of 512 bits, to spare the clock, and holds more arrays at once than fit into
a core's cache, to do more in parallel. Either costs up to a tenth of the time."""
LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"

_lock = threading.Lock()
_shared: dict[tuple[str, str], Runtime] = {}


def runtime_for(device: str) -> str:
    """Choose "native", "python", or "auto": native if the C library can be loaded. Raises OptionError."""
    name = os.environ.get(VARIABLE) or "auto"
    if name not in ("auto", "native", "python"):
        raise OptionError(f"{VARIABLE}={name}: the runtimes are native and python")
    if device == "cpu":
        return "python" if name == "auto" and sys.platform == "win32" else name
    if name == "native":
        cpu = parameter("device", "cpu")
        raise OptionError(f"{VARIABLE}=native: the C library is for the CPU only", f"unset it, or use {cpu}")
    return "python"


def started(device: str, name: str, notes: list[str], *, alone: bool) -> Runtime:
    """Start the chosen runtime, and note the reason if the native one cannot be used.

    alone: True if nothing else uses TensorFlow in this process. Raises NoSuchDeviceError or DeviceError if the device
    is not available, OptionError if a forced runtime is not.
    """
    if name != "python":
        from softargmax_cli.tensorflow.capi import load

        try:
            library = load()
        except Exception as failure:  # the other runtime may work
            if re.search("failed to map segment|annot allocate memory", str(failure)):  # the other takes more
                remedy = "allow this process more memory: ulimit -v, or what limits its container"
                raise DeviceError(f"TensorFlow cannot be loaded: {failure}", remedy) from failure
            if name == "native":
                remedy = f"unset {VARIABLE}, or set it to python"
                raise OptionError(f"{VARIABLE}=native: {failure}", remedy) from failure
            notes.append(f"TensorFlow's C library cannot be used: {failure}")
        else:
            from softargmax_cli.tensorflow.native import NativeRuntime

            return NativeRuntime(library)
    try:
        from softargmax_cli.tensorflow.python import PythonRuntime
    except ImportError as error:
        remedy = "install it with: pip install tensorflow"
        raise DeviceError(f"TensorFlow cannot be imported: {error}", remedy) from error
    return PythonRuntime(device, alone=alone)


def tune(version: str) -> None:
    """Set XLA's flags unless they are set, before it compiles anything; `version` is TensorFlow's."""
    if version.startswith(f"{TUNED}."):
        os.environ.setdefault("XLA_FLAGS", XLA_FLAGS)


class Loader:
    """Start TensorFlow for a command; the C library is loaded in a thread while the command reads its input's header.

    Standard error is held back until `runtime` returns or `close` is called; nothing may be written there before.
    """

    def __init__(self, device: str, *, verbose: bool = False) -> None:
        self._device, self._name, self._verbose = device, runtime_for(device), verbose
        self._runtime: Runtime | None = None
        # oneDNN replaces none of the operations used here, and looking for them takes time.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
        self._held = ExitStack()
        self._hold()
        self._thread = threading.Thread(target=_load, args=[self._name], name="load-tensorflow")
        self._thread.start()

    def runtime(self, note: Callable[[str], None]) -> Runtime:
        """Return the runtime, ready to compute; `note` gets its description when it starts. Raises as `started`."""
        if self._runtime is not None:
            return self._runtime
        notes: list[str] = []
        with self._held:
            self._hold()  # again, as an error of another input may have ended it
            self._thread.join()
            made = self._runtime = started(self._device, self._name, notes, alone=True)
        tune(made.version)
        kind = f"TensorFlow {made.version}, {made.name} runtime on {made.device}"
        for text in (*notes, f"{kind} (force one: {VARIABLE}=native|python)"):
            note(text)
        return made

    def close(self) -> None:
        """Stop holding standard error back; the library stays loaded."""
        self._thread.join()
        self._held.close()

    def _hold(self) -> None:
        if not self._verbose:
            os.environ.setdefault(LOG_LEVEL, "1")
            self._held.enter_context(held_back(show=self._device == "cpu"))  # errors of a GPU quote what matters


def _load(name: str) -> None:
    if name == "python":
        return
    from softargmax_cli.tensorflow.capi import load
    from softargmax_cli.tensorflow.native import NativeRuntime

    with suppress(Exception):  # it is raised again when the library is needed
        NativeRuntime(load())  # the first takes longest


def shared(device: str) -> Runtime:
    """Return the runtime on `device` that all reductions share in a process that is not ours; start it if needed.

    The process is left unchanged. Raises as `started` does, and shows TensorFlow's messages if the CPU fails.
    """
    name = runtime_for(device)
    if name == "auto" and "tensorflow" in sys.modules:
        name = "python"
    with _lock:
        if (device, name) not in _shared:
            with _quiet_environment(), held_back(show=device == "cpu"):
                _shared[device, name] = started(device, name, [], alone=False)
        return _shared[device, name]


@contextmanager
def _quiet_environment() -> Iterator[None]:
    """Set variables that TensorFlow reads once, unless they are set, and unset them again."""
    # Without the second, the one thread of the first session would be all the threads of TensorFlow in the process.
    wanted = {LOG_LEVEL: "1", "TF_OVERRIDE_GLOBAL_THREADPOOL": "1"}
    missing = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


@contextmanager
def held_back(*, show: bool) -> Iterator[None]:
    """Hold back what is written to file descriptor 2; if `show`, an error writes it there after all.

    The descriptor belongs to the whole process: nothing else may be said on standard error meanwhile.
    """
    if sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    in_memory = hasattr(os, "memfd_create")
    with os.fdopen(os.memfd_create("stderr"), "w+b") if in_memory else tempfile.TemporaryFile() as kept:
        saved, failed = os.dup(2), True
        os.dup2(kept.fileno(), 2)
        try:
            yield
            failed = False
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            if failed and show:
                kept.seek(0)
                sys.stderr.write(kept.read().decode(errors="replace"))
                sys.stderr.flush()
