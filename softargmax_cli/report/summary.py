"""Lines about a run as a whole: what was reduced, and how the slices turned out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from softargmax_cli.reduction.result import Run, Slices, Summary
from softargmax_cli.report.text import FULL, Signs, brief, printable

TABLE_FIELDS = ("hard", "soft", "offset", "peak", "second", "spread", "ties", "agree", "multimodal")
"""The fields that the table shows, or marks slices by."""


class First:
    """Collect the first `most` slices that come, 0 for all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: list[Slices] = []
        self.count = 0

    def add(self, slices: Slices) -> None:
        """Take the next slices; beyond the last that is wanted this costs nothing."""
        wanted = len(slices) if self._most == 0 else min(len(slices), self._most - self.count)
        if wanted > 0:
            self._parts.append(Slices.joined([slices.part(0, wanted)]))  # a copy, so that the rest can go
            self.count += wanted

    @property
    def slices(self) -> Slices | None:
        """The slices that were collected; None where there was none."""
        return Slices.joined(self._parts) if self._parts else None

    @property
    def numbers(self) -> list[int]:
        """The numbers of those slices, in row-major order of the axes that stay."""
        slices = self.slices
        if slices is None:
            return []
        return list(range(len(slices))) if slices.numbers is None else slices.numbers.tolist()


def heading(run: Run, shape: tuple[int, ...], signs: Signs, show: Callable[[str], str]) -> list[str]:
    """Name the input, its dtype and `shape`, the axes, and β if there is one; `show` makes foreign text fit."""
    size = signs.times.join(map(str, shape))
    axes = f"{'axis' if len(run.axes) == 1 else 'axes'} {', '.join(map(str, run.axes))}"
    parts = [show(run.input), f"{show(run.dtype)} {size}", axes]
    if run.beta is not None:
        parts.append(f"{signs.beta} {run.beta:.10g} (temperature {1 / run.beta:.6g})")
    return parts


def settings(run: Run, signs: Signs) -> list[str]:
    """Say each option that is not at its default."""
    words = {
        "cost": "cost: soft argmin",
        "probs": "probs: weights as they are",
        "corners": f"corners: {signs.minus}1 to 1 at the end indices",
        "centers": f"centers: (2i + 1)/n {signs.minus} 1",
        "values": "values: coordinates as given",
    }
    parts = [words[name] for name in (run.kind, run.coords) if name in words]
    if any(run.periods):
        parts.append(f"{run.coords}: period {', '.join(f'{period:.10g}' for period in run.periods if period)}")
    if run.window is not None:
        parts.append(f"window {signs.within}{run.window}")
    if run.wrt is not None:
        by = signs.beta if run.wrt == "beta" else "x"
        parts.append(f"gradient: {signs.partial}soft/{signs.partial}{by}")
    return parts


def multimodal(slices: Slices) -> list[bool]:
    """Say of each slice whether it has a second mode."""
    return [False] * len(slices) if slices.multimodal is None else slices.multimodal.tolist()


def marks(slices: Slices, signs: Signs) -> Iterator[str]:
    """Yield a sign and a word for each slice that wants a second look, and nothing for the others."""
    ties = [0] * len(slices) if slices.ties is None else slices.ties.tolist()
    lost = np.isnan(slices.soft).any(axis=0).tolist()
    for undefined, agree, modes, tied in zip(lost, slices.agree.tolist(), multimodal(slices), ties, strict=True):
        if undefined:
            yield f"{signs.undefined} undefined"
            continue
        said = [] if agree else [f"{signs.differs} disagrees"]
        if modes:
            said.append(f"{signs.modes} two modes")
        if tied > 1:
            said.append(f"= {tied:,} tied")
        yield "  ".join(said)


def summary_line(summary: Summary, run: Run, *, named: bool = False, signs: Signs = FULL) -> str:
    """Count the slices, say how far soft lies from hard and how often both agree; offsets in coordinate units.

    `named` puts the input's name before it, for when several inputs are summarised one after the other.
    Parts that are not known, or say nothing, are left out.
    """
    parts = [f"{summary.slices:,} slice{'' if summary.slices == 1 else 's'}"]
    if not math.isnan(summary.max_abs_offset):
        bound = run.epsilon * min(run.steps, default=1.0)
        parts.append(f"max |offset| {brief(summary.max_abs_offset, bound)}")
        parts.append(f"mean |offset| {brief(summary.mean_abs_offset, bound)}")
        parts.append(f"agreement {_percent(summary.agreement)}")
    if summary.tied is not None:
        parts.append(f"{summary.tied:,} tied")
    if summary.multimodal is not None:
        parts.append(f"{summary.multimodal:,} multi-modal")
    if summary.undefined:
        parts.append(f"{summary.undefined:,} undefined")
    line = signs.dot.join(parts)
    return f"{printable(run.input)}: {line}" if named else line


def _percent(fraction: float) -> str:
    """Round towards the middle: 100 % is said of all slices only, 0 % of none."""
    if fraction in (0, 1):
        return f"{100 * fraction:.0f} %"
    return f"{min(max(round(100 * fraction, 1), 0.1), 99.9):.1f} %"
