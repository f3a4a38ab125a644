"""Print how far hard and soft lie from the truth, as a table."""

from __future__ import annotations

from typing import Any, TextIO

from softargmax_cli.errors import counted
from softargmax_cli.reduction.result import Run, Slices
from softargmax_cli.report.slices import numbers_of, places, put_heading
from softargmax_cli.report.summary import DOT, error_bound
from softargmax_cli.report.table import Column, numbers, put_columns, put_line


def put_evaluation(found: dict[str, Any], worst: Slices | None, run: Run, file: TextIO) -> None:
    """Print the heading, a row for each estimate and the number of slices; then the worst slices, if any.

    found: the numbers by their JSON names.
    """
    put_heading(run, file)
    _put_estimates(found, error_bound(run), file)
    if worst is not None:
        put_line(file, "")
        errors = numbers_of(worst, run, {"truth": 0, "hard_error": 1, "soft_error": 0})
        put_columns([*places(worst, run), *errors], file)


def put_total(found: dict[str, Any], file: TextIO) -> None:
    """Print the evaluation of all inputs together."""
    put_line(file, "")
    put_line(file, "all inputs", "bold")
    put_line(file, "")
    _put_estimates(found, 0.0, file)


def _put_estimates(found: dict[str, Any], bound: float, file: TextIO) -> None:
    """Print a row for each estimate, and the number of slices. bound: the error of soft itself."""
    rows = found["estimates"]
    columns = [Column("estimate", [row["name"] for row in rows], "left")]
    for name in rows[0]:
        if name not in ("name", "within"):
            columns.append(numbers(name.removesuffix("_error"), [row[name] for row in rows], bounds=bound))
    for spare, limit in enumerate(rows[0]["within"], 1):
        shares = [100 * row["within"][limit] for row in rows]
        columns.append(numbers(f"within {limit}", shares, "{:.1f} %".format, spare=spare))
    put_columns(columns, file)
    put_line(file, "")
    parts = [counted(found["slices"])]
    parts += [f"{found['missing']:,} without a truth"] * (found["missing"] > 0)
    parts += [f"{found['undefined']:,} undefined"] * (found["undefined"] > 0)
    put_line(file, DOT.join(parts))
