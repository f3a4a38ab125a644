"""The files that inputs are compared with: `--expect` and `--truth`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from softargmax_cli.cli.destinations import same_file, stem_of
from softargmax_cli.errors import InputError, OptionError, parameter

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from softargmax_cli.files.expected import Expected


class References:
    """A file for one input; for several a folder with a file for each, named like it, or a table that names inputs.

    option: its name, for errors.
    """

    def __init__(self, option: str, path: str, *, several: bool) -> None:
        self._option, self._path = option, path
        self._folder, self._table = several and os.path.isdir(path), several and not os.path.isdir(path)
        if self._table and not os.path.exists(path):
            raise InputError("no such file, and no folder", "name what inputs are compared with", path)
        self._files = ExitStack()
        self._shared: Expected | None = None

    @property
    def files(self) -> list[str]:
        """The files that are read, which nothing may replace."""
        return [os.path.join(self._path, name) for name in os.listdir(self._path)] if self._folder else [self._path]

    def __enter__(self) -> References:
        return self

    def __exit__(self, *raised: object) -> None:
        self._files.close()

    @contextmanager
    def opened(
        self, name: str, shown: str, open: Callable[..., AbstractContextManager[Expected]], *known: Any
    ) -> Iterator[Reference]:
        """Open what an input is compared with. name: of the input as it was given; shown: as results name it.

        open: `files.expected.expected` or `truth`; known: what these ask to know of the input.
        Raises InputError where nothing is there for it, or it does not fit, OptionError where it is the input itself.
        """
        if self._table:
            if self._shared is None:
                self._shared = self._files.enter_context(open(self._path, *known, by_input=True))
            yield Reference(self._shared, shown)
            return
        path = self._like(name) if self._folder else self._path
        refuse_same(self._option, path, name)
        with open(path, *known) as stored:
            yield Reference(stored)

    def end(self) -> None:
        """Make sure that a table holds nothing else. Raises InputError."""
        if self._shared is not None:
            self._shared.end()

    def _like(self, name: str) -> str:
        """Return the file of the folder that is named like an input."""
        stem, folder = stem_of(name), parameter(self._option, self._path)
        files = [each for each in sorted(os.listdir(self._path)) if stem_of(each) == stem and not each.startswith(".")]
        if not files:
            raise InputError(f"{folder} has no file for it", f"name it {stem}.npy or {stem}.csv there", name)
        if len(files) > 1:
            raise InputError(f"{folder} has {' and '.join(files[:2])} for it", "keep one of them", name)
        return os.path.join(self._path, files[0])


class Reference:
    """What one input is compared with, read in the order of its slices."""

    def __init__(self, stored: Expected, input: str | None = None) -> None:
        """input: its name, where the rows of several follow each other."""
        self._stored, self._input = stored, input
        self.note = stored.note

    def __call__(self, slices: int, ids: Sequence[str] | None) -> npt.NDArray[np.float64]:
        """Read what belongs to the next slices, (axes, slices)."""
        return self._stored(slices, ids if self._input is None else [self._input] * slices)

    def end(self) -> None:
        """Make sure that nothing is left."""
        if self._input is None:
            self._stored.end()


def refuse_same(option: str, path: str, input: str) -> None:
    """Raise OptionError where one file is to be the input and what it is compared with."""
    if same_file(path, input):
        what = f"{parameter(option, path)} is the input itself"
        raise OptionError(what, "name the file that holds what the input is compared with")
