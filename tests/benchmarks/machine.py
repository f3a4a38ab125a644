"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = {"tensorflow": "TensorFlow", "numpy": "NumPy", "jax": "JAX", "polars": "polars", "pyarrow": "PyArrow"}


def describe(packages: Sequence[str] = tuple(PACKAGES)) -> str:
    """Processor, cores, memory, system and versions, in two lines; nothing that tells whose machine it is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = [f"Python {platform.python_version()}", *filter(None, map(_version, packages))]
    return f"{_processor()}, {cores} cores, {memory / 1e9:.0f} GB of memory, {platform.system()}\n{', '.join(versions)}"


def _processor() -> str:
    """As the system names it."""
    described = Path("/proc/cpuinfo")
    if described.exists():
        named = re.search(r"(?m)^model name\s*: (.+)$", described.read_text(encoding="utf-8", errors="replace"))
        if named:
            return named[1].strip()
    return platform.machine()


def _version(package: str) -> str | None:
    try:
        return f"{PACKAGES[package]} {version(package)}"
    except PackageNotFoundError:
        return None
