"""The table of gradients as a person sees it, character by character."""

from __future__ import annotations

import io
import math
import re
from typing import Any

import numpy as np
import pytest
from results import made

from softargmax_cli.reduction.fields import GRADIENT_FIELDS
from softargmax_cli.reduction.result import Run
from softargmax_cli.reduction.slopes import SlopeSummary
from softargmax_cli.report.slopes import SlopeTable

NAN = math.nan
ESCAPES = re.compile("\x1b\\[[0-9;]*m")
FIELDS = tuple(field.name for field in GRADIENT_FIELDS)
RUN = Run("x.npy", (3, 4), "float32", (1,), 100.0, "CPU", fields=FIELDS, wrt="x", vanished=1e-6)

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


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def printed(run: Run, *, rows: int = 20, color: bool = False, encoding: str = "utf-8") -> str:
    table, summary = SlopeTable(rows), SlopeSummary()
    for part in (SLOPES.part(0, 1), SLOPES.part(1, 3)):
        table.add(part)
        summary.add(part)
    raw = io.BytesIO()
    file = (Terminal if color else io.TextIOWrapper)(raw, encoding=encoding, newline="\n")
    table.render(run, (3, 4), summary, file)
    file.flush()
    return raw.getvalue().decode(encoding)


def test_by_scores() -> None:
    assert printed(RUN).splitlines() == [
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
    run = Run("x.npy", (3, 4), "float32", (1,), 2.0, "CPU", window=3, fields=FIELDS, wrt="beta", vanished=0.5)
    lines = printed(run, rows=1, encoding="ascii").splitlines()
    assert lines[1] == "window +/-3, gradient: dsoft/dbeta"
    assert lines[3].split() == ["slice", "id", "hard", "soft", "gradient"]
    assert lines[5].split() == ["0", "a", "0", "0.000000", "2.50e-09", "~", "0", "vanished"]
    assert lines[6:] == [
        "... and 2 more slices",
        "",
        "3 slices, max norm 35.25, mean norm 17.63, 1 vanished (norm below 0.5), 1 undefined",
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_colour_changes_nothing_but_colour(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain, colored = printed(RUN, encoding=encoding), printed(RUN, color=True, encoding=encoding)
    assert [line.rstrip() for line in ESCAPES.sub("", colored).splitlines()] == plain.splitlines()
    styled: Any = {line for line in colored.splitlines() if "\x1b[1;31m" in line}
    assert [ESCAPES.sub("", line).split()[1] for line in styled] == ["a"]
