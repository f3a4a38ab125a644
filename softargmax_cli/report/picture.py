"""What each β does to a file, as a picture; drawn by matplotlib, which is an extra."""

from __future__ import annotations

import importlib.util
import io
from typing import Any

from softargmax_cli.errors import MissingDependencyError
from softargmax_cli.reduction.result import Run, Traded
from softargmax_cli.report.text import printable

SIZE, DOTS = (7.0, 4.5), 120
"""Inches, and dots in each."""
LEAST = 1e-6
"""How far below the largest value the picture reaches, as a part of it."""
OFFSET, GRADIENT = "#b5402a", "#1f6f8b"


def check_installed() -> None:
    """Raise MissingDependencyError where matplotlib is not there."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("--plot needs matplotlib", "install it: pip install 'softargmax[plot]'")


def picture(run: Run, traded: Traded, tolerance: float, recommended: float | None, format: str) -> bytes:
    """Both curves over β as "png", "svg" or "pdf"; the same bytes for the same numbers."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "softargmax"}):
        figure = Figure(figsize=SIZE, dpi=DOTS, layout="constrained")
        axes = figure.add_subplot()
        _draw(axes, run, traded, tolerance, recommended)
        file = io.BytesIO()
        undated: dict[str, Any] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[format]
        figure.savefig(file, format=format, metadata=undated)
    return file.getvalue()


def _draw(axes: Any, run: Run, traded: Traded, tolerance: float, recommended: float | None) -> None:
    betas = [at.beta for at in traded.betas]
    unit = "indices" if run.coords == "index" else "coordinates"
    curves = (
        ([at.max_abs_offset for at in traded.betas], OFFSET, "o", f"largest |offset|, {unit}"),
        ([at.mean_gradient_norm for at in traded.betas], GRADIENT, "s", "mean gradient norm"),
    )
    for values, color, marker, label in curves:
        axes.plot(
            betas, [value if value > 0 else float("nan") for value in values], marker, ls="-", c=color, label=label
        )
    if tolerance > 0:
        axes.axhline(tolerance, color="grey", linestyle=":", label=f"--tol {tolerance:g}")
    if recommended is not None:
        axes.axvline(recommended, color="black", linestyle="--", linewidth=1, label=f"β {recommended:g}")
    axes.set(xscale="log", yscale="log", xlabel="β")
    axes.set_title(printable(run.input), parse_math=False)  # a name with dollar signs is no formula
    values = [value for at in traded.betas for value in (at.max_abs_offset, at.mean_gradient_norm) if value > 0]
    if values and (lowest := max(values) * LEAST) > min(values):  # what is nothing would flatten all else
        axes.set_ylim(bottom=min(lowest, tolerance / 2 or lowest))
    axes.grid(alpha=0.3)
    axes.legend()
