"""What was reduced, and how, in words."""

from __future__ import annotations

from collections.abc import Callable

from softargmax_cli.reduction.result import Run
from softargmax_cli.report.text import Signs


def reduced(run: Run, shape: tuple[int, ...], signs: Signs, show: Callable[[str], str]) -> list[str]:
    """The input's name, its kind and `shape`, the axes, and β if it has one; `show` makes foreign text fit."""
    size = signs.times.join(map(str, shape))
    axes = f"{'axis' if len(run.axes) == 1 else 'axes'} {', '.join(map(str, run.axes))}"
    parts = [show(run.input), f"{show(run.dtype)} {size}", axes]
    if run.beta is not None:
        parts.append(f"{signs.beta} {run.beta:.10g} (temperature {1 / run.beta:.6g})")
    return parts


def settings(run: Run, signs: Signs) -> list[str]:
    """What is not as usual; one line of an ordinary width holds all of it."""
    words = {
        "cost": "cost: soft argmin",
        "probs": "probs: weights as they are",
        "corners": f"corners: {signs.minus}1 to 1 at the end indices",
        "centers": f"centers: (2i + 1)/n {signs.minus} 1",
        "values": "values: coordinates as given",
    }
    parts = [words[name] for name in (run.kind, run.coords) if name in words]
    if run.window is not None:
        parts.append(f"window {signs.within}{run.window}")
    if run.wrt is not None:
        by = signs.beta if run.wrt == "beta" else "x"
        parts.append(f"gradient: {signs.partial}soft/{signs.partial}{by}")
    return parts
