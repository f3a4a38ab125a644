"""A picture's file: opened before anything is computed, written whole at the end or left as it was."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from softargmax_cli.cli.destinations import picture_format_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Picture:
    """The target of `--plot FILE`. Figures are begun and drawn within the `with` block, where the look is ours.

    Raises OptionError where the suffix names no format, MissingDependencyError without matplotlib, OutputError where
    the file cannot be written, or exists without `force`: all before any computing.
    """

    def __init__(self, path: str, *, force: bool) -> None:
        from softargmax_cli.files.writers.atomic import open_target
        from softargmax_cli.report.plots.figure import look

        self._format = picture_format_of(path)
        with ExitStack() as stack:
            stack.enter_context(look())
            self._target = open_target(path, force=force)
            stack.callback(self._abort)
            self._open = True
            self._stack = stack.pop_all()

    def write(self, figure: Figure) -> None:
        """Write it, all of it, beside the file. OutputError where that cannot be done."""
        from softargmax_cli.files.temporary import blaming
        from softargmax_cli.report.plots.figure import rendered

        content = rendered(figure, self._format)
        with blaming(self._target.name):
            self._target.stream.write(content)
            self._target.stream.flush()

    def commit(self) -> None:
        """Put what was written in place; what may fail of it has been done, so results are committed in between."""
        from softargmax_cli.files.temporary import blaming

        with blaming(self._target.name):
            self._target.commit()
        self._open = False

    def __enter__(self) -> Picture:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it; without `commit` before, the file is as it was."""
        self._stack.close()

    def _abort(self) -> None:
        if self._open:
            self._target.abort()
