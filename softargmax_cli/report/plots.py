"""Pictures of results, drawn with matplotlib: slices with their scores and weights, and what each β does to a file."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.excerpt import Excerpt, weights
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.result import Run, Slices
from softargmax_cli.reduction.sweep import Trials
from softargmax_cli.report.figure import BLUE, FAINT, FOOT, GREY, HEADER, INK, ORANGE, SKY, WIDTH, begin
from softargmax_cli.report.summary import DOT, heading, marks, settings
from softargmax_cli.report.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

MOST = 24
"""Slices of a picture: more are too small on a page to be read."""
SHADES = ("#fafbfc", "#8793a0", "#2a3642")
"""Colours of a map of scores, from what weighs least to what weighs most."""
LARGEST = 1e290
"""The largest number on an axis that matplotlib is able to scale."""

_RING: Any = {"marker": "o", "linestyle": "none", "color": ORANGE, "markerfacecolor": "none", "markeredgewidth": 1.6}
_DOT: Any = {"marker": "o", "linestyle": "none", "color": BLUE, "markersize": 4.5, "markeredgewidth": 1.4}
_DASHED: Any = {"color": INK, "linewidth": 0.9, "linestyle": (0, (3, 2))}

Float = npt.NDArray[np.float64]


@dataclass(slots=True)
class Panel:
    """One slice to draw. Axes are those reduced, in the order of the array; places are in the unit of soft."""

    name: str
    mark: str
    """The reason for a second look: "≠ disagrees"."""
    low: Float
    """The least score of each cell, shape (cells along each axis)."""
    high: Float
    best: Float
    """`low` for costs, `high` otherwise."""
    weights: Float
    places: tuple[Float, ...]
    """The middle of each cell, along each axis."""
    hard: tuple[float, ...] | None = None
    """None where the slice has no answer."""
    soft: tuple[float, ...] | None = None
    window: tuple[tuple[float, ...], ...] | None = None
    """The first and the last place within the window along each axis."""


def draw_slices(run: Run, problem: Problem, slices: Slices | None, total: int, excerpt: Excerpt) -> Figure:
    """Draw the first of `total` slices: along one axis scores above weights, along two as maps side by side."""
    shown = 0 if slices is None else len(slices)
    title, *about = [*heading(run), *settings(run)]
    if shown < total:
        about.append(f"first {shown:,} of {total:,} slices")
    panels = [] if slices is None else _panels(run, problem, slices, excerpt)
    one, both = len(problem.axes) == 1, run.kind != "probs"
    if one:
        columns = 1 if shown <= 1 else 2 if shown <= 8 else 3
        tall = {1: 3.0, 2: 2.2, 3: 2.0}[columns] - (0 if both else 0.6)
    else:
        columns = min(max(shown, 1), (2 if shown <= 8 else 3) * (1 if both else 2))
        height, width = (len(places) for places in panels[0].places) if panels else (1, 1)
        tall = 0.5 + min(max((WIDTH / columns / (2 if both else 1) - 0.5) * height / width, 1.0), 4.0)
    rows = max(1, -(-shown // columns))
    figure, header = begin(HEADER + FOOT + rows * tall, title, DOT.join(about))
    grid = figure.add_gridspec(rows, columns)
    for number, panel in enumerate(panels):
        cell = grid[divmod(number, columns)]
        axes = _put_curves(figure, cell, panel, run, problem) if one else _put_maps(figure, cell, panel, run.kind)
        _put_title(axes[0], axes[-1] if not one else axes[0], panel, WIDTH / columns)
    units = [_unit(problem, axis) for axis in problem.ascending]
    if not one:
        figure.supylabel(units[0], fontsize=8.5, color=GREY)
    figure.supxlabel(units[-1], fontsize=8.5, color=GREY)
    _put_legend(figure, run.kind, one, any(panel.window for panel in panels), header)
    return figure


def _panels(run: Run, problem: Problem, slices: Slices, excerpt: Excerpt) -> list[Panel]:
    def placed(axis: int, index: Float) -> Float:
        return problem.along(axis).of(run.known_shape[axis]).at(index)

    middles = [(edges[:-1] + edges[1:] - 1) / 2 for edges in excerpt.edges]
    places = tuple(placed(axis, at) for axis, at in zip(problem.ascending, middles, strict=True))
    best, array_order, panels = excerpt.best(run.kind), np.argsort(problem.axes), []
    positions = list(zip(*(along.tolist() for along in slices.positions(run.kept)), strict=True)) or [("all",)]
    for k, (position, mark) in enumerate(zip(positions, marks(slices), strict=True)):
        name = ", ".join(map(str, position)) + ("" if slices.ids is None else f"{DOT}{slices.ids[k]}")
        panel = Panel(name, mark, excerpt.low[k], excerpt.high[k], best[k], np.zeros_like(best[k]), places)
        panels.append(panel)
        if slices.hard[0, k] < 0:
            continue
        index = slices.hard[array_order, k].tolist()
        panel.soft = _nearby(slices.soft[array_order, k], places, np.array(problem.periods)[array_order])
        panel.hard = tuple(float(placed(axis, np.array(at))) for axis, at in zip(problem.ascending, index, strict=True))
        panel.weights = weights(best[k], float(slices.peak[k]), run.kind, run.beta)
        if (radius := run.window) is not None:
            window, near = [], []
            for axis, at, edges, middle in zip(problem.ascending, index, excerpt.edges, middles, strict=True):
                ends = [max(at - radius, 0) - 0.5, min(at + radius, edges[-1] - 1) + 0.5]
                window.append(tuple(placed(axis, np.array(ends)).tolist()))
                apart = np.abs(middle - at)
                apart = np.minimum(apart, edges[-1] - apart) if problem.along(axis).round else apart
                near.append(apart <= radius + (np.diff(edges) - 1) / 2)
            panel.window = tuple(window)
            panel.weights = np.where(functools.reduce(np.logical_and.outer, near), panel.weights, 0.0)
    return panels


def _nearby(soft: Float, places: Sequence[Float], periods: npt.NDArray[Any]) -> tuple[float, ...] | None:
    """Return soft as many turns on as the places are; None where there is none."""
    if np.isnan(soft).any():
        return None
    turned = zip(soft.tolist(), places, periods, strict=True)
    return tuple(one if turn is None else min(along) + (one - min(along)) % turn for one, along, turn in turned)


def _unit(problem: Problem, axis: int) -> str:
    """Name an axis, and the unit along it."""
    kind = problem.along(axis).name
    return f"{'coordinate' if kind == 'values' else kind} along axis {axis}"


def _put_curves(figure: Figure, cell: SubplotSpec, panel: Panel, run: Run, problem: Problem) -> list[Axes]:
    """Draw scores, and below them weights; of weights that are given as such there is one panel."""
    both = run.kind != "probs"
    grid = cell.subgridspec(2 if both else 1, 1, height_ratios=(3, 2) if both else (1,), hspace=0.04)
    order = _ascending(panel.places[0])
    places, edges = panel.places[0][order], _borders(panel.places[0][order])
    top = float(panel.weights.max(initial=0)) or 1.0
    above = figure.add_subplot(grid[0, 0]) if both else None
    below = figure.add_subplot(grid[-1, 0], sharex=above)
    below.stairs(panel.weights[order], edges, fill=True, facecolor=SKY, edgecolor=SKY, linewidth=1.2)
    below.set(xlim=(min(edges[0], edges[-1]), max(edges[0], edges[-1])), ylim=(0, 1.2 * top))
    below.set_yticks([0, top] if panel.hard else [], ["0", f"{top:.2g}"] if panel.hard else [])
    axes = [below] if above is None else [above, below]
    if above is not None:
        low, high = _finite(panel.low[order]), _finite(panel.high[order])
        if np.array_equal(low, high, equal_nan=True):
            few = len(places) <= 40
            above.plot(places, high, color=GREY, linewidth=1.1, marker="o" if few else None, markersize=2.5)
        else:
            above.fill_between(places, low, high, color=GREY, linewidth=0.6, step="mid")
        above.margins(y=0.14)
        above.set_ylim(above.get_ylim())  # as it is
        above.tick_params(axis="x", labelbottom=False, length=0)
        above.locator_params(axis="y", nbins=3)
        if not np.isfinite(panel.best).any():
            above.set_yticks([])
    for each in axes if panel.window else ():
        each.axvspan(*panel.window[0], color=FAINT, linewidth=0, zorder=0)  # type: ignore[index]
    if panel.hard and panel.soft:
        free: Any = {"clip_on": False, "zorder": 4}
        if both:
            best = np.fmin.reduce(panel.best) if run.kind == "cost" else np.fmax.reduce(panel.best)
            axes[0].plot(panel.hard[0], np.clip(best, *axes[0].get_ylim()), markersize=7, **_RING, **free)
        below.plot(panel.hard[0], top, markersize=7, **_RING, **free)
        below.plot(panel.soft[0], 0, **_DOT, **free)
    if run.labels is not None and problem.along(problem.axes[0]).name == "index" and len(run.labels) <= 12:
        names = [printable(name if len(name) <= 12 else f"{name[:11]}…") for name in run.labels]
        tilted = max(map(len, names)) * len(names) > 36
        below.set_xticks(panel.places[0], names, rotation=40 if tilted else 0, ha="right" if tilted else "center")
    else:
        below.locator_params(axis="x", nbins=5, integer=run.coords == "index")
    return axes


def _put_maps(figure: Figure, cell: SubplotSpec, panel: Panel, kind: str) -> list[Axes]:
    """Draw a map of scores, and beside it one of weights; the first axis goes down, the second to the right."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle
    from matplotlib.path import Path

    both = kind != "probs"
    grid = cell.subgridspec(1, 2 if both else 1, wspace=0.03)
    down, right = (_ascending(places) for places in panel.places)
    edges = [_borders(places[order]) for places, order in zip(panel.places, (down, right), strict=True)]
    shades = SHADES[::-1] if kind == "cost" else SHADES
    maps: list[tuple[Float, tuple[str, ...], float | None]] = [(_finite(panel.best), shades, None)] if both else []
    maps.append((panel.weights, ("#ffffff", SKY, "#2a7fb8"), 0.0))
    arms = [(-1, 0), (-0.4, 0), (0.4, 0), (1, 0), (0, -1), (0, -0.4), (0, 0.4), (0, 1)]
    cross: Any = {"marker": Path(arms, [1, 2] * 4), "linestyle": "none", "color": BLUE, "markersize": 10}
    axes = []
    for number, (values, colours, least) in enumerate(maps):
        each = figure.add_subplot(grid[0, number])
        shaded: Any = {"cmap": LinearSegmentedColormap.from_list("shades", colours), "vmin": least, "rasterized": True}
        each.pcolormesh(*edges[::-1], values[down][:, right], antialiased=False, linewidth=0, **shaded)
        if panel.window:
            (top, bottom), (first, last) = panel.window
            each.add_patch(Rectangle((first, top), last - first, bottom - top, fill=False, **_DASHED))
        if panel.hard:
            each.plot(*panel.hard[::-1], markersize=11, clip_on=False, **_RING)
        if panel.soft and number == 0:  # beside a sharp peak a cross would hide all weights
            each.plot(*panel.soft[::-1], clip_on=False, markeredgewidth=1.4, **cross)
        each.set(xlim=(edges[1][0], edges[1][-1]), ylim=(edges[0][-1], edges[0][0]))
        each.set_box_aspect(min(max(len(edges[0]) / len(edges[1]), 0.2), 3.0))
        each.locator_params(axis="x", nbins=3)
        each.locator_params(axis="y", nbins=4)
        each.tick_params(axis="y", labelleft=number == 0, left=number == 0)
        each.spines[["top", "right"]].set_visible(True)
        axes.append(each)
    return axes


def _put_title(first: Axes, last: Axes, panel: Panel, room: float) -> None:
    """Write the slice's name, and its mark in a colour of its own: the sign alone where there is little room."""
    mark, name, letters = panel.mark, printable(panel.name), int((room - 0.6) / 0.085)
    if mark and len(name) + len(mark) > letters:
        mark = " ".join(part.split()[0] for part in mark.split("  "))
    letters = max(8, letters - len(mark))
    first.set_title(name if len(name) <= letters else f"{name[: letters - 1]}…", pad=4)
    last.set_title(mark, loc="right", pad=4, fontsize=8, fontweight="normal", color=ORANGE)


def _put_legend(figure: Figure, kind: str, one: bool, windowed: bool, header: float) -> None:
    """Explain what is drawn, at the foot of the header."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    name, side = ("costs", "lower") if kind == "cost" else ("scores", "higher")
    handles: list[Any] = []
    if kind != "probs" and one:
        handles.append(Line2D([], [], color=GREY, label=f"{name} (above)"))
    elif kind != "probs":
        handles.append(Patch(color=SHADES[1], label=f"{name} (left): darker is {side}"))
    where = "" if kind == "probs" else " (below)" if one else " (right)"
    handles.append(Patch(color=SKY, label=f"weights{where}"))
    handles.append(Line2D([], [], markersize=7, label="hard", **_RING))
    handles.append(Line2D([], [], label="soft", **(_DOT if one else {**_DOT, "marker": "+", "markersize": 8})))
    if windowed:
        handles.append(Patch(color=FAINT, label="window") if one else Line2D([], [], label="window", **_DASHED))
    anchor = (0.15 / WIDTH, 1 - (header - HEADER + 0.62) / figure.get_figheight())
    packed: Any = {"borderpad": 0, "borderaxespad": 0, "handletextpad": 0.5, "columnspacing": 1.6}
    legend = figure.legend(handles=handles, loc="upper left", bbox_to_anchor=anchor, ncols=len(handles), **packed)
    legend.set_in_layout(False)


def _finite(values: Float) -> Float:
    """Replace infinities, which have no place on an axis, by NaN."""
    return np.where(np.isfinite(values), np.clip(values, -LARGEST, LARGEST), np.nan)


def _ascending(places: Float) -> npt.NDArray[np.intp] | slice:
    """Return the order in which places run one way along an axis."""
    steps = np.diff(places)
    return slice(None) if (steps >= 0).all() or (steps <= 0).all() else np.argsort(places, kind="stable")


def _borders(places: Float) -> Float:
    """Return where cells about `places` end: halfway to the next, and as far beyond the outer ones."""
    if len(places) == 1:
        return np.array([places[0] - 0.5, places[0] + 0.5])
    between = (places[1:] + places[:-1]) / 2
    return np.concatenate([[2 * places[0] - between[0]], between, [2 * places[-1] - between[-1]]])


def draw_betas(run: Run, swept: Trials, tolerance: float, recommended: float | None) -> Figure:
    """Draw the largest offset and the mean gradient of each β, the tolerance, and the β to take."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    name, *rest = [*heading(run), *settings(run)]
    figure, _ = begin(4.2, name, DOT.join(rest), header=0.62)
    axes, unit = figure.add_subplot(), "indices" if run.coords == "index" else "coordinates"
    betas = [at.beta for at in swept.trials]
    offsets, gradients = np.array([[at.max_abs_offset, at.mean_gradient_norm] for at in swept.trials]).T
    for values, colour, marker, label in (
        (offsets, ORANGE, "o", f"max |offset|, {unit}"),
        (gradients, BLUE, "s", "mean gradient norm"),
    ):
        values[~(values > 0)] = math.nan
        axes.plot(betas, values, color=colour, marker=marker, label=label, markersize=4.5)
    if tolerance > 0:
        axes.axhline(tolerance, color=GREY, linestyle=":", label=f"--tol {tolerance:g}")
    if recommended is not None:
        axes.axvline(recommended, color=INK, linestyle="--", linewidth=1, label=f"β {recommended:.10g}")
    axes.set(xscale="log", yscale="log", xlabel="β")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    if np.isnan([offsets, gradients]).all():  # of no curve matplotlib learns where its logarithms may begin
        axes.set(xlim=(betas[0] / 2, betas[-1] * 2), ylim=(tolerance / 10, tolerance * 10))
    else:  # no room for what is nothing, which would flatten all else
        least, most = np.nanmin([offsets, gradients]), np.nanmax([offsets, gradients])
        if most * 1e-6 > least:
            axes.set_ylim(bottom=min(most * 1e-6, tolerance / 2))
    axes.grid(visible=True)
    axes.legend()
    return figure
