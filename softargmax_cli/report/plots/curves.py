"""Slices along one axis: a curve of the scores above an area of the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from softargmax_cli.report.plots.figure import BLUE, FAINT, GREY, ORANGE, RULE, SKY, drawable
from softargmax_cli.report.plots.slices import (
    STEPS,
    Page,
    Panel,
    ascending,
    borders,
    finite,
    hard_key,
    soft_key,
    spelt,
    weight_key,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW = 40
"""Indices that are drawn as points with bars below them, rather than as a line above an area."""
NAMED = 12
"""Indices whose names fit below an axis."""
ROOM = 1.14
"""Height of an axis that begins at 0, of the highest value on it."""
WEIGHT_INK = "#2f7fae"


def keys(kind: str, *, windowed: bool) -> list[Any]:
    """What the legend explains."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    curve = {"scores": "scores (left axis)", "cost": "costs (left axis)", "probs": "weights as given (left axis)"}
    weights = weight_key()
    weights.set_label("weights (right axis)")
    hard = hard_key()
    hard.set_linestyle((0, (2.5, 1.5)))
    handles = [Line2D([], [], color=GREY, label=curve[kind]), weights, hard, soft_key("-")]
    return [*handles, Patch(color=FAINT, label="window")] if windowed else handles


def put(axes: Axes, panel: Panel, page: Page) -> None:
    """Draw a slice; scores are read at the left, weights at the right."""
    order = ascending(panel.places[0])
    places = panel.places[0][order]
    low, high, weights = finite(panel.low[order]), finite(panel.high[order]), panel.weights[order]
    edges = borders(places)
    behind = axes.twinx()
    axes.set_zorder(behind.get_zorder() + 1)
    axes.patch.set_visible(False)
    if panel.window:
        behind.axvspan(*panel.window[0], color=FAINT, linewidth=0)
    behind.stairs(weights, edges, fill=True, color=SKY, alpha=0.75, linewidth=0.8)
    few, exact = len(places) <= FEW, np.array_equal(low, high, equal_nan=True)
    if exact:
        axes.plot(places, high, color=GREY, linewidth=1.1, marker="o" if few else None, markersize=2.5)
    else:
        axes.fill_between(places, low, high, color=RULE, linewidth=0.6, step="mid")
    axes.margins(y=0.14)
    _put_scales(axes, behind, panel, page, edges)
    if panel.hard and panel.soft:
        level = 1 if exact else 3  # a curve can be seen above them, and they above an area
        axes.axvline(panel.soft[0], color=BLUE, linewidth=1.5, zorder=level)
        axes.axvline(panel.hard[0], color=ORANGE, linewidth=1.3, dashes=(2.5, 1.5), zorder=level)
        style: Any = {"linestyle": "none", "marker": "o", "clip_on": False, "zorder": 4}
        bottom, top = axes.get_ylim()
        best = np.fmin.reduce(panel.best) if page.kind == "cost" else np.fmax.reduce(panel.best)
        ring: Any = {"markersize": 6.5, "markerfacecolor": "none", "markeredgewidth": 1.8}
        axes.plot(panel.hard[0], np.clip(best, bottom, top), color=ORANGE, **ring, **style)
        axes.plot(panel.soft[0], bottom, color=BLUE, markersize=4, **style)


def _put_scales(axes: Axes, behind: Axes, panel: Panel, page: Page, edges: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_ylim(axes.get_ylim())  # as it is
    if page.kind == "probs" and (top := float(np.fmax.reduce(finite(panel.best)))) > 0:
        axes.set_ylim(0, ROOM * top)  # as the weights have it
    axes.set_xlim(min(edges[0], edges[-1]), max(edges[0], edges[-1]))
    axes.yaxis.set_major_locator(MaxNLocator(3, steps=STEPS))
    axes.yaxis.set_major_formatter(FuncFormatter(spelt()))
    top = float(panel.weights.max(initial=0)) or 1.0
    behind.set_ylim(0, ROOM * top)
    behind.set_yticks([0, top], ["0", f"{top:.2g}"], color=WEIGHT_INK)
    if not panel.hard:
        behind.set_yticks([])
    if not np.isfinite(panel.best).any():
        axes.set_yticks([])
    behind.tick_params(right=False)
    if page.ticks is not None and len(page.ticks) <= NAMED:
        names = [drawable(name) for name in page.ticks]
        tilted = max(map(len, names)) * len(names) > 36
        axes.set_xticks(panel.places[0], names, rotation=40 if tilted else 0, ha="right" if tilted else "center")
        axes.tick_params(axis="x", length=2, pad=2)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS, integer=page.units[0].startswith("index")))
        axes.xaxis.set_major_formatter(FuncFormatter(spelt(6)))
