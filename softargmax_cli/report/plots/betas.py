"""What each β does to a file: how far soft lies from hard, and how much gradient is left, both axes logarithmic."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from softargmax_cli.reduction.result import Run
from softargmax_cli.reduction.sweep import Swept
from softargmax_cli.report.plots.figure import BLUE, GREY, INK, ORANGE, begin, drawable
from softargmax_cli.report.summary import heading, settings
from softargmax_cli.report.text import FULL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT = 4.2
"""Inches."""
LEAST = 1e-6
"""How far below the largest value the picture reaches, as a part of it."""


def draw(run: Run, swept: Swept, tolerance: float, recommended: float | None) -> Figure:
    """A figure with both curves, the tolerance, and the β that is recommended, if any."""
    name, *rest = [*heading(run, run.known_shape, FULL, drawable), *settings(run, FULL)]
    figure = begin(HEIGHT, name, FULL.dot.join(rest))
    axes = figure.add_subplot()
    betas, unit = [at.beta for at in swept.betas], "indices" if run.coords == "index" else "coordinates"
    curves = (
        ([at.max_abs_offset for at in swept.betas], ORANGE, "o", f"largest |offset|, {unit}"),
        ([at.mean_gradient_norm for at in swept.betas], BLUE, "s", "mean gradient norm"),
    )
    for values, color, marker, label in curves:
        there = [value if value > 0 else math.nan for value in values]
        axes.plot(betas, there, marker=marker, markersize=4.5, color=color, label=label)
    if tolerance > 0:
        axes.axhline(tolerance, color=GREY, linestyle=":", label=f"--tol {tolerance:g}")
    if recommended is not None:
        axes.axvline(recommended, color=INK, linestyle="--", linewidth=1, label=f"β {recommended:.10g}")
    axes.set(xscale="log", yscale="log", xlabel="β")
    _put_scales(axes, swept, tolerance)
    axes.grid(visible=True)
    axes.legend()
    return figure


def _put_scales(axes: Axes, swept: Swept, tolerance: float) -> None:
    """Plain numbers at powers of ten, and no room for what is nothing, which would flatten all else."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    values = [value for at in swept.betas for value in (at.max_abs_offset, at.mean_gradient_norm) if value > 0]
    if not values:  # of no curve matplotlib learns where its logarithms may begin
        axes.set_xlim(swept.betas[0].beta / 2, swept.betas[-1].beta * 2)
        axes.set_ylim(tolerance / 10, tolerance * 10)
    elif (lowest := max(values) * LEAST) > min(values):
        axes.set_ylim(bottom=min(lowest, tolerance / 2))
