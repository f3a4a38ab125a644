"""Zarr stores, found by name: a directory, or any URL that fsspec knows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from softargmax_cli.arrays.containers.members import MOST, chosen, few, shown
from softargmax_cli.arrays.source import Member
from softargmax_cli.errors import InputError, InputMissingError, MissingDependencyError, OptionError, SoftArgmaxError

DOCUMENTS = ("zarr.json", ".zarray", ".zgroup")
"""One of them lies in every directory that Zarr makes a node of, of format 3 and 2."""

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


def share_threads(threads: int) -> None:
    """Tell zarr, where it is there, how many threads decode."""
    try:
        import zarr
    except ImportError:
        return
    zarr.config.set({"threading.max_workers": threads, "async.concurrency": max(4, threads)})


def open_array(place: str, key: str | None, *, all_members: bool) -> tuple[str, Any, Sequence[Member]]:
    """A zarr.Array, the name that people are told, and the arrays beside it.

    place: of the array itself, or of a group, where `key` says which one is meant if there are several. `all_members`:
    whether to find those beside it, too. Raises as `members.chosen`, and InputMissingError where nothing is there.
    """
    zarr = zarr_python()
    with blaming(place, "opened"):
        try:
            node = zarr.open(place, mode="r")
        except FileNotFoundError:
            raise _absent(zarr, place) from None
        if isinstance(node, zarr.Array):
            if key is not None:
                raise OptionError(f"{place}: one array, in which none is named {shown(key)}", "leave out --key")
            return place, node, ()
        array = None if key is None else _named(zarr, node, key)
        found = dict(_arrays(node)) if array is None or all_members else {}
        if array is None:
            key = chosen(place, "zarr", sorted(found), key, lambda key: _member(key, found[key]))
            array = found[key]
        return f"{place}[{shown(key or '')}]", array, [_member(each, found[each]) for each in sorted(found)[:MOST]]


def _named(zarr: Any, group: Any, key: str) -> Any:
    """The array at a path of groups; None where there is none."""
    node = group.get(key.strip("/"))
    return node if isinstance(node, zarr.Array) else None


def _arrays(group: Any) -> Iterator[tuple[str, Any]]:
    """The arrays below a group; none where the store cannot be listed."""
    for path, node in group.members(max_depth=None):
        if hasattr(node, "chunks"):
            yield path, node


def _member(key: str, array: Any) -> Member:
    return Member(key, tuple(array.shape), str(array.dtype))


def _absent(zarr: Any, place: str) -> InputMissingError:
    """No node has that name; the store above it may have others."""
    above, _, last = place.rstrip("/").rpartition("/")
    if above and not above.endswith("/") and last:
        try:
            found = sorted(path for path, _ in _arrays(zarr.open_group(above, mode="r")))
        except Exception:  # whatever it is, there is nothing to choose from
            found = []
        if found:
            return InputMissingError(f"{place}: no such array in {above}", f"it holds {few(found)}")
    return InputMissingError(f"{place}: no Zarr store there", "name a directory or URL that holds zarr.json or .zarray")


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
