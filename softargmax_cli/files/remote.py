"""Zarr stores, and whatever lies at a URL, through zarr-python and fsspec; what these raise names what it is about."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from softargmax_cli.errors import InputError, InputMissingError, MissingDependencyError, SoftArgmaxError

FILES = frozenset(
    (".npy", ".npz", ".safetensors", ".h5", ".hdf5", ".hdf", ".parquet", ".pq", ".csv", ".tsv", ".txt", ".gz")
)
"""Suffixes of what is read as a file; anything else at a URL is a Zarr store."""
DOCUMENTS = ("zarr.json", ".zarray", ".zgroup")
"""One of them lies in every directory that Zarr makes a node of, of format 3 and 2."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://|::.*://)", re.DOTALL)


def is_url(name: str) -> bool:
    """Tell a URL, of fsspec's chained ones too, from a path."""
    return bool(_URL.match(name))


def is_store(name: str) -> bool:
    """Tell a Zarr store, or something in one, from a file by its name, and by the directories it lies in."""
    if is_url(name):
        return os.path.splitext(urlsplit(name).path)[1].lower() not in FILES
    place = Path(name)
    if os.path.isdir(place) and place.suffix.lower() == ".zarr":
        return True
    above = next((folder for folder in (place, *place.parents) if os.path.exists(folder)), place)
    return any(os.path.isfile(above / document) for document in DOCUMENTS)


def located(place: str) -> str | Path:
    """Return a place as zarr-python takes it, to which any text with :: in it is a URL."""
    return place if is_url(place) else Path(place)


def files_of(place: str) -> tuple[Any, str]:
    """Return the file system that serves a URL or a path, and the path in it. Raises whatever fsspec does."""
    import fsspec

    if not is_url(place):  # in which fsspec would take what stands before a :: for a scheme
        return fsspec.filesystem("file"), os.path.abspath(place)
    files, root = fsspec.core.url_to_fs(place)
    return files, root.rstrip("/")


def zarr_python() -> Any:
    """Import the package. Raises MissingDependencyError where it, or what it needs, is not there."""
    try:
        import fsspec  # noqa: F401 - zarr reads URLs by it
        import zarr

        zarr.create_array  # noqa: B018 - which older ones have not
    except (ImportError, AttributeError) as error:
        remedy = "pip install 'zarr>=3.1.4' fsspec\nthey are in the extra named cluster, and need Python 3.11"
        raise MissingDependencyError(f"Zarr needs zarr-python 3 and fsspec: {error}", remedy) from None
    return zarr


@contextmanager
def blaming(name: str, done: str, leaf: type[SoftArgmaxError] = InputError, damaged: str = "") -> Iterator[None]:
    """Turn whatever a store or a file system raises, which may be anything, into an error that names the store.

    damaged: what to do where it is not a server or a system that refuses.
    """
    try:
        yield
    except (SoftArgmaxError, MemoryError):
        raise
    except ImportError as error:  # fsspec's, caused by the one that names what it lacks
        package = (getattr(error.__cause__ or error, "name", None) or str(error)).partition(".")[0]
        what = f"{name}: what serves {name.partition(':')[0]}:// is not installed: {package}"
        raise MissingDependencyError(what, f"pip install {package}") from error
    except Exception as error:
        if isinstance(error, FileNotFoundError) and isinstance(error.__cause__, OSError):
            error = error.__cause__  # fsspec finds no file, too, where a server cannot be reached
        said = " ".join(str(error).split())[:300] or "no reason given"
        missing = leaf is InputError and isinstance(error, FileNotFoundError)
        what = f"{name}: no such file" if missing else f"{name}: cannot be {done}: {said} ({type(error).__name__})"
        raise (InputMissingError if missing else leaf)(what, _remedy(name, error) or damaged) from error


def _remedy(name: str, error: Exception) -> str:
    """Advise on a refusal of a server or the system; nothing where it is none."""
    if getattr(error, "errno", None) == errno.ENOSPC:
        return "free some space, or write elsewhere"
    if is_url(name):
        return "check the address, the keys, and that the server is up; the web is only read"
    return "check the name, the directory above it, and who may use it" if isinstance(error, OSError) else ""
