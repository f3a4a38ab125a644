"""`--plot`: from the first slices of a run and their scores to a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from softargmax_cli.cli.picture import Picture
from softargmax_cli.errors import OptionError, parameter

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from matplotlib.figure import Figure

    from softargmax_cli.cli.asking import Reduction
    from softargmax_cli.reduction.excerpt import Excerpt
    from softargmax_cli.reduction.result import Slices, Summary
    from softargmax_cli.reduction.spec import Problem
    from softargmax_cli.report.plots.slices import Panel


def check_axes(axes: tuple[int, ...]) -> None:
    """Raise OptionError where no picture shows so many axes."""
    if len(axes) > 2:
        raise OptionError(
            f"--plot draws slices along one axis or two, and --axis names {len(axes)}",
            "leave it out, or reduce fewer axes",
        )


def drawn(rows: int) -> int:
    """How many slices a picture shows where a table would show `rows`, 0 for all."""
    from softargmax_cli.report.plots.slices import MOST

    return min(rows or MOST, MOST)


class Drawing:
    """The picture of the first slices of a run, and its file; used within `with`."""

    def __init__(self, path: str, rows: int, *, force: bool) -> None:
        from softargmax_cli.report.summary import First

        self._picture = Picture(path, force=force)
        self._first, self._asked = First(drawn(rows)), rows
        self.add = self._first.add
        """Takes the next slices."""

    def finish(self, reduction: Reduction, summary: Summary, read: Callable[[int], Excerpt | None]) -> None:
        """Draw and write, once all slices have come; notes where more were asked for than a picture shows.

        read: reads the scores of so many first slices. Raises OptionError where it cannot, OutputError where the
        picture cannot be written.
        """
        shown = self._first.count
        if shown < min(self._asked or summary.slices, summary.slices):
            reduction.notes.append(f"the picture shows the first {shown} slices only")
        excerpt = read(max(shown, 1))
        if excerpt is None:
            what = f"{reduction.run.input}: {parameter('plot')}: its first slices end too far from the beginning"
            raise OptionError(what, "a file that is read in order is not read twice for that: convert it to .npy first")
        self._picture.write(_figure(reduction, self._first.slices, summary, excerpt))

    def commit(self) -> None:
        """Put the file in place."""
        self._picture.commit()

    def __enter__(self) -> Drawing:
        return self

    def __exit__(self, *raised: object) -> None:
        self._picture.close()


def _figure(reduction: Reduction, slices: Slices | None, summary: Summary, excerpt: Excerpt) -> Figure:
    from softargmax_cli.report.plots.slices import Page, draw
    from softargmax_cli.report.summary import heading, settings
    from softargmax_cli.report.text import FULL, printable

    run, problem = reduction.run, reduction.problem
    title, *about = [*heading(run, run.known_shape, FULL, printable), *settings(run, FULL)]
    shown = 0 if slices is None else len(slices)
    if shown < summary.slices:
        about.append(f"first {shown:,} of {summary.slices:,} slices")
    ticks = None
    if run.labels is not None and problem.coords == "index" and problem.values is None:
        ticks = [name if len(name) <= 12 else name[:11] + FULL.more for name in run.labels]
    units = tuple(_unit(problem, axis) for axis in problem.ascending)
    panels = [] if slices is None else _panels(reduction, slices, excerpt)
    return draw(panels, Page(title, FULL.dot.join(about), run.kind, units, ticks))


def _unit(problem: Problem, axis: int) -> str:
    if problem.values is not None:
        return f"coordinate along axis {axis}"
    return f"{'index' if problem.coords == 'index' else problem.coords} along axis {axis}"


def _panels(reduction: Reduction, slices: Slices, excerpt: Excerpt) -> list[Panel]:
    import numpy as np

    from softargmax_cli.reduction.excerpt import weights
    from softargmax_cli.report.plots.slices import Panel
    from softargmax_cli.report.summary import marks
    from softargmax_cli.report.text import FULL

    run, problem = reduction.run, reduction.problem
    middles = [(edges[:-1] + edges[1:] - 1) / 2 for edges in excerpt.edges]
    places = [_placed(problem, run.known_shape, axis, at) for axis, at in zip(problem.ascending, middles, strict=True)]
    best, array_order = excerpt.best(run.kind), np.argsort(problem.axes)
    positions = list(zip(*(along.tolist() for along in slices.positions(run.kept)), strict=True)) or [()]
    panels = []
    for k, (position, mark) in enumerate(zip(positions, marks(slices, FULL), strict=True)):
        name = ", ".join(map(str, position)) if position else "all"
        if slices.ids is not None:
            name += f"{FULL.dot}{slices.ids[k]}"
        weighed, hard, soft, window = np.zeros_like(best[k]), None, None, None
        if slices.hard[0, k] >= 0:
            index = slices.hard[array_order, k]
            soft = tuple(slices.soft[array_order, k].tolist())
            weighed = weights(best[k], float(slices.peak[k]), run.kind, run.beta)
            ends = _window(problem, run.known_shape, index)
            hard = tuple(float(at[1]) for at in ends)
            if run.window is not None:
                window = tuple((float(at[0]), float(at[2])) for at in ends)
                weighed = np.where(_within(excerpt, index, run.window), weighed, 0.0)
        panels.append(
            Panel(name, mark, excerpt.low[k], excerpt.high[k], best[k], weighed, tuple(places), hard, soft, window)
        )
    return panels


def _window(problem: Problem, shape: tuple[int, ...], hard: npt.NDArray[np.int64]) -> list[npt.NDArray[np.float64]]:
    """Along each axis the places of the window's first border, of the hard argmax, and of the last border."""
    import numpy as np

    radius = problem.window or 0
    places = []
    for axis, index in zip(problem.ascending, hard.tolist(), strict=True):
        last = shape[axis] - 1
        first, end = max(index - radius, 0), min(index + radius, last)
        places.append(_placed(problem, shape, axis, np.array([first - 0.5, index, end + 0.5])))
    return places


def _within(excerpt: Excerpt, hard: npt.NDArray[np.int64], radius: int) -> npt.NDArray[np.bool_]:
    """Which cells have any index within the window."""
    import numpy as np

    near = [
        (edges[1:] > at - radius) & (edges[:-1] <= at + radius)
        for edges, at in zip(excerpt.edges, hard.tolist(), strict=True)
    ]
    within: npt.NDArray[np.bool_] = near[0] if len(near) == 1 else np.logical_and.outer(*near)
    return within


def _placed(
    problem: Problem, shape: tuple[int, ...], axis: int, index: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The coordinates of indices along an axis, which may lie between whole ones, or half a step outside."""
    return problem.along(axis).at(index, shape[axis])
