"""The table of gradients as a person sees it, character by character."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
from results import made

from softargmax_cli.reduction.fields import OF_GRADIENT
from softargmax_cli.reduction.result import Run, Summary
from softargmax_cli.report.slices import put_table
from softargmax_cli.report.summary import First

NAN = math.nan
RUN = Run("x.npy", (3, 4), "float32", (1,), 100.0, "CPU", fields=OF_GRADIENT, wrt="x", vanished=1e-6)

SLOPES = made(
    0,
    hard=np.array([[0, 3, -1]]),
    soft=np.array([[0.0, 2.5, NAN]]),
    offset=np.array([[0.0, -0.5, NAN]]),
    peak=np.array([1.0, 0.5, NAN]),
    agree=np.array([True, False, False]),
    norm=np.array([2.5e-9, 35.25, NAN]),
    min=np.array([-2e-9, -25.0, NAN]),
    max=np.array([0.0, 25.0, NAN]),
    gradient=np.array([[2.5e-9, -35.25, NAN]]),
    vanished=np.array([True, False, False]),
    ids=["a", "\x1b[31mb", "c"],
)


def printed(run: Run, rows: int, encoding: str) -> list[str]:
    first, summary = First(rows), Summary(vanished=0)
    for part in (SLOPES.part(0, 1), SLOPES.part(1, 3)):
        first.add(part)
        summary.add(part)
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    put_table(first, run, summary, file)
    file.flush()
    return raw.getvalue().decode(encoding).splitlines()


def test_by_scores() -> None:
    assert printed(RUN, 20, "utf-8") == [
        "x.npy · float32 3 × 4 · axis 1 · β 100 (temperature 0.01) · CPU",
        "gradient: ∂soft/∂x",
        "",
        "slice  id         hard      soft       norm         min      max",
        "─────  ─────────  ────  ────────  ─────────  ──────────  ───────",
        "    0  a             0  0.000000   2.50e-09   -2.00e-09   0       ≈ 0 vanished",
        "    1  \\x1b[31mb     3  2.500000  35.2500    -25.0000    25.0000",
        "    2  c             –  –          –           –          –       ∅ undefined",
        "",
        "3 slices · max norm 35.25 · mean norm 17.63 · 1 vanished (norm below 1e-06) · 1 undefined",
    ]


def test_by_beta() -> None:
    lines = printed(replace(RUN, beta=2.0, window=3, wrt="beta", vanished=0.5), 1, "ascii")
    assert lines[1] == "window +/-3 - gradient: dsoft/dbeta"
    assert lines[3].split() == ["slice", "id", "hard", "soft", "gradient"]
    assert lines[5].split() == ["0", "a", "0", "0.000000", "2.50e-09", "~", "0", "vanished"]
    assert lines[6:] == [
        "... and 2 more slices",
        "",
        "3 slices - max norm 35.25 - mean norm 17.63 - 1 vanished (norm below 0.5) - 1 undefined",
    ]
