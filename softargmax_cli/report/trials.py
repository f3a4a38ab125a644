"""Print how far soft lies from the truth at several β, as a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TextIO

from softargmax_cli.reduction.result import Run
from softargmax_cli.reduction.trials import Trials
from softargmax_cli.report.sweep import Row
from softargmax_cli.report.table import Column, coordinates, put_columns, put_heading
from softargmax_cli.report.text import Signs, legible, short, signs_of, typed


@dataclass(frozen=True, slots=True)
class TrialsReport:
    """The trials of one input."""

    run: Run
    """Without a β, and without a window where several were tried."""
    notes: Sequence[str]
    trials: Trials

    @property
    def beta(self) -> float | None:
        """The β that comes closest; None where no slice can be compared."""
        return None if self.trials.best is None else self.trials.best.beta

    @property
    def window(self) -> int | None:
        """The window that comes closest."""
        return None if self.trials.best is None else self.trials.best.window

    @property
    def rows(self) -> list[Row]:
        """The numbers of each β and window, by name."""
        return [asdict(trial) for trial in self.trials.trials]

    @property
    def conclusions(self) -> Row:
        """What is concluded from all, by name."""
        return {"hard_error": self.trials.hard_error, "best_beta": self.beta, "best_window": self.window}

    def put(self, command: Sequence[str], file: TextIO) -> None:
        """Print heading, a row for each β and window, and which comes closest.

        command: the arguments of one that uses it.
        """
        trials, run = self.trials, self.run
        put_heading(run, run.known_shape, file)
        styles = ["green" if trial == trials.best else "" for trial in trials.trials]
        put_columns(self._columns(signs_of(file)), styles, file)
        for line in ["", *self.verdict(command, file)]:
            file.write(legible(line, file) + "\n")

    def verdict(self, command: Sequence[str], stream: TextIO) -> Iterator[str]:
        """Say which β and window come closest, beside the hard argmax, and the command to try."""
        trials, signs, best = self.trials, signs_of(stream), self.trials.best
        for count, what in ((trials.missing, "truth"), (trials.undefined, "answer")):
            if count:
                lack = f"has no {what} and is" if count == 1 else f"have no {what} and are"
                yield f"{count:,} of {trials.slices:,} slices {lack} left out of the errors"
        if best is None:
            yield "no slice has both an answer and a truth"
            return
        window = "" if best.window is None else f" within a window of {signs.within}{best.window}"
        errors = f"mean error {short(best.mean_error)} (hard: {short(trials.hard_error)})"
        yield f"{signs.beta} {best.beta:.10g}{window} comes closest to the truth: {errors}"
        yield f"try: {typed(command, partial(legible, stream=stream))}"

    def _columns(self, signs: Signs) -> Iterator[Column]:
        run, trials, listed = self.run, self.trials, self.trials.trials
        true = partial(short, bound=run.epsilon * min(run.steps, default=1.0))

        def numbers(name: str, values: Sequence[float], spell: Callable[[float], str] = true, spare: int = 0) -> Column:
            return Column(name, coordinates([[signs.none if math.isnan(n) else spell(n) for n in values]]), spare=spare)

        if run.window is None and listed[0].window is not None:
            yield Column("window", [str(trial.window) for trial in listed])
        yield numbers(signs.beta, [trial.beta for trial in listed], "{:.10g}".format)
        yield numbers("mean error", [trial.mean_error for trial in listed])
        yield numbers("max |offset|", [trial.max_abs_offset for trial in listed], spare=3)
        yield numbers("mean |offset|", [trial.mean_abs_offset for trial in listed], spare=2)
        yield numbers("agreement", [100 * trial.agreement for trial in listed], "{:.1f} %".format, spare=1)
        yield Column("", ["closest" if trial == trials.best else "" for trial in listed], "left")
