"""Inputs as they are named on the command line: files, folders of them, and patterns."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from softargmax_cli.cli.destinations import identity, make_directory, spare_inputs
from softargmax_cli.cli.messages import say_note
from softargmax_cli.errors import InputError


@dataclass(frozen=True, slots=True)
class Found:
    """The inputs of a command, found."""

    names: list[str] = field(default_factory=list)
    several: bool = False
    """True for more than one path, a folder or a pattern: each result says then which input it is of."""
    notes: list[str] = field(default_factory=list)

    def say_notes(self, *, quiet: bool) -> None:
        """Say on standard error what was left out."""
        for note in [] if quiet else self.notes:
            say_note(note)

    def begin(self, results: Iterable[str | None], output: str | None, *others: str | None, quiet: bool) -> None:
        """Make sure that no result replaces what is read, make the directory of `-o DIR/`, and say the notes.

        others: files that are read beside the inputs. Raises OutputError.
        """
        spare_inputs(results, self.names, *others)
        make_directory(output)
        self.say_notes(quiet=quiet)


def find_inputs(given: Sequence[str], *others: str | None) -> Found:
    """Find the files that names, folders and patterns stand for.

    others: files that the command writes, or compares with, which no folder and no pattern stands for.
    Raises InputError where a folder holds no array, or a pattern matches no file.
    """
    inputs = Found([], len(given) > 1 or any(_is_folder(name) or _is_pattern(name) for name in given))
    taken = {identity(name) for name in others} - {None}
    for name in given:
        if _is_folder(name):
            inputs.names.extend(_inside(name, taken, inputs.notes))
        elif _is_pattern(name):
            inputs.names.extend(_matching(name, taken))
        else:
            inputs.names.append(name)
    return inputs


def _is_folder(name: str) -> bool:
    from softargmax_cli.files.remote import is_store

    return name != "-" and os.path.isdir(name) and not is_store(name)


def _is_pattern(name: str) -> bool:
    from softargmax_cli.files.remote import is_url

    return re.search(r"[*?[]", name) is not None and not os.path.lexists(name) and not is_url(name)


def _matching(pattern: str, taken: Iterable[object]) -> list[str]:
    found = sorted(glob.glob(pattern, recursive=True))
    names = [name for name in found if not _is_folder(name) and identity(name) not in taken]
    if not names:
        raise InputError(f"{pattern}: no input matches the pattern", "name files that exist")
    return names


def _inside(folder: str, taken: Iterable[object], notes: list[str]) -> list[str]:
    """List the arrays of a folder, by name; hidden files are passed over, and what is no array is noted."""
    from softargmax_cli.files.registry import holds_results, promises_array

    try:
        paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if not name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read: {error.strerror}") from None
    files = [path for path in paths if not _is_folder(path) and identity(path) not in taken]
    names = [path for path in files if promises_array(path) and not holds_results(path)]
    if not names:
        raise InputError(f"{folder}: the folder holds no array", "name a file, or a folder with files that can be read")
    if left_out := [os.path.basename(path) for path in files if path not in names]:
        more = f" and {len(left_out) - 1:,} more" if len(left_out) > 1 else ""
        notes.append(f"{folder}: left out {left_out[0]}{more}: no array of scores")
    return names
