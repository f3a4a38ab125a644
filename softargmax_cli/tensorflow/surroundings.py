"""What this machine has for TensorFlow to use, found without loading it."""

from __future__ import annotations

import ast
import ctypes as C
import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DRIVER = "libcuda.so.1"
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class Driver:
    """NVIDIA's, as far as it answers."""

    found: bool
    version: str | None = None
    gpus: tuple[str, ...] = ()
    error: str | None = None
    """Why it cannot be used, in its own words."""


@dataclass(frozen=True, slots=True)
class Cuda:
    """What a GPU needs beside TensorFlow."""

    built_with: str | None
    """The version of CUDA that TensorFlow was built with; None where it was built without, or does not say."""
    built_without: bool
    cudnn: str | None
    driver: Driver
    packages: tuple[str, ...]
    """The nvidia-* packages installed, with their versions."""
    visible: str | None
    """CUDA_VISIBLE_DEVICES, where that is set."""

    def why_not(self) -> str:
        """Why TensorFlow sees no GPU: the first reason that there is."""
        if self.built_without:
            return "this TensorFlow is built without CUDA"
        if self.visible is not None and (not self.visible.strip() or self.visible.strip().startswith("-")):
            return f"{VISIBLE}={self.visible} hides every GPU"
        if not self.driver.found:
            return f"no NVIDIA driver: {self.driver.error}"
        if not self.driver.gpus:
            return f"the NVIDIA driver shows no GPU{f': {self.driver.error}' if self.driver.error else ''}"
        if not self.packages:
            return "TensorFlow's CUDA libraries are not installed: pip install 'softargmax[gpu]'"
        return "TensorFlow cannot use the GPU that the driver shows: --verbose shows its messages"


def version_of(package: str) -> str | None:
    """The version of a package that is installed; it is not imported."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def tensorflow_folder() -> Path | None:
    """Where TensorFlow is installed; it is not imported."""
    try:
        spec = importlib.util.find_spec("tensorflow")
    except ValueError:  # a module without one
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def tensorflow_version(folder: Path | None) -> str | None:
    """What is installed as tensorflow, under whichever of its names."""
    names = ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos", "tf-nightly")
    return next(filter(None, map(version_of, names)), None) if folder is not None else None


def cuda(folder: Path | None) -> Cuda:
    """What there is of CUDA; `folder` is TensorFlow's."""
    build = _build(folder)
    return Cuda(
        built_with=_text(build.get("cuda_version")),
        built_without=build.get("is_cuda_build") is False or not sys.platform.startswith("linux"),
        cudnn=_text(build.get("cudnn_version")),
        driver=driver(),
        packages=_packages(),
        visible=os.environ.get(VISIBLE),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _build(folder: Path | None) -> dict[str, Any]:
    """TensorFlow's own account of how it was built; empty where there is none that can be read."""
    if folder is None:
        return {}
    try:
        text = (folder / "python" / "platform" / "build_info.py").read_text(encoding="utf-8")
        found = re.search(r"(?s)^build_info = collections\.OrderedDict\((.*)\)\s*\Z", text, re.MULTILINE)
        return dict(ast.literal_eval(found[1])) if found else {}
    except (OSError, ValueError, SyntaxError, TypeError):
        return {}


def _packages() -> tuple[str, ...]:
    names = {
        f"{name} {distribution.version}"
        for distribution in importlib.metadata.distributions()
        if (name := str(distribution.metadata["Name"])).lower().startswith("nvidia-")
    }
    return tuple(sorted(names))


def driver(library: Any = None) -> Driver:
    """NVIDIA's driver, asked through its own API (cuda.h); `library` stands for it in tests."""
    if library is None:
        try:
            library = C.CDLL(DRIVER)
        except OSError as error:
            return Driver(found=False, error=str(error))
    number = C.c_int()
    code = library.cuDriverGetVersion(C.byref(number))
    version = f"{number.value // 1000}.{number.value % 1000 // 10}" if not code else None
    count = C.c_int()
    code = library.cuInit(0) or library.cuDeviceGetCount(C.byref(count))
    if code:
        return Driver(found=True, version=version, error=_message(library, code))
    return Driver(found=True, version=version, gpus=tuple(_names(library, range(count.value))))


def _names(library: Any, ordinals: Sequence[int]) -> list[str]:
    names = []
    for ordinal in ordinals:
        device, name = C.c_int(), C.create_string_buffer(256)
        code = library.cuDeviceGet(C.byref(device), ordinal) or library.cuDeviceGetName(name, len(name), device)
        names.append(f"GPU {ordinal}" if code else name.value.decode(errors="replace"))
    return names


def _message(library: Any, code: int) -> str:
    text = C.c_char_p()
    if library.cuGetErrorName(code, C.byref(text)) or not text.value:
        return f"error {code}"
    return text.value.decode(errors="replace")
