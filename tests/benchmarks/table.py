"""What was measured, and on what, as a table in Markdown."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.benchmarks.cases import measure_of
from tests.benchmarks.measure import FLOOR
from tests.benchmarks.running import Outcome, Timing

HEAD = ("case", "softargmax", "CPU time", "peak memory", "beside", "its time", "its peak", "ratio", "at most", "met")
LEFT = {"case", "beside"}
NOTHING = "–"
BANDWIDTH_FROM = 100_000_000
"""Bytes of a file whose time is not mostly start-up."""


def describe() -> str:
    """Processor, cores, memory, system and versions, in two lines; nothing that tells whose machine it is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8", errors="replace") if info.exists() else ""
    named = re.search(r"(?m)^model name\s*: (.+)$", text)
    versions = [f"Python {platform.python_version()}"]
    for package in ("tensorflow", "numpy", "jax", "polars", "pyarrow"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    processor = named[1].strip() if named else platform.machine()
    machine = f"{processor}, {os.cpu_count()} cores, {memory / 1e9:.0f} GB of memory, {platform.system()}"
    return f"{machine}\n{', '.join(versions)}"


def render(outcomes: Sequence[Outcome], runs: int, *, scaled: bool) -> str:
    """The table, and below it what has to be said about it. Limits count for files of full size alone."""
    rows = [row for outcome in outcomes for row in _rows(outcome, scaled)]
    notes = [f"Times are medians of {runs} run{'s' * (runs > 1)}; memory is the largest peak."]
    if scaled:
        notes.append("The files are smaller than those that the limits are meant for.")
    for outcome in outcomes:
        failed = [timing for timing in outcome.timings if timing.failure]
        notes += [f"{outcome.case.name}, {timing.command.label}: {timing.failure}." for timing in failed]
    return "\n".join([_markdown(rows), "", *notes])


def _rows(outcome: Outcome, scaled: bool) -> list[tuple[str, ...]]:
    """One for each comparison, one for a limit of memory, and at least one; the first has the tool's own numbers."""
    case, ours = outcome.case, outcome.timings[0]
    own: tuple[str, ...] = (case.title, _time(ours), _seconds(ours.median("processor")), _peak(ours))
    rows = []
    for timing in outcome.timings[1:]:
        ratio, limit, file = outcome.ratio(timing), timing.command.at_most, timing.command.file
        apart = timing.command.per_byte and file and ours.command.file and file.size != ours.command.file.size
        beside = timing.command.label + (", per byte" if apart else "")
        met = _met(ratio, limit, scaled)
        rows.append((*own, beside, _time(timing), _peak(timing), _number(ratio), _number(limit), met))
        own = ("", "", "", "")
    if case.peak:
        used = measure_of(ours.peak) if ours.peak else NOTHING
        met = _met(ours.peak / case.peak if ours.peak else None, 1, scaled)
        rows.append((*own, "peak memory", NOTHING, NOTHING, used, measure_of(case.peak), met))
    return rows or [(*own, *[NOTHING] * (len(HEAD) - len(own)))]


def _met(ratio: float | None, at_most: float | None, scaled: bool) -> str:
    if at_most is None or scaled:
        return NOTHING
    return "failed" if ratio is None else "yes" if ratio <= at_most else "**no**"


def _time(timing: Timing) -> str:
    """Seconds, and GB/s where they mean something."""
    file, seconds = timing.command.file, timing.median()
    if seconds and file and file.size >= BANDWIDTH_FROM:
        return f"{_seconds(seconds)} ({file.size / seconds / 1e9:.2f} GB/s)"
    return "failed" if timing.failure else _seconds(seconds)


def _seconds(seconds: float | None) -> str:
    return NOTHING if seconds is None else f"{seconds:.3f} s" if seconds < 1 else f"{seconds:.2f} s"


def _peak(timing: Timing) -> str:
    if not timing.peak:
        return NOTHING
    return measure_of(timing.peak) if timing.peak >= FLOOR else f"< {measure_of(FLOOR)}"


def _number(number: float | None) -> str:
    return NOTHING if number is None else f"{number:.3f}" if number < 0.1 else f"{number:.2f}"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    """Columns of one width, so that it reads as text too."""
    cells = [HEAD, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = (
            cell.ljust(width) if name in LEFT else cell.rjust(width)
            for name, cell, width in zip(HEAD, row, widths, strict=True)
        )
        lines.append(f"| {' | '.join(padded)} |")
    rules = ("-" * (w + 2) if name in LEFT else "-" * (w + 1) + ":" for name, w in zip(HEAD, widths, strict=True))
    return "\n".join([lines[0], f"|{'|'.join(rules)}|", *lines[1:]])
