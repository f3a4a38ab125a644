"""What was measured, as a table in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.cases import measure_of
from tests.benchmarks.measure import FLOOR
from tests.benchmarks.running import Outcome, Timing

HEAD = ("case", "softargmax", "CPU time", "peak memory", "beside", "its time", "its peak", "ratio", "at most", "met")
LEFT = {"case", "beside"}
NOTHING = "–"
BANDWIDTH_FROM = 100_000_000
"""Bytes of a file whose time is not mostly start-up."""


def render(outcomes: Sequence[Outcome]) -> str:
    """The table, and below it what has to be said about it; a case's first row says the tool's own numbers."""
    rows = [row for outcome in outcomes for row in _rows(outcome)]
    return "\n".join([_markdown(rows), *_notes(outcomes)])


def met(ratio: float | None, at_most: float | None, *, scaled: bool) -> str:
    """Whether a limit was reached; nothing where there is none, or the file is not the one it is meant for."""
    if at_most is None or scaled:
        return NOTHING
    if ratio is None:
        return "failed"
    return "yes" if ratio <= at_most else "**no**"


def _rows(outcome: Outcome) -> list[tuple[str, ...]]:
    """One for each comparison, one for a limit of memory, and at least one."""
    case, ours = outcome.case, outcome.timings[0]
    own = (case.title, _time(ours), _seconds(ours.median_processor), _peak(ours))
    rows = []
    for timing in outcome.timings[1:]:
        ratio, limit = outcome.ratio(timing), timing.subject.at_most
        beside = timing.subject.label + (", per byte" if timing.subject.per_byte else "")
        said = (beside, _time(timing), _peak(timing), _number(ratio), _number(limit))
        rows.append((*own, *said, met(ratio, limit, scaled=case.scaled)))
        own = ("", "", "", "")
    if case.peak_at_most is not None:
        limit, ratio = case.peak_at_most, ours.peak / case.peak_at_most if ours.peak else None
        said = ("peak memory", NOTHING, NOTHING, measure_of(ours.peak) if ours.peak else NOTHING, measure_of(limit))
        rows.append((*own, *said, met(ratio, 1, scaled=case.scaled)))
    return rows or [(*own, *[NOTHING] * (len(HEAD) - len(own)))]


def _notes(outcomes: Sequence[Outcome]) -> list[str]:
    """Everything that the rows leave unsaid."""
    notes = []
    most = max((outcome.runs for outcome in outcomes), default=0)
    if most:
        notes.append(f"Times are medians of {most} run{'s' if most > 1 else ''}; memory is the largest peak.")
    fewer = [outcome for outcome in outcomes if outcome.runs < most]
    if fewer:
        cases = ", ".join(outcome.case.name for outcome in fewer)
        notes.append(f"Only {fewer[0].runs} runs where one takes more than 10 s: {cases}.")
    if any(outcome.case.scaled for outcome in outcomes):
        notes.append("The files are smaller than those that the limits are meant for.")
    for outcome in outcomes:
        for timing in outcome.timings:
            if timing.failure:
                notes.append(f"{outcome.case.name}, {timing.subject.label}: {timing.failure}.")
    return ["", *notes] if notes else []


def _time(timing: Timing) -> str:
    """Seconds, and GB/s where they mean something."""
    file = timing.subject.file
    if timing.median and file and file.size >= BANDWIDTH_FROM:
        return f"{_seconds(timing.median)} ({file.size / timing.median / 1e9:.2f} GB/s)"
    return "failed" if timing.failure else _seconds(timing.median)


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
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [HEAD, *rows]) for column in range(len(HEAD))]
    rules = [
        "-" * (width + 2) if name in LEFT else "-" * (width + 1) + ":" for name, width in zip(HEAD, widths, strict=True)
    ]
    lines = ["|" + "|".join(rules) + "|"]
    for row in [HEAD, *rows]:
        cells = [
            cell.ljust(width) if name in LEFT else cell.rjust(width)
            for name, cell, width in zip(HEAD, row, widths, strict=True)
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([lines[1], lines[0], *lines[2:]])
