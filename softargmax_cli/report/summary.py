"""Lines about a run as a whole: its input, its settings, and the summary of its slices."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from softargmax_cli.errors import counted
from softargmax_cli.reduction.result import Run, Slices, Summary
from softargmax_cli.report.text import brief

TABLE_FIELDS = ("hard", "soft", "offset", "peak", "second", "spread", "ties", "agree", "multimodal")
"""The fields that the table shows, or that `marks` needs."""
DOT = " · "


class First:
    """Collect the first `most` slices that come, 0 for all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: list[Slices] = []
        self.count = 0

    def add(self, slices: Slices) -> None:
        """Take the next slices; once there are enough this costs nothing."""
        wanted = len(slices) if self._most == 0 else min(len(slices), self._most - self.count)
        if wanted > 0:
            self._parts.append(Slices.joined([slices.part(0, wanted)]))  # a copy, so that the rest can go
            self.count += wanted

    @property
    def slices(self) -> Slices | None:
        """The slices that were collected; None if there was none."""
        return Slices.joined(self._parts) if self._parts else None


def heading(run: Run) -> list[str]:
    """Name the input, its dtype and shape, the axes, and β if there is one."""
    size = " × ".join(map(str, run.known_shape))
    axes = f"{'axis' if len(run.axes) == 1 else 'axes'} {', '.join(map(str, run.axes))}"
    beta = [] if run.beta is None else [f"β {run.beta:.10g} (temperature {1 / run.beta:.6g})"]
    return [run.input, f"{run.dtype} {size}", axes, *beta]


def settings(run: Run) -> list[str]:
    """Describe the options that are not at their defaults."""
    words = {
        "cost": "cost: soft argmin",
        "probs": "probs: weights as they are",
        "corners": "corners: −1 to 1 at the end indices",
        "centers": "centers: (2i + 1)/n − 1",
        "values": "values: coordinates as given",
    }
    parts = [words[name] for name in (run.kind, run.coords) if name in words]
    if any(run.periods):
        parts.append(f"{run.coords}: period {', '.join(f'{period:.10g}' for period in run.periods if period)}")
    if run.window is not None:
        parts.append(f"window ±{run.window}")
    if run.wrt is not None:
        parts.append(f"gradient: ∂soft/∂{'β' if run.wrt == 'beta' else 'x'}")
    return parts


def marks(slices: Slices) -> Iterator[str]:
    """Yield a sign and a word for each slice that deserves a second look, and an empty text for the others."""
    undefined = np.isnan(slices.soft).any(axis=0)
    if slices.vanished is not None:
        for lost, vanished in zip(undefined, slices.vanished, strict=True):
            yield "∅ undefined" if lost else "≈ 0 vanished" if vanished else ""
        return
    nothing = np.zeros(len(slices), int)
    modes, ties = (slices.columns.get(field, nothing) for field in ("multimodal", "ties"))
    for lost, agree, two, tied in zip(undefined, slices.agree, modes, ties, strict=True):
        said = ["≠ disagrees"] * (not agree) + ["∩∩ two modes"] * bool(two) + [f"= {tied:,} tied"] * bool(tied > 1)
        yield "∅ undefined" if lost else "  ".join(said)


def summary_line(summary: Summary, run: Run, *, named: bool = False) -> str:
    """Summarize the slices of a run: the offset of soft from hard and their agreement, or the gradients.

    Offsets are in coordinate units. Unknown parts are left out. named: begin with the input's name.
    """
    parts = [counted(summary.slices)]
    if run.wrt is not None:
        if not math.isnan(summary.max_norm):
            parts += [f"max norm {brief(summary.max_norm)}", f"mean norm {brief(summary.mean_norm)}"]
        parts.append(f"{summary.vanished or 0:,} vanished (norm below {run.vanished:g})")
    else:
        if not math.isnan(summary.max_abs_offset):
            bound = error_bound(run)
            parts.append(f"max |offset| {brief(summary.max_abs_offset, bound)}")
            parts.append(f"mean |offset| {brief(summary.mean_abs_offset, bound)}")
            parts.append(f"agreement {_percent(summary.agreement)}")
        parts += [] if summary.tied is None else [f"{summary.tied:,} tied"]
        parts += [] if summary.multimodal is None else [f"{summary.multimodal:,} multi-modal"]
    parts += [f"{summary.undefined:,} undefined"] if summary.undefined else []
    return f"{run.input}: {DOT.join(parts)}" if named else DOT.join(parts)


def error_bound(run: Run) -> float:
    """Bound the error of soft in a sharp slice; an offset below it is 0."""
    return run.epsilon * min(run.steps, default=1.0)


def _percent(fraction: float) -> str:
    """Write a percentage; only all slices give 100 %, and only none 0 %."""
    return f"{100 * fraction:.0f} %" if fraction in (0, 1) else f"{min(max(100 * fraction, 0.1), 99.9):.1f} %"
