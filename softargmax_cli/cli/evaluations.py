"""The report of `softargmax evaluate`, as a table, json, csv or tsv."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from softargmax_cli.reduction.result import Run, Slices
    from softargmax_cli.reduction.truth import Evaluation

DELIMITERS = {"csv": ",", "tsv": "\t"}


class EvaluationReport:
    """Evaluations in one of the formats. several: whether each says which input it is of."""

    def __init__(self, format: str, *, several: bool, listed: bool) -> None:
        self._format, self._several, self._listed = format, several, listed
        self._objects: list[str] = []
        self._tables = 0

    def add(self, run: Run, evaluation: Evaluation, worst: Slices | None) -> None:
        """Report on one input."""
        if self._format == "table":
            from softargmax_cli.report.evaluation import put_evaluation

            sys.stdout.write("\n" * (self._tables > 0))
            put_evaluation(evaluation, worst, run, sys.stdout)
        elif self._format == "json":
            self._objects.append(self._object(run, evaluation, worst))
        else:
            rows = _rows(evaluation)
            if self._several:
                rows = [["input", *rows[0]], *([run.input, *row] for row in rows[1:])]
            table = csv.writer(sys.stdout, delimiter=DELIMITERS[self._format], lineterminator="\n")
            table.writerows(rows[self._tables > 0 :])
        self._tables += 1
        sys.stdout.flush()

    def end(self, total: Evaluation | None) -> None:
        """Report on all inputs together, where there are several."""
        if self._format == "table" and total is not None and self._tables:
            from softargmax_cli.report.evaluation import put_total

            put_total(total, sys.stdout)
        elif total is not None and self._objects:
            summary = f'"summary": {{{_numbers(total)}}}'
            sys.stdout.write('{"inputs": [\n' + ",\n".join(self._objects) + f"],\n {summary}}}\n")
        elif self._objects:
            sys.stdout.write(f"{self._objects[0]}\n")
        elif total is not None and self._tables:
            delimiter = DELIMITERS[self._format]
            sys.stdout.writelines(delimiter.join(["all inputs", *row]) + "\n" for row in _rows(total)[1:])
        sys.stdout.flush()

    def _object(self, run: Run, evaluation: Evaluation, worst: Slices | None) -> str:
        from softargmax_cli.files.writers.json import JsonObjects, json_text

        text = f'"input": {json_text(run.input)}, ' * self._several + _numbers(evaluation)
        if self._listed:
            batches = [] if worst is None else JsonObjects(run, run.fields).of(worst)
            text += ',\n "worst": [' + ",\n  ".join(each for batch in batches for each in batch) + "]"
        return f"{{{text}}}"


def _numbers(evaluation: Evaluation) -> str:
    """Write what an evaluation says as the items of a JSON object."""
    from softargmax_cli.files.writers.json import json_text
    from softargmax_cli.reduction.truth import NUMBERS

    estimates = []
    for errors in evaluation.estimates:
        numbers = [f'"{name}": {json_text(getattr(errors, name))}' for name in NUMBERS]
        within = ", ".join(f'"{limit:.10g}": {json_text(share)}' for limit, share in errors.within.items())
        estimates.append(f'{{"name": "{errors.name}", {", ".join(numbers)}, "within": {{{within}}}}}')
    counts = ", ".join(f'"{name}": {getattr(evaluation, name)}' for name in ("slices", "missing", "undefined"))
    return f'{counts},\n "estimates": [\n  ' + ",\n  ".join(estimates) + "\n ]"


def _rows(evaluation: Evaluation) -> list[list[str]]:
    """Return a header, and a row for each estimate."""
    from softargmax_cli.reduction.truth import NUMBERS

    rows = [["name", *NUMBERS, *(f"within_{limit:.10g}" for limit in evaluation.estimates[0].within)]]
    for errors in evaluation.estimates:
        numbers = [*(getattr(errors, name) for name in NUMBERS), *errors.within.values()]
        rows.append([errors.name, *map(str, numbers)])
    return rows
