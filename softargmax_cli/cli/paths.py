"""Names on the command line: the inputs that they stand for, and the names of results and pictures."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from softargmax_cli.errors import InputError, OptionError, OutputError
from softargmax_cli.files.remote import is_store, is_url
from softargmax_cli.files.streams import status_of
from softargmax_cli.files.writers import ROWS, STORE, format_of

PICTURES = ("png", "svg", "pdf")


def find_inputs(given: Sequence[str], *others: str | None) -> tuple[list[str], bool, list[str]]:
    """Find the files that names, folders and patterns stand for, whether they are several, and notes on those left out.

    They are several for more than one path, a folder or a pattern: each result then names its input. others: files that
    the command writes, or compares with, which are left out of folders and patterns. Raises InputError if a folder
    holds no array, or a pattern matches no file.
    """
    names, notes, taken = list[str](), list[str](), {identity(name) for name in others} - {None}
    for name in given:
        if _is_folder(name):
            names += _inside(name, taken, notes)
        elif _is_pattern(name):
            files = [each for each in sorted(glob.glob(name, recursive=True)) if not _is_folder(each)]
            matching = [each for each in files if identity(each) not in taken]
            if not matching:
                raise InputError(f"{name}: no input matches the pattern", "name files that exist")
            names += matching
        else:
            names.append(name)
    return names, len(given) > 1 or any(_is_folder(name) or _is_pattern(name) for name in given), notes


def _is_folder(name: str) -> bool:
    return name != "-" and os.path.isdir(name) and not is_store(name)


def _is_pattern(name: str) -> bool:
    return re.search(r"[*?[]", name) is not None and not os.path.lexists(name) and not is_url(name)


def _inside(folder: str, taken: Collection[object], notes: list[str]) -> list[str]:
    """List the arrays of a folder, by name; hidden files are skipped, and files without an array are noted."""
    from softargmax_cli.files.registry import holds_scores

    try:
        paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if not name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read: {error.strerror}") from None
    files = [path for path in paths if not _is_folder(path) and identity(path) not in taken]
    names = [path for path in files if holds_scores(path)]
    if not names:
        raise InputError(f"{folder}: the folder holds no array", "name a file, or a folder with files that can be read")
    if left_out := [os.path.basename(path) for path in files if path not in names]:
        more = f" and {len(left_out) - 1:,} more" if len(left_out) > 1 else ""
        notes.append(f"{folder}: left out {left_out[0]}{more}: no array of scores")
    return names


def choose_pictures(inputs: Sequence[str], plot: str | None) -> list[str | None]:
    """Choose a place for each picture, by the rules of results. Raises OptionError if two share a place."""
    if plot is None:
        return [None] * len(inputs)
    if names_folder(plot):
        return [*one_each(plot, inputs, "png")]
    if len(inputs) > 1:
        raise OptionError(f"--plot {plot} holds one input only", f"use --plot {plot}/ for one picture each")
    format_of(plot, PICTURES)
    return [plot]


def names_store(output: str | None) -> bool:
    """Tell whether a name promises a Zarr store, which is made with its directory."""
    return output is not None and os.path.splitext(output.rstrip("/" + os.sep))[1].lower() == f".{STORE}"


def names_folder(output: str) -> bool:
    return output.endswith(("/", os.sep)) or os.path.isdir(output)


def one_each(directory: str, inputs: Sequence[str], suffix: str) -> list[str]:
    """Name a file for each input. Raises OptionError if two would have one name."""
    paths = [os.path.join(directory, f"{stem_of(name)}.{suffix}") for name in inputs]
    path, count = max(Counter(paths).items(), key=lambda item: item[1])
    if count > 1:
        one = f", or all into one table: -o NAME.{suffix}" if suffix in ROWS else ""
        remedy = f"write them into different directories, one run each{one}"
        raise OptionError(f"{path} would hold the results of several inputs", remedy)
    return paths


def stem_of(name: str) -> str:
    """Return an input's name without its directory and suffix, or suffixes if it is compressed."""
    if name == "-":
        return "stdin"
    stem, suffix = os.path.splitext(os.path.basename(name.rstrip("/")))
    return os.path.splitext(stem)[0] if suffix.lower() == ".gz" else stem


def make_directory(output: str | None) -> None:
    """Make the directory that `-o DIR/` names, if its parent exists. Raises OutputError."""
    if output is not None and output.endswith(("/", os.sep)) and not (os.path.isdir(output) or names_store(output)):
        try:
            os.mkdir(output)
        except OSError as error:
            exists = isinstance(error, FileExistsError)
            remedy = "name another directory" if exists else "make the one above it first, or name another directory"
            raise OutputError(f"{output}: the directory cannot be made: {error.strerror}", remedy) from None


def spare_inputs(results: Iterable[str | None], inputs: Sequence[str], *others: str | None) -> None:
    """Raise OutputError if a result would replace an input, or another file that is read, under any name."""
    above = [str(folder) for name in inputs for folder in Path(os.path.abspath(name)).parents]  # of an array in a store
    read = {identity(name) for name in (*inputs, *others, *above)} - {None}
    for path in results:
        grown = identity(f"{path.rstrip('/')}.partial") if path and names_store(path) else None  # a store grows there
        if path != "-" and not read.isdisjoint((identity(path), grown)):
            raise OutputError(f"{path}: the result would replace what it is made of", "write it to another file")


def same_file(a: str, b: str) -> bool:
    """Tell whether two names mean one file or store."""
    return a == b or (identity(a) is not None and identity(a) == identity(b))


def identity(name: str | None) -> tuple[int, int] | None:
    """Identify a file or a store, "-" being standard input; None for others."""
    status = status_of(name, folders=True) if name else None
    return (status.st_dev, status.st_ino) if status else None
