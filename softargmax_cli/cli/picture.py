"""`--plot`: a picture of slices or curves, which is written whole at the end or left as it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from softargmax_cli.cli.paths import PICTURES
from softargmax_cli.errors import OptionError, parameter
from softargmax_cli.files.writers import format_of
from softargmax_cli.files.writers.atomic import Document

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.reduction.excerpt import Excerpt


class Picture(Document):
    """The target of `--plot FILE`. Figures are begun and drawn within the `with` block, where the look is ours.

    Raises OptionError where the suffix names no format, MissingDependencyError without matplotlib, OutputError where
    the file cannot be written, or exists without `force`: all before any computing.
    """

    def __init__(self, path: str, *, force: bool) -> None:
        from softargmax_cli.report.figure import look

        self._format = format_of(path, PICTURES)
        with ExitStack() as stack:
            stack.enter_context(look())
            super().__init__(path, force=force)
            self.files.push(stack.pop_all())

    def draw(self, figure: Figure) -> None:
        """Write a figure beside the file; what may fail of it has been done, so results may be committed first."""
        from softargmax_cli.report.figure import rendered

        self.write(rendered(figure, self._format))


class Drawing(Picture):
    """The picture of the first slices that come; `add` takes slices, `finish` draws them."""

    def __init__(self, path: str, rows: int, *, force: bool) -> None:
        from softargmax_cli.report.plots import MOST
        from softargmax_cli.report.summary import First

        super().__init__(path, force=force)
        self._first, self._asked = First(min(rows or MOST, MOST)), rows
        self.add = self._first.add

    def finish(self, reduction: Reduction, count: int, read: Callable[[Sequence[int]], Excerpt | None]) -> None:
        """Draw and write, once all slices have come; note where more were asked for than a picture shows.

        count: how many slices there are to show. read: reads the scores of slices with these numbers. Raises
        OptionError where it cannot.
        """
        from softargmax_cli.report.plots import draw_slices

        shown = self._first.count
        if shown < min(self._asked or count, count):
            reduction.notes.append(f"the picture shows the first {shown} slices only")
        excerpt = read(self._first.numbers)
        if excerpt is None:
            what = f"{reduction.run.input}: {parameter('plot')}: its slices lie too far from the beginning"
            raise OptionError(what, "a file that is read in order is not read twice for that: convert it to .npy first")
        self.draw(draw_slices(reduction.run, reduction.problem, self._first.slices, count, excerpt))
