"""Zarr stores, found by name: a directory, or a URL that fsspec knows and that promises no file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from softargmax_cli.errors import (
    InputError,
    InputMissingError,
    MissingDependencyError,
    OptionError,
    SoftArgmaxError,
    parameter,
)
from softargmax_cli.files.members import MOST, chosen, few, shown
from softargmax_cli.files.remote import BUCKETS, blaming, files_of, is_file, is_url
from softargmax_cli.files.source import Member

DOCUMENTS = ("zarr.json", ".zarray", ".zgroup")
"""One of them lies in every directory that Zarr makes a node of, of format 3 and 2."""
UNFINISHED = "hard/zarr.json"
"""Lies in a store of results from the beginning, when none of `DOCUMENTS` is there yet."""
PARTIAL = ".partial"
"""Ends the name of a store on a disk until it is complete."""
MISSING = "name a directory or URL that holds zarr.json or .zarray"
DAMAGED = "copy the store again, or write it again"


def is_store(name: str) -> bool:
    """Whether a name is that of a Zarr store, or of something in one."""
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
    return any(os.path.isfile(os.path.join(path, document)) for document in (*DOCUMENTS, UNFINISHED))


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
    with blaming(place, "opened", damaged=DAMAGED):
        files_of(place)  # which says what is wrong with a URL
        try:
            node = zarr.open(located(place), mode="r")
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


def located(place: str) -> str | Path:
    """A place as zarr-python takes it, to which any text with :: in it is a URL."""
    return place if is_url(place) else Path(place)


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


def _absent(zarr: Any, place: str) -> SoftArgmaxError:
    """No node has that name: what has, or what the store above it holds."""
    files, root = files_of(place)
    above, _, last = place.rstrip("/").rpartition("/")
    inner = bool(above and not above.endswith("/") and last)
    for folder in (root if is_url(place) else f"{root}{PARTIAL}", root, *[root.rpartition("/")[0]] * inner):
        if files.exists(f"{folder}/{UNFINISHED}") and not files.exists(f"{folder}/{DOCUMENTS[0]}"):
            what = f"{place}: no results yet, as the run that writes them has not come to its end"
            return InputError(what, f"wait for it, or go on with what was broken off: {parameter('resume')}")
    if inner:
        try:
            found = sorted(path for path, _ in _arrays(zarr.open_group(located(above), mode="r")))
        except Exception:  # whatever it is, there is nothing to choose from
            found = []
        if found:
            return InputMissingError(f"{place}: no such array in {above}", f"it holds {few(found)}")
    return InputMissingError(f"{place}: no Zarr store there{_instead(place, files, root)}", MISSING)


def _instead(place: str, files: Any, root: str) -> str:
    """What is there, as far as that can be seen."""
    bucket = root.partition("/")[0]
    if place.startswith(BUCKETS) and bucket and not files.exists(bucket):
        return f", nor a bucket {shown(bucket)}"
    if files.isfile(root) and not place.startswith("http"):  # where a list of files is a file, too
        return ", but a file"
    there = files.ls(root, detail=False) if files.isdir(root) else []
    names = sorted(filter(None, (entry.rstrip("/").rpartition("/")[2] for entry in there)))
    return f", but {few(names)}" if names else ""
