"""What every sink does alike: slices come in order, the end is a commit or an abort, errors name the target."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING

from softargmax_cli.files.writers.target import Target, blaming
from softargmax_cli.reduction.result import Run, Slices, Summary

if TYPE_CHECKING:
    from typing_extensions import Self


class Whole:
    """What is written whole or not at all: leaving the `with` block without a commit aborts."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._open = True

    def abort(self) -> None:
        """Give up: the target is as it was before, and no temporary file stays. After a commit it does nothing."""
        if self._open:
            self._open = False
            self._target.abort()
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _release(self) -> None:
        """Let go of temporary files, where there are any."""


class Sink(Whole, ABC):
    """An open result.

    A sink is fed by one thread. OutputError when the target cannot be written; BrokenPipeError when the
    reader at the other end of a pipe has gone.
    """

    def __init__(self, target: Target, run: Run) -> None:
        super().__init__(target)
        self._run = run
        self._count = 0

    def write(self, slices: Slices) -> None:
        """Take the next slices, in row-major order without gaps."""
        if slices.start != self._count:
            raise RuntimeError(f"slice {slices.start} came where slice {self._count} was due")
        with blaming(self._target.name):
            self._write(slices)
            self._target.pass_on()
        self._count += len(slices)

    def commit(self, summary: Summary, shape: tuple[int, ...]) -> None:
        """Finish the result and put it in place; `shape` is the input's, of which every length is now known."""
        try:
            self._check(shape)
            with blaming(self._target.name):
                self._finish(summary, shape)
                self._target.commit()
        except BaseException:
            self.abort()
            raise
        self._open = False
        self._release()

    def _check(self, shape: tuple[int, ...]) -> None:
        """A result of another size than its header promises would be a broken file."""
        due = math.prod(self._kept(shape))
        if due != self._count:
            raise RuntimeError(f"{self._count} slices came where {due} were due")
        if len(shape) != len(self._run.shape) or any(
            known not in (None, length) for known, length in zip(self._run.shape, shape, strict=True)
        ):
            raise RuntimeError(f"the shape {shape} is not the shape {self._run.shape} that was announced")

    def _kept(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(int(n) for k, n in enumerate(shape) if k not in self._run.axes)

    def _begin(self) -> None:
        """Write what precedes the first slice."""

    @abstractmethod
    def _write(self, slices: Slices) -> None:
        """Write the next slices."""

    @abstractmethod
    def _finish(self, summary: Summary, shape: tuple[int, ...]) -> None:
        """Write what follows the last slice."""
