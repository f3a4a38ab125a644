"""Pictures of results, drawn with matplotlib: slices with their scores and weights, and the sweep over β.

A matplotlibrc on the machine has no effect. Text is never TeX, as names come from files. The colours are those of Okabe
and Ito, which colour-blind people can tell apart. Equal pictures are equal bytes.
"""

from __future__ import annotations

import io
import logging
import math
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import MissingDependencyError, parameter
from softargmax_cli.reduction.excerpt import Excerpt, weights
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.result import Run, Slices
from softargmax_cli.reduction.sweep import Trials
from softargmax_cli.report.summary import DOT, heading, marks, settings
from softargmax_cli.report.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.gridspec import SubplotSpec

DPI = 200
"""Dots per inch of a .png: twice those of a page, so that it is sharp on dense screens."""
WIDTH, AROUND = 7.6, 1.14
"""The width of a picture, and the height above and below its panels, in inches."""
LARGEST = 1e290
"""The largest number that matplotlib can scale on an axis."""
INK, GREY, RULE, FAINT = "#1f2328", "#59636e", "#afb8c1", "#e4e8ec"
BLUE, ORANGE, SKY = "#0072b2", "#d55e00", "#56b4e9"
SHADES = ("#fafbfc", "#8793a0", "#2a3642")
"""Colours of a map of scores, from the least weight to the largest."""

_LOOK: Any = {  # rcParams, whose names depend on the release
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": RULE,
    "axes.labelcolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.formatter.useoffset": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
    "svg.hashsalt": "softargmax",  # else names within the file differ from run to run
    "pdf.fonttype": 42,
}
_METADATA: dict[str, dict[str, Any]] = {  # no dates, no versions
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": "softargmax"},
    "pdf": {"CreationDate": None, "Creator": "softargmax", "Producer": None},
}
_RING: Any = {"marker": "o", "linestyle": "none", "color": ORANGE, "markerfacecolor": "none", "markeredgewidth": 1.6}
_DOT: Any = {"marker": "o", "linestyle": "none", "color": BLUE, "markersize": 4.5, "markeredgewidth": 1.4}
_DASHED: Any = {"color": INK, "linewidth": 0.9, "linestyle": (0, (3, 2))}

Float = npt.NDArray[np.float64]


@contextmanager
def look() -> Iterator[None]:
    """Set the style of matplotlib within this block, and restore it afterwards.

    Raises MissingDependencyError if matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        if error.name != "matplotlib":
            raise
        what = f"{parameter('plot')} draws with matplotlib, which is not installed"
        raise MissingDependencyError(what, "pip install matplotlib\nit is the extra named plot") from None
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it logs about caches and fonts
    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.simplefilter("ignore")  # about letters that the font lacks, drawn as boxes
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_LOOK)
        yield


def rendered(figure: Figure, format: str) -> bytes:
    """Return the figure as a file: png, svg or pdf."""
    file = io.BytesIO()
    figure.savefig(file, format=format, metadata=_METADATA[format])
    return file.getvalue()


def begin(height: float, run: Run, more: str = "", handles: Sequence[Any] = ()) -> tuple[Figure, SubFigure]:
    """Return a figure with the title and the legend of a run, and the part of it below them."""
    from matplotlib.figure import Figure

    figure = Figure((WIDTH, height), dpi=DPI, layout="constrained", facecolor="white")
    name, *about = [*heading(run), *settings(run)]
    title, room = printable(name), int(WIDTH * 9)
    title = title if len(title) <= room else "…" + title[1 - room :]  # the end tells files apart
    figure.suptitle(title, x=0.007, ha="left", fontsize=11.5, weight="bold")
    panels: SubFigure = figure.subfigures()  # type: ignore[assignment]  # a single one
    style: Any = {"loc": "outside upper left", "alignment": "left", "borderpad": 0, "handletextpad": 0.5}
    subtitle = textwrap.fill(printable(DOT.join(about)) + more, int(WIDTH * 14))
    legend = panels.legend(handles=handles, title=subtitle, ncols=max(1, len(handles)), **style)
    legend.get_title().set_color(GREY)
    return figure, panels


@dataclass(frozen=True, slots=True)
class Panel:
    """One slice to draw. Its axes are the reduced ones in array order; places are in the unit of soft."""

    name: str
    mark: str
    """The reason for a second look: "≠ disagrees"."""
    low: Float
    """The least score of each cell, shape (cells along each axis); for costs `best` equals it, otherwise `high`."""
    high: Float
    best: Float
    weights: Float
    places: list[Float]
    """The middle of each cell, along each axis."""
    hard: list[float]
    """NaN, which is not drawn, if the slice has no answer; soft likewise."""
    soft: list[float]
    window: list[Float]
    """The first and the last place within the window along each axis; empty without a window."""


def draw_slices(run: Run, problem: Problem, slices: Slices | None, total: int, excerpt: Excerpt) -> Figure:
    """Draw the first of `total` slices: along one axis scores above weights, along two as maps side by side."""
    shown = 0 if slices is None else len(slices)
    more = f"{DOT}first {shown:,} of {total:,} slices" if shown < total else ""
    one, per_slice = len(problem.axes) == 1, 1 if run.kind == "probs" else 2
    if one:
        columns = 1 if shown <= 1 else 2 if shown <= 8 else 3
        tall = {1: 3.0, 2: 2.2, 3: 2.0}[columns] - (0 if per_slice == 2 else 0.6)
    else:
        columns = min(max(shown, 1), (2 if shown <= 8 else 3) * 2 // per_slice)
        height, width = (len(edges) - 1 for edges in excerpt.edges)
        tall = 0.5 + min(max((WIDTH / columns / per_slice - 0.5) * height / width, 1.0), 4.0)
    rows = max(1, -(-shown // columns))
    handles = _legend(run.kind, one=one, windowed=run.window is not None)
    figure, panels = begin(AROUND + rows * tall, run, more, handles)
    if slices is None:
        panels.add_subplot().set_axis_off()  # the header needs something below it
        return figure
    grid = panels.add_gridspec(rows, columns)
    for number, panel in enumerate(_panels(run, problem, slices, excerpt)):
        cell = grid[divmod(number, columns)]
        axes = _put_curves(cell, panel, run) if one else _put_maps(cell, panel, run.kind)
        _put_title(axes[0], axes[0 if one else -1], panel, int((WIDTH / columns - 0.6) / 0.085))
    for axis, label in zip(problem.ascending[::-1], (panels.supxlabel, panels.supylabel), strict=False):
        unit = problem.along(axis).name.replace("values", "coordinate")
        label(f"{unit} along axis {axis}", fontsize=8.5, color=GREY)
    return figure


def _legend(kind: str, *, one: bool, windowed: bool) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    name, side = ("costs", "lower") if kind == "cost" else ("scores", "higher")
    handles: list[Any] = [Line2D([], [], color=GREY, label=f"{name} (above)")]
    if not one:
        handles = [Patch(color=SHADES[1], label=f"{name} (left): darker is {side}")]
    if kind == "probs":
        handles.clear()
    where = "" if kind == "probs" else " (below)" if one else " (right)"
    handles += [Patch(color=SKY, label=f"weights{where}"), Line2D([], [], markersize=7, label="hard", **_RING)]
    handles.append(Line2D([], [], label="soft", **(_DOT if one else {**_DOT, "marker": "+", "markersize": 8})))
    if windowed:
        handles.append(Patch(color=FAINT, label="window") if one else Line2D([], [], label="window", **_DASHED))
    return handles


def _panels(run: Run, problem: Problem, slices: Slices, excerpt: Excerpt) -> Iterator[Panel]:
    alongs = [problem.along(axis).of(run.known_shape[axis]) for axis in problem.ascending]
    middles = [(edges[:-1] + edges[1:] - 1) / 2 for edges in excerpt.edges]
    places = [along.at(middle) for along, middle in zip(alongs, middles, strict=True)]
    best, positions, array_order = excerpt.best(run.kind), slices.positions(run.kept), np.argsort(problem.axes)
    periods = [problem.periods[k] for k in array_order]
    for k, mark in enumerate(marks(slices)):
        name = ", ".join(f"{along[k]}" for along in positions) or "all"
        name += "" if slices.ids is None else f"{DOT}{slices.ids[k]}"
        shares = np.nan_to_num(weights(best[k], float(slices.peak[k]), run.kind, run.beta))
        hard, soft, window = [], slices.soft[array_order, k].tolist(), []
        for axis, (along, at) in enumerate(zip(alongs, slices.hard[array_order, k], strict=True)):
            hard.append(math.nan if at < 0 else float(along.at(at)))
            if period := periods[axis]:  # on the same turn of the circle as the places
                soft[axis] = places[axis].min() + (soft[axis] - places[axis].min()) % period
            if run.window is not None and at >= 0:
                edges, apart = excerpt.edges[axis], np.abs(middles[axis] - at)
                ends = np.array([max(at - run.window, 0) - 0.5, min(at + run.window, edges[-1] - 1) + 0.5])
                window.append(along.at(ends))
                apart = np.minimum(apart, edges[-1] - apart) if along.round else apart
                near = apart <= run.window + (np.diff(edges) - 1) / 2
                shares *= near.reshape([-1 if other == axis else 1 for other in range(len(alongs))])
        yield Panel(name, mark, excerpt.low[k], excerpt.high[k], best[k], shares, places, hard, soft, window)


def _put_curves(cell: SubplotSpec, panel: Panel, run: Run) -> list[Axes]:
    """Draw scores above weights; probabilities are weights already, and have one panel."""
    ratios = (1,) if run.kind == "probs" else (3, 2)
    grid = cell.subgridspec(len(ratios), 1, height_ratios=ratios, hspace=0.04)
    axes: list[Axes] = [*grid.subplots(sharex=True, squeeze=False)[:, 0]]
    below, order = axes[-1], _monotonic(panel.places[0])
    places, edges = panel.places[0][order], _borders(panel.places[0][order])
    top = float(panel.weights.max(initial=0)) or 1.0
    below.stairs(panel.weights[order], edges, fill=True, facecolor=SKY, edgecolor=SKY, linewidth=1.2)
    below.set(xlim=(edges.min(), edges.max()), ylim=(0, 1.2 * top))
    below.set_yticks([0, top], ["0", f"{top:.2g}"])
    ring: Any = {**_RING, "markersize": 7, "clip_on": False, "zorder": 4}
    for above in axes[:-1]:
        low, high = _scaled(panel.low[order]), _scaled(panel.high[order])
        if np.array_equal(low, high, equal_nan=True):
            marker = "o" if len(places) <= 40 else None
            above.plot(places, high, color=GREY, linewidth=1.1, marker=marker, markersize=2.5)
        else:
            above.fill_between(places, low, high, color=GREY, linewidth=0.6, step="mid")
        above.margins(y=0.14)
        above.set_ylim(above.get_ylim())  # unchanged by what follows
        above.tick_params(axis="x", length=0)
        above.locator_params(axis="y", nbins=3)
        best = np.fmin.reduce(panel.best) if run.kind == "cost" else np.fmax.reduce(panel.best)
        above.plot(panel.hard[0], np.clip(best, *above.get_ylim()), **ring)
    for each in axes if panel.window else ():
        each.axvspan(*panel.window[0], color=FAINT, linewidth=0, zorder=0)
    below.plot(panel.hard[0], top, **ring)
    below.plot(panel.soft[0], 0, clip_on=False, zorder=5, **_DOT)
    if run.labels is not None and run.coords == "index" and len(run.labels) <= 12:
        names = [printable(name if len(name) <= 12 else f"{name[:11]}…") for name in run.labels]
        tilted = max(map(len, names)) * len(names) > 36
        below.set_xticks(panel.places[0], names, rotation=40 if tilted else 0, ha="right" if tilted else "center")
    else:
        below.locator_params(axis="x", nbins=5, integer=run.coords == "index")
    return axes


def _put_maps(cell: SubplotSpec, panel: Panel, kind: str) -> list[Axes]:
    """Draw a map of scores beside one of weights; the first axis runs down, the second to the right."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle
    from matplotlib.path import Path

    down, right = map(_monotonic, panel.places)
    y, x = (_borders(places[order]) for places, order in zip(panel.places, (down, right), strict=True))
    maps: list[Any] = [(panel.weights, ("#ffffff", SKY, "#2a7fb8"), 0.0)]
    if kind != "probs":
        maps.insert(0, (_scaled(panel.best), SHADES[::-1] if kind == "cost" else SHADES, None))
    axes: list[Axes] = [*cell.subgridspec(1, len(maps), wspace=0.03).subplots(sharey=True, squeeze=False)[0]]
    for each, (values, colours, least) in zip(axes, maps, strict=True):
        shaded: Any = {"cmap": LinearSegmentedColormap.from_list("shades", colours), "vmin": least, "rasterized": True}
        each.pcolormesh(x, y, values[down][:, right], antialiased=False, linewidth=0, **shaded)
        if panel.window:
            (top, bottom), (first, last) = panel.window
            each.add_patch(Rectangle((first, top), last - first, bottom - top, fill=False, **_DASHED))
        each.plot(*panel.hard[::-1], markersize=11, clip_on=False, **_RING)
        each.set(xlim=(x[0], x[-1]), ylim=(y[-1], y[0]))
        each.set_box_aspect(min(max((len(y) - 1) / (len(x) - 1), 0.2), 3.0))
        each.locator_params(axis="x", nbins=3)
        each.locator_params(axis="y", nbins=4)
        each.tick_params(axis="y", left=each is axes[0])
        each.spines[["top", "right"]].set_visible(True)
    arms = [(-1, 0), (-0.4, 0), (0.4, 0), (1, 0), (0, -1), (0, -0.4), (0, 0.4), (0, 1)]
    cross: Any = {**_DOT, "marker": Path(arms, [1, 2] * 4), "markersize": 10}
    axes[0].plot(*panel.soft[::-1], clip_on=False, **cross)  # not on the weights, where it would hide a sharp peak
    return axes


def _put_title(first: Axes, last: Axes, panel: Panel, letters: int) -> None:
    """Write the slice's name and, in colour, its mark, of which only the sign stays if there is little room."""
    mark, name = panel.mark, printable(panel.name)
    if len(name) + len(mark) > letters:
        mark = " ".join(part.split()[0] for part in mark.split("  ") if part)
    letters = max(8, letters - len(mark))
    first.set_title(name if len(name) <= letters else f"{name[: letters - 1]}…", pad=4)
    last.set_title(mark, loc="right", pad=4, fontsize=8, fontweight="normal", color=ORANGE)


def _scaled(values: Float) -> Float:
    """Replace numbers too large for an axis, such as infinities, by NaN, which is not drawn."""
    return np.where(np.abs(values) <= LARGEST, values, math.nan)


def _monotonic(places: Float) -> npt.NDArray[np.intp]:
    """Return the order that makes places monotonic, in the direction from the first to the last."""
    return np.argsort(places if places[0] <= places[-1] else -places, kind="stable")


def _borders(places: Float) -> Float:
    """Return the borders of cells around `places`: halfway between them, and as far beyond the outer ones."""
    if len(places) == 1:
        return np.add(places, [-0.5, 0.5])
    around: Float = np.pad(places, 1, "reflect", reflect_type="odd")
    return (around[:-1] + around[1:]) / 2


def draw_betas(run: Run, swept: Trials, tolerance: float, recommended: float | None) -> Figure:
    """Draw the largest offset and the mean gradient of each β, the tolerance, and the recommended β."""
    figure, panels = begin(4.2, run)
    axes = panels.subplots()
    betas, unit = [at.beta for at in swept.trials], "indices" if run.coords == "index" else "coordinates"
    curves = np.array([[at.max_abs_offset, at.mean_gradient_norm] for at in swept.trials]).T
    curves[~(curves > 0)] = math.nan
    axes.plot(betas, curves[0], color=ORANGE, marker="o", label=f"max |offset|, {unit}", markersize=4.5)
    axes.plot(betas, curves[1], color=BLUE, marker="s", label="mean gradient norm", markersize=4.5)
    if tolerance > 0:
        axes.axhline(tolerance, color=GREY, linestyle=":", label=f"--tol {tolerance:g}")
    if recommended is not None:
        axes.axvline(recommended, color=INK, linestyle="--", linewidth=1, label=f"β {recommended:.10g}")
    axes.set(xscale="log", yscale="log", xlabel="β", xlim=(betas[0] / 2, betas[-1] * 2))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    most = np.nanmax(curves)
    if most * 1e-6 > np.nanmin(curves):  # tiny values would flatten all others
        axes.set_ylim(min(most * 1e-6, tolerance / 2), most * 3)
    axes.grid(color=FAINT)
    axes.legend()
    return figure
