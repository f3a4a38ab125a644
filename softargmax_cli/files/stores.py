"""Zarr stores, found by name: a directory, or a URL that fsspec knows and that promises no file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from softargmax_cli.errors import MissingDependencyError
from softargmax_cli.files.remote import is_file, is_url

DOCUMENTS = ("zarr.json", ".zarray", ".zgroup")
"""One of them lies in every directory that Zarr makes a node of, of format 3 and 2."""
UNFINISHED = ("hard/zarr.json", "weights/zarr.json")
"""One of them lies in a store of results from the beginning, when none of `DOCUMENTS` is there yet."""
PARTIAL = ".partial"
"""Ends the name of a store on a disk until it is complete."""


def is_store(name: str) -> bool:
    """Tell a Zarr store, or something in one, from a file by its name."""
    if is_url(name):
        return not is_file(name)
    if os.path.isdir(name):
        return name.rstrip("/" + os.sep).lower().endswith(".zarr") or _is_node(name)
    if not os.path.lexists(name) and os.path.isdir(name.rstrip("/" + os.sep) + PARTIAL):
        return True
    place = os.path.dirname(name)
    while place and not os.path.exists(name):
        if os.path.isdir(place):
            return _is_node(place)
        place = os.path.dirname(place) if os.path.dirname(place) != place else ""
    return False


def _is_node(path: str) -> bool:
    return any(os.path.isfile(os.path.join(path, document)) for document in (*DOCUMENTS, *UNFINISHED))


def zarr_python() -> Any:
    """The package. Raises MissingDependencyError where it, or what it needs, is not there."""
    if sys.version_info < (3, 11):
        raise MissingDependencyError("Zarr needs zarr-python 3, which needs Python 3.11", "run it with a newer Python")
    try:
        import fsspec  # noqa: F401 - zarr reads URLs by it
        import zarr
    except ImportError as error:
        raise _missing(f"Zarr needs zarr-python and fsspec: {error}") from None
    if not hasattr(zarr, "create_array"):
        raise _missing(f"Zarr needs zarr-python 3; this is {zarr.__version__}")
    return zarr


def _missing(what: str) -> MissingDependencyError:
    return MissingDependencyError(what, "pip install 'zarr>=3.1.4' fsspec\nthey are in the extra named cluster")


def share_threads(threads: int) -> None:
    """Tell zarr, where it is there, how many threads decode."""
    try:
        import zarr
    except ImportError:
        return
    zarr.config.set({"threading.max_workers": threads, "async.concurrency": max(4, threads)})


def located(place: str) -> str | Path:
    """A place as zarr-python takes it, to which any text with :: in it is a URL."""
    return place if is_url(place) else Path(place)
