"""Slices along two axes: a map of the scores, with the weights laid over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from softargmax_cli.report.plots.figure import BLUE, INK, ORANGE, RULE, SKY
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

SHADES = ("#fafbfc", "#8793a0", "#2a3642")
"""From what weighs least to what weighs most."""


def keys(kind: str, *, windowed: bool) -> list[Any]:
    """What the legend explains."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shade = {
        "scores": "scores: darker is higher",
        "cost": "costs: darker is lower",
        "probs": "as given: darker is more",
    }
    handles = [Patch(color=SHADES[1], label=shade[kind]), weight_key(), hard_key(), soft_key("none")]
    return [*handles, Line2D([], [], color=INK, linewidth=0.9, dashes=(3, 2), label="window")] if windowed else handles


def put(axes: Axes, panel: Panel, page: Page) -> None:
    """Draw a map as it lies in the array: the first axis goes down, the second to the right."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    down, right = (ascending(places) for places in panel.places)
    edges = [borders(places[order]) for places, order in zip(panel.places, (down, right), strict=True)]
    shades = SHADES[::-1] if page.kind == "cost" else SHADES
    scores, weights = finite(panel.best)[down][:, right], panel.weights[down][:, right]
    mesh: Any = {"rasterized": True, "antialiased": False, "linewidth": 0}
    axes.pcolormesh(edges[1], edges[0], scores, cmap=LinearSegmentedColormap.from_list("scores", shades), **mesh)
    veil = np.empty((*weights.shape, 4))
    veil[..., :3] = to_rgb(SKY)
    veil[..., 3] = 0.9 * weights / (weights.max(initial=0) or 1.0)
    axes.pcolormesh(edges[1], edges[0], veil, **mesh)
    if panel.window:
        (top, bottom), (first, last) = panel.window
        box: Any = {"fill": False, "edgecolor": INK, "linewidth": 0.9, "linestyle": (0, (3, 2))}
        axes.add_patch(Rectangle((first, top), last - first, bottom - top, **box))
    if panel.hard and panel.soft:
        style: Any = {"linestyle": "none", "marker": "o", "clip_on": False}
        y, x = panel.hard
        axes.plot(x, y, color=ORANGE, markersize=11, markerfacecolor="none", markeredgewidth=1.5, **style)
        y, x = panel.soft
        axes.plot(x, y, color=BLUE, markersize=3.8, markeredgecolor="white", markeredgewidth=0.5, **style)
    axes.set(xlim=(edges[1][0], edges[1][-1]), ylim=(edges[0][-1], edges[0][0]))
    axes.set_box_aspect(min(max(len(edges[0]) / len(edges[1]), 0.2), 3.0))
    for each in (axes.xaxis, axes.yaxis):
        each.set_major_locator(MaxNLocator(4, steps=STEPS))
        each.set_major_formatter(FuncFormatter(spelt(6)))
    axes.spines[["top", "right"]].set_visible(True)
    axes.spines[:].set_color(RULE)
