"""`softargmax sweep`: the results of many β, and the smallest β that is good enough."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from softargmax_cli.cli.check import allowance_of
from softargmax_cli.cli.messages import say
from softargmax_cli.cli.options import (
    CommonOptions,
    ForceOptions,
    Input,
    ReductionOptions,
    grouped,
    option,
    output_option,
    refuse,
    several,
    values_of,
)
from softargmax_cli.cli.paths import PICTURES
from softargmax_cli.cli.pipeline import Job
from softargmax_cli.cli.references import References
from softargmax_cli.errors import OptionError
from softargmax_cli.files.writers import format_of
from softargmax_cli.files.writers.atomic import Document

if TYPE_CHECKING:
    from softargmax_cli.files.registry import Replay
    from softargmax_cli.reduction.result import Run
    from softargmax_cli.reduction.sweep import Trials
    from softargmax_cli.report.sweep import AgainstHard, AgainstTruth

MOST_BETAS = 1000  # β that may be asked for
USUAL = (0.1, 1e5, 13)
"""The β that are tried by default: two for each power of ten, the default of 100 among them."""
FULL = frozenset({"offset", "spread", "norm"})
"""The fields of a trial that is shown; one of a search needs the offset alone."""


@dataclass(frozen=True)
class SweepOptions:
    """The β and windows to try, and the condition for a good one."""

    betas: str | None = option(
        None, "Sweep", "LIST", "Lists the beta to try: 1,10,100, or LOW:HIGH:COUNT. Default: 0.1:1e5:13."
    )
    tol: float | None = option(
        None, "Sweep", "T", "Limits |soft - hard| for the recommended beta. Default: 0.01.", min=0
    )
    allow: str | None = option(None, "Sweep", "N|P%", "Allows N slices, or P percent, beyond --tol. Default: 0.")
    truth: str | None = option(
        None, "Truth", "FILE", "Gives the true positions; sweep then recommends the beta that comes closest to them."
    )
    windows: str | None = option(None, "Truth", "R[,R...]", "Tries every beta with each window.")


@dataclass(frozen=True)
class OutputOptions(ForceOptions):
    """The places of results."""

    plot: str | None = option(None, "Output", "FILE", "Draws both curves: .png, .svg or .pdf.")
    output: str | None = output_option("FILE|-", "Writes the numbers here: .json, .csv or .tsv.")
    format: Literal["table", "json", "csv", "tsv"] | None = option(
        None, "Output", "FORMAT", "Chooses table, json, csv or tsv. Default: table."
    )


@grouped
def sweep(input: Input, *, tried: SweepOptions, asked: CommonOptions, shown: OutputOptions) -> int:
    """Compare many values of beta: how far soft lies from hard, and how much gradient is left.

    \b
    softargmax sweep scores.npy --tol 0.05
    softargmax sweep scores.npy --betas 1:1000:7 --plot beta.svg
    softargmax sweep scores.npy --format json | jq .recommended_beta
    softargmax sweep heatmaps.npy --axis -2,-1 --truth keypoints.csv --windows 2,4,8
    softargmax guide beta
    """
    what = "--kind probs takes weights as they are: they have no β to sweep over"
    refuse(asked.kind == "probs", what, "compare soft with hard by softargmax check")
    betas = None if tried.betas is None else _betas_of(tried.betas)
    windows, truth = [asked.window], None if tried.truth is None else References("truth", tried.truth, several=False)
    if tried.windows is not None:
        hint = "give distances from the hard argmax in indices, as 2,4,8"
        windows = [*sorted({*several("--windows", tried.windows, int, hint, least=0)})]
        what = "--windows compares windows by their distance from --truth"
        refuse(truth is None, what, "give --truth FILE, or one --window")
        what = "--window and --windows both say how far weights count"
        refuse(asked.window is not None, what, "give one of them")
    uses = {"--tol limits": tried.tol, "--allow lets slices exceed": tried.allow, "--plot draws": shown.plot}
    for use, value in uses.items():
        what = f"{use} the distance from hard; --truth measures that from the truth"
        refuse(truth is not None and value is not None, what, f"leave out {use.split()[0]}, or --truth")
    to_file = shown.output not in (None, "-")
    what = "--format table goes to standard output"
    refuse(to_file and shown.format == "table", what, "leave out -o, or choose json, csv or tsv")
    format = shown.format or (format_of(shown.output or "", ("json", "csv", "tsv")) if to_file else "table")
    drawn = None if shown.plot is None else format_of(shown.plot, PICTURES)
    if tried.allow is not None:
        allowance_of(tried.allow)  # raises if it is malformed
    job = Job([input], replace(asked, window=windows[0]))
    reads = truth.files if truth else []
    with job.begun([shown.output, shown.plot], reads=reads), job.trying(input), ExitStack() as stack:
        from softargmax_cli.files.registry import Replay
        from softargmax_cli.report.sweep import put_sweep

        # Opened before anything is read, so that refusals come at once.
        numbers = picture = None
        if format != "table":
            numbers = stack.enter_context(Document(shown.output or "-", force=shown.force))
        if shown.plot is not None:
            from softargmax_cli.report.plots import draw_betas, look, rendered

            stack.enter_context(look())
            picture = stack.enter_context(Document(shown.plot, force=shown.force))
        found: AgainstHard | AgainstTruth
        if truth is not None:
            found = _against_truth(job, input, betas, windows, truth)
        else:
            replay = stack.enter_context(Replay(input, job.reading))
            tolerance = 0.01 if tried.tol is None else tried.tol
            found = against_hard(job, input, replay, betas, tolerance, tried.allow)
            if picture is not None:
                figure = draw_betas(found.run, found.swept, found.tolerance, found.beta)
                picture.write(rendered(figure, drawn or ""))
        if numbers is not None:
            numbers.write(_listed(found, format).encode())
            numbers.commit()
        if picture is not None:
            picture.commit()
        command = _command(job, input, found)
        if format == "table":
            put_sweep(found, command, sys.stdout)
        elif to_file and not job.quiet:
            for line in found.verdict(command):
                say(line)
    return job.code


def _betas_of(text: str) -> list[float]:
    """Parse `--betas`: the β to try, ascending."""
    spread = text.count(":") == 2
    try:
        betas = [float(word) for word in (text.split(":")[:2] if spread else text.split(","))]
        count = int(text.split(":")[2]) if spread else len(betas)
    except ValueError:
        hint = "list them as 1,10,100, or give LOW:HIGH:COUNT as 0.1:1000:9"
        raise OptionError(f"--betas {text!r}: not numbers", hint) from None
    fit = all(1e-30 <= beta <= 1e30 for beta in betas) and count <= MOST_BETAS  # as single precision holds
    what, hint = f"--betas {text!r}: out of range", f"give at most {MOST_BETAS} numbers between 1e-30 and 1e30"
    refuse(not fit, what, hint)
    what = f"--betas {text!r}: not from low to high"
    refuse(spread and not (count > 1 and betas[0] < betas[1]), what, "give LOW:HIGH:COUNT as 0.1:1000:9")
    if not spread:
        return sorted(set(betas))
    from softargmax_cli.reduction.sweep import spaced

    return spaced(betas[0], betas[1], count)


def against_hard(
    job: Job,
    name: str,
    replay: Replay,
    betas: Sequence[float] | None,
    tolerance: float,
    allow: str | None = None,
    *,
    notes: bool = True,
) -> AgainstHard:
    """Measure `betas` in one pass, and bisect in a few more for the smallest within the tolerance.

    betas: None for the usual ones, below which the search may go on. allow: the slices that may lie further off, as
    typed; by default none, slices without an answer aside. notes: True to print those of the input.
    """
    from softargmax_cli.reduction.budget import Needs
    from softargmax_cli.reduction.sweep import Search, spaced, sweep
    from softargmax_cli.report.sweep import AgainstHard

    allowance = None if allow is None else allowance_of(allow)

    def measured(wanted: Sequence[float], *, full: bool = False) -> tuple[Trials, Run]:
        needs, fields = Needs(states=len(wanted)), FULL if full else {"offset"}
        with job.opened(name, fields, needs=needs, replay=replay, notes=notes and full) as reduction:
            (swept,) = reduction.through(partial(sweep, betas=wanted, tolerance=tolerance))
            return swept, reduction.run

    def good(swept: Trials) -> dict[float, bool]:
        """Tell for each β whether few enough slices lie further off."""
        if allowance is None:
            return {trial.beta: trial.max_abs_offset <= tolerance for trial in swept.trials}
        return {trial.beta: trial.outside <= allowance.of(swept.slices) for trial in swept.trials}

    swept, run = measured(betas or spaced(*USUAL), full=True)
    search = Search(good(swept), below=betas is None)
    answer = None
    while answer is None or answer != search.answer:
        while wanted := search.wanted():
            search.learn(good(measured(wanted)[0]))
        if (answer := search.answer) is None:
            break
        search.learn(good(measured([answer])[0]))  # alone, as `run` and `check` compute it
    return AgainstHard(replace(run, beta=None), swept, answer, run.window, tolerance, search.unbounded, allow)


def found_beta(job: Job, name: str, replay: Replay, tolerance: float) -> tuple[float, str]:
    """Find the smallest β within the tolerance, and a note on it; the default β if no slice has an answer.

    Raises OptionError if there is none.
    """
    found = against_hard(job, name, replay, None, tolerance, notes=False)
    if found.swept.slices == found.swept.undefined:
        return job.beta, f"--beta auto: no slice has an answer, so β stays {job.beta:.10g}"
    if found.beta is None:
        last = found.swept.trials[-1]
        what = f"{found.run.input}: --beta auto: no β up to {last.beta:g} keeps soft within "
        what += f"{tolerance:g} of hard: at {last.beta:g} it lies {last.max_abs_offset:.4g} off"
        never = "slices with tied or nearly tied maxima never agree (softargmax guide beta)"
        raise OptionError(what, f"{never}: raise --tol, or give a number")
    return found.beta, f"--beta auto: β {found.beta:.10g} keeps soft within {tolerance:g} of hard"


def _against_truth(
    job: Job, name: str, betas: Sequence[float] | None, windows: Sequence[int | None], truth: References
) -> AgainstTruth:
    """Compare one input with the truth at every β within every window. betas: None for the usual ones."""
    from softargmax_cli.reduction.budget import Needs
    from softargmax_cli.reduction.sweep import spaced, sweep
    from softargmax_cli.report.sweep import AgainstTruth

    betas = betas or spaced(*USUAL)
    needs = Needs(states=len(betas) * len(windows))
    with job.opened(name, {"offset"}, needs=needs) as reduction, truth.opened(name, reduction) as stored:
        source = reduction.source
        work = partial(sweep, betas=betas, windows=windows, truth=stored, rows=lambda: source.rows)
        (swept,) = reduction.through(work)
        stored.end()
    window = None if len(windows) > 1 else windows[0]
    best = (None, None) if swept.best is None else (swept.best.beta, swept.best.window)
    return AgainstTruth(replace(reduction.run, beta=None, window=window), swept, *best)


def _command(job: Job, name: str, found: AgainstHard | AgainstTruth) -> list[str]:
    """Write `softargmax run` with all given options, and the β and the window that were found."""
    from softargmax_cli.cli.usage import run_command

    if found.beta is None:
        return []
    given, usual = values_of(job.asked, ReductionOptions) | {"window": found.window}, vars(ReductionOptions())
    changed = {name: value for name, value in given.items() if name != "axis" and value != usual[name]}
    return [*run_command(name, job.reading, job.axes, **changed, beta=found.beta)]


def _listed(found: AgainstHard | AgainstTruth, format: str) -> str:
    """Write a row for each trial, in json with the conclusions."""
    if format == "json":
        from softargmax_cli.files.writers.json import json_text

        return json_text({"betas": found.rows, **found.conclusions}, indent=1) + "\n"
    from softargmax_cli.files.writers.text import table_text

    return table_text(found.rows, format)
