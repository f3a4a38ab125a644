"""Zarr stores, found by name: a directory, or any URL that fsspec knows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from softargmax_cli.errors import InputError, InputMissingError, MissingDependencyError, SoftArgmaxError

DOCUMENTS = ("zarr.json", ".zarray", ".zgroup")
"""One of them lies in every directory that Zarr makes a node of, of format 3 and 2."""
LISTED = 8
"""Arrays that an error names."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)")


def is_url(name: str) -> bool:
    """Whether a name is a URL, and no path."""
    return bool(_URL.match(name))


def is_store(name: str) -> bool:
    """Whether a name is that of a Zarr store, or of something in one."""
    if is_url(name):
        return True
    if os.path.isdir(name):
        return name.rstrip("/" + os.sep).lower().endswith(".zarr") or _is_node(name)
    place = os.path.dirname(name)
    while place and not os.path.exists(name):
        if os.path.isdir(place):
            return _is_node(place)
        place = os.path.dirname(place) if os.path.dirname(place) != place else ""
    return False


def _is_node(path: str) -> bool:
    return any(os.path.isfile(os.path.join(path, document)) for document in DOCUMENTS)


def zarr_python() -> Any:
    """The package. Raises MissingDependencyError where it, or what it needs, is not there."""
    try:
        import fsspec  # noqa: F401 - zarr reads URLs by it
        import zarr
    except ImportError as error:
        raise _missing(f"Zarr needs zarr-python and fsspec: {error}") from None
    if not hasattr(zarr, "create_array"):
        raise _missing(f"Zarr needs zarr-python 3, which needs Python 3.11; this is {zarr.__version__}")
    return zarr


def _missing(what: str) -> MissingDependencyError:
    return MissingDependencyError(what, "pip install 'softargmax[cluster]'")


def open_array(name: str) -> tuple[Any, tuple[str, ...]]:
    """The zarr.Array of that name, or the only one in the group of that name; and what should be known of the choice.

    Raises InputError, or InputMissingError, where there is none, or more than one.
    """
    zarr = zarr_python()
    with blaming(name, "opened"):
        try:
            node = zarr.open(name, mode="r")
        except FileNotFoundError:
            raise _absent(zarr, name) from None
        if isinstance(node, zarr.Array):
            return node, ()
        found = dict(_arrays(node))
    if len(found) == 1:
        ((path, array),) = found.items()
        return array, (f"the array is {path}",)
    if not found:
        raise InputError(f"{name}: a Zarr group in which no array can be found", f"name the array: {name}/ARRAY")
    raise InputError(f"{name}: a Zarr group of {len(found)} arrays", _choice(name, sorted(found)))


def _arrays(group: Any) -> Iterator[tuple[str, Any]]:
    """The arrays below a group; none where the store cannot be listed."""
    for path, node in group.members(max_depth=None):
        if hasattr(node, "chunks"):
            yield path, node


def _choice(name: str, paths: list[str]) -> str:
    more = f", … ({len(paths):,} in all)" if len(paths) > LISTED else ""
    return f"name one: {', '.join(f'{name}/{path}' for path in paths[:LISTED])}{more}"


def _absent(zarr: Any, name: str) -> InputMissingError:
    """No node has that name; the store above it may have others."""
    above, _, last = name.rstrip("/").rpartition("/")
    if above and not above.endswith("/") and last:
        try:
            found = [path for path, _ in _arrays(zarr.open_group(above, mode="r"))]
        except Exception:  # whatever it is, there is nothing to choose from
            found = []
        if found:
            return InputMissingError(f"{name}: no such array in {above}", _choice(above, sorted(found)))
    return InputMissingError(f"{name}: no Zarr store there", "name a directory or URL that holds zarr.json or .zarray")


@contextmanager
def blaming(name: str, done: str, leaf: type[SoftArgmaxError] = InputError) -> Iterator[None]:
    """Turn whatever a store or a file system raises, which may be anything, into an error that names the store."""
    try:
        yield
    except (SoftArgmaxError, MemoryError):
        raise
    except ImportError as error:  # fsspec knows the scheme, and which package serves it
        remedy = f"install what serves {name.partition('://')[0]}: pip install 's3fs' for s3, 'gcsfs' for gs"
        raise MissingDependencyError(f"{name}: {error}", remedy) from error
    except Exception as error:
        text = " ".join(str(error).split()) or "no reason given"
        raise leaf(f"{name}: cannot be {done}: {text} ({type(error).__name__})") from error
