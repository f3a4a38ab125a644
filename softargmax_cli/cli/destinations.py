"""Choose where results and pictures go: standard output, a file, a directory."""

from __future__ import annotations

import os
import stat
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from softargmax_cli.errors import OptionError, OutputError, parameter
from softargmax_cli.files.remote import is_url
from softargmax_cli.files.writers import SHARED, STORE, format_of

PICTURES = ("png", "svg", "pdf")
"""Formats of pictures, named by a file's suffix."""


@dataclass(frozen=True, slots=True)
class Destination:
    """The place of one input's results."""

    path: str | None
    """"-" for standard output, None for nowhere."""
    format: str
    table: bool
    """True where a table is shown."""
    shared: bool = False
    """True where it takes the results of several inputs."""


def choose_destinations(
    inputs: Sequence[str],
    output: str | None,
    format: str | None,
    *,
    several: bool,
    usual: str = "csv",
    formats: Collection[str] = (),
) -> list[Destination]:
    """Choose a place for each input, in a directory the `usual` format.

    several: whether each result is to say which input it is of. formats: those there are, where not all.
    Raises OptionError where two inputs share a place that holds the results of one.
    """
    data = format if format not in (None, "table") else None
    store = names_store(output)
    if (store or format == STORE) and (output in (None, "-") or format not in (None, STORE)):
        raise OptionError("a Zarr store is a place, and shows no table", "write it with -o NAME.zarr alone")
    if output is not None and not store and is_url(output):
        raise OptionError(f"-o {output}: a URL takes Zarr stores alone", "end it in .zarr, or write a file and copy it")
    if output is not None and output != "-" and not store and (output.endswith(("/", os.sep)) or os.path.isdir(output)):
        return [Destination(path, data or usual, format == "table") for path in _inside(output, inputs, data or usual)]
    if output is None or output == "-":
        if several and data not in (None, *SHARED):
            what = "-o - holds one input only" if formats else f"{parameter('format', data)} holds one input only"
            raise OptionError(what, "use -o DIR/ for one file each" + ("" if formats else ", or jsonl"))
        return [Destination(None if data is None else "-", data or "", data is None, several)] * len(inputs)
    data = data or format_of(output, formats)
    if several and (store or data not in SHARED):
        remedy = f"use -o {output}/ for one file each"
        if store:
            folder = f"use -o DIR/ {parameter('format', STORE)} for one store each"
            remedy = "use one run each" if formats or is_url(output) else folder
        raise OptionError(f"-o {output} holds one input only", remedy)
    return [Destination(output, data, format == "table", several)] * len(inputs)


def spare_inputs(destinations: Iterable[str | None], inputs: Sequence[str], *others: str | None) -> None:
    """Raise OutputError where a result would replace an input, or another file that is read, by whatever name."""
    above = (folder for name in inputs for folder in _folders(name))  # of an array in a store
    read = {identity(name) for name in (*inputs, *others, *above)} - {None}
    for path in destinations:
        if path != "-" and identity(path) in read:
            raise OutputError(f"{path}: the result would replace what it is made of", "write it to another file")


def same_file(a: str, b: str) -> bool:
    """Tell whether two names mean one file or store."""
    return a == b or (identity(a) is not None and identity(a) == identity(b))


def _folders(name: str) -> Iterator[str]:
    """Yield the directories that an input lies in, from the innermost."""
    folder = os.path.dirname(os.path.abspath(name))
    while name != "-" and folder != os.path.dirname(folder):
        yield folder
        folder = os.path.dirname(folder)


def identity(name: str | None) -> tuple[int, int] | None:
    """Identify a regular file or a directory, "-" being standard input; None for what is neither."""
    try:
        status = os.fstat(sys.stdin.fileno()) if name == "-" else os.stat(name or "")
    except (OSError, ValueError, AttributeError):  # it is somebody else's affair to say so
        return None
    kind = stat.S_IFMT(status.st_mode)  # a directory is a store
    return (status.st_dev, status.st_ino) if kind in (stat.S_IFREG, stat.S_IFDIR) else None


def choose_pictures(inputs: Sequence[str], plot: str | None) -> list[str | None]:
    """Choose a place for each picture, by the rules of results. Raises OptionError where two share a place."""
    if plot is None:
        return [None] * len(inputs)
    if plot.endswith(("/", os.sep)) or os.path.isdir(plot):
        return [*_inside(plot, inputs, "png")]
    if len(inputs) > 1:
        raise OptionError(
            f"{parameter('plot', plot)} holds one input only",
            f"use {parameter('plot', plot + '/')} for one picture each",
        )
    picture_format_of(plot)
    return [plot]


def picture_format_of(path: str) -> str:
    """Return the format of a picture that a path's suffix names. Raises OptionError where it names none."""
    option = parameter("plot", path)
    if path == "-":
        raise OptionError(f"{option}: a picture goes to a file", f"name one: {parameter('plot', 'FILE.png')}")
    suffix = os.path.splitext(path)[1].lower()
    if suffix[1:] not in PICTURES:
        known = " ".join(f".{name}" for name in PICTURES)
        raise OptionError(f"{option}: the suffix names no format of pictures", f"end the name in one of {known}")
    return suffix[1:]


def _inside(directory: str, inputs: Sequence[str], suffix: str) -> list[str]:
    """Name a file for each input. Raises OptionError where two would have one name."""
    paths = [os.path.join(directory, f"{stem_of(name)}.{suffix}") for name in inputs]
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise OptionError(
            f"{twice[0]} would hold the results of several inputs",
            "write them into different directories, one run each",
        )
    return paths


def make_directory(output: str | None, option: str = "-o") -> None:
    """Make the directory that `-o DIR/` names, where its parent is there. Raises OutputError."""
    if output is not None and output.endswith(("/", os.sep)) and not (os.path.isdir(output) or names_store(output)):
        try:
            os.mkdir(output)
        except OSError as error:
            above = os.path.dirname(os.path.abspath(output))
            remedy = "make the one above it first" if not os.path.isdir(above) else "name another directory"
            raise OutputError(f"{option} {output}: the directory cannot be made: {error.strerror}", remedy) from None


def names_store(output: str | None) -> bool:
    """Tell whether a name promises a Zarr store, which is made with its directory."""
    return output is not None and os.path.splitext(output.rstrip("/" + os.sep))[1].lower() == f".{STORE}"


def stem_of(name: str) -> str:
    """Return an input's name without its directory and suffix, or suffixes where it is compressed."""
    if name == "-":
        return "stdin"
    stem, suffix = os.path.splitext(os.path.basename(name.rstrip("/")))
    return os.path.splitext(stem)[0] if suffix.lower() == ".gz" else stem
