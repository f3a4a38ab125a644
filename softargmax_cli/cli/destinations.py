"""Where results go: standard output, a file, a directory."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from softargmax_cli.arrays.formats import STORE, format_of
from softargmax_cli.errors import OptionError, OutputError


@dataclass(frozen=True, slots=True)
class Destination:
    """Where one input's results go."""

    path: str | None
    """"-" for standard output, None for nowhere."""
    format: str
    table: bool
    """Whether a table is shown."""


def choose_destinations(inputs: Sequence[str], output: str | None, format: str | None) -> list[Destination]:
    """Where each input's results go. Raises OptionError where two would go to one place."""
    data = format if format not in (None, "table") else None
    store = STORE in (data, None if output is None else _suffix(output))
    if store and (output in (None, "-") or format not in (None, STORE)):
        raise OptionError("a Zarr store is a place, and shows no table", "write it with -o NAME.zarr alone")
    named = store and output is not None and _suffix(output) == STORE
    if output is not None and output != "-" and (output.endswith(("/", os.sep)) or os.path.isdir(output)) and not named:
        paths = [os.path.join(output, f"{_stem(name)}.{data or 'csv'}") for name in inputs]
        twice = [path for path, count in Counter(paths).items() if count > 1]
        if twice:
            raise OptionError(
                f"{twice[0]} would hold the results of several inputs",
                "write them into different directories, one run each",
            )
        return [Destination(path, data or "csv", format == "table") for path in paths]
    if output is None or output == "-":
        if len(inputs) > 1 and data not in (None, "jsonl"):
            raise OptionError(f"--format {data} holds one input only", "use -o DIR/ for one file each, or jsonl")
        return [Destination(None if data is None else "-", data or "", data is None)] * len(inputs)
    if len(inputs) > 1:
        raise OptionError(f"-o {output} holds one input only", f"use -o {output}/ for one file each")
    return [Destination(output, data or format_of(output), format == "table")]


def make_directory(output: str | None) -> None:
    """Make the directory that `-o DIR/` names, where its parent is there. Raises OutputError."""
    if output is None or _suffix(output) == STORE:  # which is made with the store
        return
    if output.endswith(("/", os.sep)) and not os.path.isdir(output):
        try:
            os.mkdir(output)
        except OSError as error:
            raise OutputError(
                f"-o {output}: the directory cannot be made: {error.strerror}", "make the one above it first"
            ) from None


def _suffix(path: str) -> str:
    return os.path.splitext(path.rstrip("/" + os.sep))[1].lower()[1:]


def _stem(name: str) -> str:
    """An input's name without its directory and suffix, which is two where it is compressed."""
    if name == "-":
        return "stdin"
    stem, suffix = os.path.splitext(os.path.basename(name.rstrip("/")))
    return os.path.splitext(stem)[0] if suffix.lower() == ".gz" else stem
