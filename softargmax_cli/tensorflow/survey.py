"""Ask TensorFlow for its devices, in a process whose standard error tells why it sees no GPU."""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field

from softargmax_cli.errors import parameter

VISIBLE = "CUDA_VISIBLE_DEVICES"
PROGRAM = "import json; from softargmax_cli.tensorflow.python import survey; print(json.dumps(survey()))"


@dataclass(frozen=True, slots=True)
class Survey:
    """The answers of TensorFlow about itself."""

    said: str
    """Its messages."""
    error: str | None = None
    """The reason why it cannot be used, or its GPU cannot be opened."""
    version: str | None = None
    built_with: str | None = None
    """Its CUDA and cuDNN; empty if it has none, None if it does not say."""
    devices: list[str] = field(default_factory=list)
    """The devices, as "CPU:0" or "GPU:0, NVIDIA H200"."""

    def no_gpu(self) -> tuple[str, str]:
        """Return the reason why no GPU can be used, in TensorFlow's own words, and the remedy."""
        cpu = f"use {parameter('device', 'cpu')}"
        missing = list(dict.fromkeys(re.findall(r"Could not load dynamic library '([^']+)'", self.said)))
        errors = re.findall(r"(?m)^E\d{4} .*?\] (.+)$", self.said)
        hidden = os.environ.get(VISIBLE)
        if self.error is not None:
            return self.error, cpu
        if self.built_with == "":
            return "this build of TensorFlow has no CUDA", cpu
        if "libcuda.so.1" in missing:
            return "could not load dynamic library libcuda.so.1", f"install NVIDIA's driver, or {cpu}"
        if hidden is not None and not hidden.strip().isalnum():
            return f"{VISIBLE}={hidden} hides every GPU", f"unset it, or {cpu}"
        if "Cannot dlopen some GPU libraries" in self.said:
            why = f"could not load dynamic libraries {', '.join(missing)}"
            return why, f"install them with: pip install 'tensorflow[and-cuda]', or {cpu}"
        return (errors or ["it does not say why"])[0], cpu


def surveyed() -> Survey:
    """Start TensorFlow with GPUs in another process, and collect its answers."""
    here = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    talkative = {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_CPP_VMODULE": "dso_loader=1"}  # names missing libraries
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **here, **talkative},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return Survey(done.stderr, **json.loads(done.stdout.splitlines()[-1]))
    last = (done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"])[-1]
    return Survey(done.stderr, last.removeprefix("ImportError: ").removeprefix("ModuleNotFoundError: "))


def driver_version() -> str | None:
    """Return the newest version of CUDA that NVIDIA's driver can serve; None if there is no driver."""
    try:
        driver, number = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
    except OSError:
        return None
    failed = driver.cuDriverGetVersion(ctypes.byref(number))
    return None if failed else f"{number.value // 1000}.{number.value % 1000 // 10}"
