"""The files that inputs are compared with: `--expect` and `--truth`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from softargmax_cli.cli.paths import same_file, stem_of
from softargmax_cli.errors import InputError, OptionError, parameter, spelled
from softargmax_cli.files.remote import is_store

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.files.expected import Expected

SPELLING = "name the same inputs, spelled in the same way"


class References:
    """A file, a folder with a file for each input, named like it, or a table that names its inputs."""

    def __init__(self, option: str, path: str, *, several: bool) -> None:
        """option: its name, for errors."""
        self._option, self._path, self._several = option, path, several
        self._folder = os.path.isdir(path) and not is_store(path)
        if several and not os.path.exists(path):
            raise InputError("no such file or folder", "name one that holds what the inputs are compared with", path)
        self._table: dict[str, npt.NDArray[np.float64]] | None = None
        """The numbers of each input, if a table holds those of several: it is read once."""
        self._compared: dict[str, str] = {}
        """The inputs that were compared, by their file, or by their name in a table."""

    @property
    def files(self) -> list[str]:
        """The files that are read, which nothing may replace."""
        return [os.path.join(self._path, name) for name in os.listdir(self._path)] if self._folder else [self._path]

    @contextmanager
    def opened(self, name: str, reduction: Reduction) -> Iterator[Expected]:
        """Open the file that an input is compared with, and note the way it is read. name: the input as it was given.

        Raises InputError if there is none, or it does not fit, OptionError if it is the input itself.
        """
        from softargmax_cli.files.expected import Expected, expected

        run, shown = reduction.run, spelled(reduction.run.input)
        path = self._like(name) if self._folder else self._path
        if same_file(path, name):
            what = f"{parameter(self._option, path)} is the input itself"
            raise OptionError(what, "name the file that holds what the input is compared with")
        other = self._compared.setdefault(path if self._folder else shown, name)
        if self._several and other != name:
            what = f"{parameter(self._option, path)} is used for {other} already"
            raise InputError(what, "compare only one of them", name)
        table = self._table
        if table is None:
            id_column = reduction.source.facts.id_column
            with expected(path, run.kept, run.axes, id_column) as stored:
                if not stored.named and self._several and not self._folder:
                    remedy = "name a folder with a file for each, named like it, or a table with a column input"
                    raise InputError("holds one input, but several are compared", remedy, path)
                reduction.notes += [stored.note] if stored.note else []
                if not stored.named:
                    yield stored
                    return
                table = stored.by_input()
            if not self._folder:
                self._table = table
        if shown not in table:
            raise InputError(f"holds no slices of {shown}", SPELLING, path)
        yield Expected(path, len(run.axes), iter([(table[shown], None, None)]))

    def end(self) -> None:
        """Raise InputError if a table of several inputs names others."""
        if self._several and (left := sorted(set(self._table or ()) - set(self._compared))):
            what = f"also holds {', '.join(left[:3])}, which {'is' if len(left) == 1 else 'are'} not among the inputs"
            raise InputError(what, SPELLING, self._path)

    def _like(self, name: str) -> str:
        """Return the file of the folder that is named like an input."""
        stem, folder = stem_of(name), parameter(self._option, self._path)
        files = [each for each in sorted(os.listdir(self._path)) if stem_of(each) == stem and not each.startswith(".")]
        if len(files) == 1:
            return os.path.join(self._path, files[0])
        if files:
            raise InputError(f"{folder} has {' and '.join(files[:2])} for it", "keep one of them", name)
        raise InputError(f"{folder} has no file for it", f"name it {stem}.npy or {stem}.csv there", name)
