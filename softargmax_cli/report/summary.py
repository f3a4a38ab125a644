"""All slices in one line."""

from __future__ import annotations

import math

from softargmax_cli.reduction.result import Run, Summary
from softargmax_cli.report.text import FULL, Signs, printable


def summary_line(summary: Summary, run: Run, *, named: bool = False, signs: Signs = FULL) -> str:
    """How many slices, how far soft lies from hard, how often both agree; offsets in coordinate units.

    `named` puts the input's name before it, for when several inputs are summarised one after the other.
    Parts that are not known, or say nothing, are left out.
    """
    parts = [f"{summary.slices:,} slice{'' if summary.slices == 1 else 's'}"]
    if not math.isnan(summary.max_abs_offset):
        parts.append(f"max |offset| {brief(summary.max_abs_offset)}")
        parts.append(f"mean |offset| {brief(summary.mean_abs_offset)}")
        parts.append(f"agreement {_percent(summary.agreement)}")
    if summary.tied is not None:
        parts.append(f"{summary.tied:,} tied")
    if summary.multimodal is not None:
        parts.append(f"{summary.multimodal:,} multi-modal")
    if summary.undefined:
        parts.append(f"{summary.undefined:,} undefined")
    line = signs.dot.join(parts)
    return f"{printable(run.input)}: {line}" if named else line


def brief(number: float) -> str:
    """Four digits, or two and a power of ten for what is very small or large."""
    if number == 0:
        return "0"
    return f"{number:.1e}" if number < 1e-3 or number >= 1e6 else f"{number:.4g}"


def _percent(fraction: float) -> str:
    """Rounded towards the middle: 100 % is said of all slices only, 0 % of none."""
    if fraction in (0, 1):
        return f"{100 * fraction:.0f} %"
    return f"{min(max(round(100 * fraction, 1), 0.1), 99.9):.1f} %"
