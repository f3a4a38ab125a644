"""Zarr stores and URLs, through zarr-python and fsspec, whose errors become ours and name the store."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from softargmax_cli.errors import InputError, InputMissingError, MissingDependencyError, OutputError, SoftArgmaxError
from softargmax_cli.files.formats import promised

DOCUMENTS = ("zarr.json", ".zarray", ".zgroup")
"""Every array or group of Zarr has one of these in its directory, in format 3 or 2."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://|::.*://)", re.DOTALL)


def is_url(name: str) -> bool:
    """Tell a URL, perhaps a chained one of fsspec, from a path."""
    return bool(_URL.match(name))


def is_store(name: str) -> bool:
    """Tell a Zarr store, or something in one, from a file: a URL by its suffix, a path by its directories."""
    if is_url(name):
        path = urlsplit(name).path
        return not (promised(path) or path.lower().endswith((".txt", ".gz")))
    place = Path(name)
    if os.path.isdir(place) and place.suffix.lower() == ".zarr":
        return True
    above = next((folder for folder in (place, *place.parents) if os.path.exists(folder)), place)
    return any(os.path.isfile(above / document) for document in DOCUMENTS)


def located(place: str) -> str | Path:
    """Return a place for zarr-python, which takes any text with :: for a URL."""
    return place if is_url(place) else Path(place)


def files_of(place: str) -> tuple[Any, str]:
    """Return the file system that serves a URL or a path, and the path in it. Raises whatever fsspec does."""
    import fsspec

    if not is_url(place):  # fsspec would take the text before a :: for a scheme
        return fsspec.filesystem("file"), os.path.abspath(place)
    files, root = fsspec.core.url_to_fs(place)
    return files, root.rstrip("/")


def zarr_python() -> Any:
    """Import zarr. Raises MissingDependencyError if it, or what it needs, is missing or too old."""
    try:
        import fsspec  # noqa: F401 - zarr reads URLs by it
        import zarr

        zarr.create_array  # noqa: B018 - older ones lack it
    except (ImportError, AttributeError) as error:
        remedy = "pip install 'zarr>=3.1.4' fsspec\nthey are in the extra named cluster, and need Python 3.11"
        raise MissingDependencyError(f"Zarr needs zarr-python 3 and fsspec: {error}", remedy) from None
    return zarr


@contextmanager
def store_errors(name: str, done: str, leaf: type[SoftArgmaxError] = InputError, damaged: str = "") -> Iterator[None]:
    """Turn anything that a store or a file system raises into an error of type `leaf` that names the store.

    damaged: the advice if neither a server nor the system refuses.
    """
    try:
        yield
    except (SoftArgmaxError, MemoryError):
        raise
    except ImportError as error:  # fsspec's, whose cause names the missing package
        package = (getattr(error.__cause__ or error, "name", None) or str(error)).partition(".")[0]
        what = f"{name}: what serves {name.partition(':')[0]}:// is not installed: {package}"
        raise MissingDependencyError(what, f"pip install {package}") from error
    except Exception as error:
        if isinstance(error, FileNotFoundError) and isinstance(error.__cause__, OSError):
            error = error.__cause__  # a server that fsspec cannot reach
        said = " ".join(str(error).split())[:300] or "no reason given"
        missing = leaf is InputError and isinstance(error, FileNotFoundError)
        what = f"{name}: no such file" if missing else f"{name}: cannot be {done}: {said} ({type(error).__name__})"
        remedy = _remedy(name, error, written=leaf is OutputError)
        raise (InputMissingError if missing else leaf)(what, remedy or damaged) from error


def _remedy(name: str, error: Exception, *, written: bool) -> str:
    """Advise on a refusal of a server or the system; return nothing for other errors."""
    if getattr(error, "errno", None) == errno.ENOSPC:
        return "free some space, or write elsewhere"
    if written and name.startswith(("http://", "https://")):
        return "http cannot be written; write to a directory, or to a bucket: s3://BUCKET/NAME.zarr"
    if is_url(name):
        return "check the address, the keys, and that the server is up"
    return "check the name, the directory above it, and who may use it" if isinstance(error, OSError) else ""
