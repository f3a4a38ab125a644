"""Slices in a grid of panels: what is known of each, the page around them, the signs that both kinds of panel share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from softargmax_cli.report.plots.figure import BLUE, GREY, ORANGE, SKY, WIDTH, begin, drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 24
"""Panels of a picture: more are too small on a page to be read."""
HEADER = 0.84
"""Inches of what stands above the panels: title, subtitle and legend."""
FOOT = 0.3
"""Inches of what stands below them."""
LETTER = 0.085
"""Inches that a letter of a panel's title takes, about."""
LARGEST = 1e290
"""Of the numbers on an axis."""
STEPS = [1, 2, 2.5, 5, 10]
"""Of the numbers beside an axis."""

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Panel:
    """What is drawn of one slice. Axes are those reduced, in the order of the array; places are in the unit of soft."""

    name: str
    mark: str
    """What wants a second look: "≠ disagrees"."""
    low: Float
    """The least score of each cell, shape (cells along each axis)."""
    high: Float
    best: Float
    """`low` for costs, `high` otherwise."""
    weights: Float
    places: tuple[Float, ...]
    """Of the middle of each cell, along each axis."""
    hard: tuple[float, ...] | None
    """None where the slice has no answer."""
    soft: tuple[float, ...] | None
    window: tuple[tuple[float, float], ...] | None
    """The first and the last place within the window along each axis."""


@dataclass(frozen=True, slots=True)
class Page:
    """What all panels have in common."""

    title: str
    subtitle: str
    kind: str
    units: tuple[str, ...]
    """What each axis is called, and its unit."""
    ticks: Sequence[str] | None = None
    """Names of the indices along the one axis, where its places are indices and there are few."""


def draw(panels: Sequence[Panel], page: Page) -> Figure:
    """A picture of slices along one axis, as curves, or two, as maps."""
    if len(page.units) == 1:
        from softargmax_cli.report.plots.curves import keys, put

        columns = 1 if len(panels) <= 1 else 2 if len(panels) <= 8 else 3
        tall = {1: 2.6, 2: 1.85, 3: 1.55}[columns]
    else:
        from softargmax_cli.report.plots.maps import keys, put

        columns = min(max(1, len(panels)), 3 if len(panels) <= 9 else 4)
        ratio = panels[0].low.shape[0] / panels[0].low.shape[1] if panels else 1.0
        tall = 0.5 + min(max((WIDTH / columns - 0.6) * ratio, 1.0), 4.0)
    rows = max(1, -(-len(panels) // columns))
    figure = begin(HEADER + FOOT + rows * tall, page.title, page.subtitle, header=HEADER)
    grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes, panel in zip(grid, panels, strict=False):
        put(axes, panel, page)
        _put_title(axes, panel, WIDTH / columns)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    if len(page.units) > 1:
        figure.supylabel(page.units[0], fontsize=8.5, color=GREY)
    figure.supxlabel(page.units[-1], fontsize=8.5, color=GREY)
    windowed = any(panel.window for panel in panels)
    _put_legend(figure, keys(page.kind, windowed=windowed), figure.get_figheight() - (FOOT + rows * tall))
    return figure


def _put_title(axes: Axes, panel: Panel, room: float) -> None:
    """The slice's name, and its mark in a colour of its own: the sign alone where there is little room."""
    mark, name = panel.mark, drawable(panel.name)
    letters = int((room - 0.6) / LETTER)
    if mark and len(name) + len(mark) > letters:
        mark = " ".join(part.split()[0] for part in mark.split("  "))
    letters = max(8, letters - len(mark))
    axes.set_title(name if len(name) <= letters else name[: letters - 1] + "…", pad=4)
    place: Any = {"xy": (1, 1), "xycoords": "axes fraction", "xytext": (0, 4), "textcoords": "offset points"}
    axes.annotate(mark, **place, ha="right", va="bottom", fontsize=8, color=ORANGE)


def _put_legend(figure: Figure, handles: Sequence[Any], header: float) -> None:
    """Explain what is drawn, at the foot of the header."""
    legend = figure.legend(
        handles=list(handles),
        loc="upper left",
        bbox_to_anchor=(0.15 / figure.get_figwidth(), 1 - (header - HEADER + 0.62) / figure.get_figheight()),
        ncols=len(handles),
        borderpad=0,
        borderaxespad=0,
        handletextpad=0.5,
        columnspacing=1.6,
    )
    legend.set_in_layout(False)


def hard_key() -> Any:
    """How the legend shows hard."""
    from matplotlib.lines import Line2D

    style: Any = {"marker": "o", "markersize": 6.5, "markerfacecolor": "none", "markeredgewidth": 1.8}
    return Line2D([], [], color=ORANGE, linestyle="none", label="hard", **style)


def soft_key(linestyle: Literal["-", "none"]) -> Any:
    """How the legend shows soft."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=BLUE, linestyle=linestyle, marker="o", markersize=4, label="soft")


def weight_key() -> Any:
    """How the legend shows weights."""
    from matplotlib.patches import Patch

    return Patch(color=SKY, label="weights")


def finite(values: Float) -> Float:
    """The same with NaN for infinities, which have no place on an axis, and within what matplotlib can scale."""
    return np.where(np.isfinite(values), np.clip(values, -LARGEST, LARGEST), np.nan)


def ascending(places: Float) -> npt.NDArray[np.intp] | slice:
    """The order in which places run one way along an axis."""
    steps = np.diff(places)
    return slice(None) if (steps >= 0).all() or (steps <= 0).all() else np.argsort(places, kind="stable")


def borders(places: Float) -> Float:
    """Where cells about `places` end: halfway to the next, and as far beyond the outer ones."""
    if len(places) == 1:
        return np.array([places[0] - 0.5, places[0] + 0.5])
    between = (places[1:] + places[:-1]) / 2
    return np.concatenate([[2 * places[0] - between[0]], between, [2 * places[-1] - between[-1]]])


def spelt(decimals: int = 3) -> Callable[[float, Any], str]:
    """Numbers beside an axis, with a true minus sign, never TeX."""

    def text(value: float, position: Any) -> str:
        return "0" if math.isclose(value, 0, abs_tol=1e-12) else f"{value:,.{decimals}g}".replace("-", "−")

    return text
