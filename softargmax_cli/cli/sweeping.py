"""`softargmax sweep` from a name to a table, a file and a picture."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

from softargmax_cli.cli.asking import Asked, Inputs, for_each
from softargmax_cli.errors import OptionError

if TYPE_CHECKING:
    from softargmax_cli.arrays.sinks.target import Target
    from softargmax_cli.cli.searching import Swept

DELIMITERS = {"csv": ",", "tsv": "\t"}
PICTURES = ("png", "svg", "pdf")


@dataclass(frozen=True, slots=True)
class Shown:
    """Where results go."""

    output: str | None
    format: str | None
    plot: str | None
    force: bool


def sweep_file(name: str, asked: Asked, betas: Sequence[float] | None, tolerance: float, shown: Shown) -> int:
    """Sweep over one input and show it; 0, or 2 where it cannot be used.

    Raises OptionError where options contradict each other.
    """
    format = _format(shown)
    drawn = None if shown.plot is None else _suffix(shown.plot, PICTURES, "picture")
    if drawn is not None:
        from softargmax_cli.report.picture import check_installed

        check_installed()

    def work(inputs: Inputs, name: str) -> int:
        from softargmax_cli.arrays.sinks.target import open_target
        from softargmax_cli.cli.searching import swept

        with ExitStack() as stack:

            def opened(path: str) -> Target:
                """Before anything is read, so that what cannot be written is said at once."""
                target = open_target(path, force=shown.force)
                stack.callback(target.abort)  # of no effect once it is committed
                return target

            numbers = opened(shown.output or "-") if format != "table" else None
            canvas = None if shown.plot is None else opened(shown.plot)
            done = swept(inputs, name, stack.enter_context(inputs.replayed(name)), betas, tolerance, full=True)
            if numbers is not None:
                _put(numbers, _text(done, format).encode())
            if canvas is not None and drawn is not None:
                from softargmax_cli.report.picture import picture

                _put(canvas, picture(done.run, done.traded, tolerance, done.recommended, drawn))
        _say(done, tolerance, asked, shown, format)
        return 0

    return for_each([name], asked, work)


def _format(shown: Shown) -> str:
    if shown.output in (None, "-"):
        return shown.format or "table"
    if shown.format == "table":
        raise OptionError("--format table goes to standard output", "leave out -o, or choose json, csv or tsv")
    return shown.format or _suffix(shown.output or "", ("json", "csv", "tsv"), "output")


def _suffix(path: str, known: Sequence[str], what: str) -> str:
    suffix = os.path.splitext(path)[1].lower()[1:]
    if suffix not in known:
        names = ", ".join(f".{name}" for name in known)
        raise OptionError(f"{path}: its suffix names no {what} format", f"end the name in one of {names}")
    return suffix


def _put(target: Target, data: bytes) -> None:
    from softargmax_cli.arrays.sinks.target import blaming

    with blaming(target.name):
        target.stream.write(data)
        target.commit()


def _text(done: Swept, format: str) -> str:
    from softargmax_cli.arrays.sinks.jsontext import json_value
    from softargmax_cli.reduction.result import AtBeta

    names = [field.name for field in fields(AtBeta)]
    rows = [astuple(at) for at in done.traded.betas]
    if format == "json":
        cells = (", ".join(f'"{name}": {json_value(n)}' for name, n in zip(names, row, strict=True)) for row in rows)
        listed = ",\n  ".join(f"{{{row}}}" for row in cells)
        return f'{{"betas": [\n  {listed}\n ],\n "recommended_beta": {json_value(done.recommended)}}}\n'
    delimiter = DELIMITERS[format]
    return "".join(delimiter.join(map(str, row)) + "\n" for row in [names, *rows])


def _say(done: Swept, tolerance: float, asked: Asked, shown: Shown, format: str) -> None:
    """The table to standard output, or, where numbers have been written, its last line to standard error."""
    from softargmax_cli.cli.saying import say_note
    from softargmax_cli.report.sweep import put_sweep, verdict
    from softargmax_cli.report.text import signs_of

    if not asked.quiet:
        for note in dict.fromkeys(done.notes):
            say_note(f"{done.run.input}: {note}")
    if format == "table":
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        put_sweep(done.run, done.traded, tolerance, done.recommended, done.unbounded, sys.stdout, color=colour)
    elif shown.output not in (None, "-") and not asked.quiet:
        for line in verdict(done.run, done.traded, tolerance, done.recommended, done.unbounded, signs_of(sys.stderr)):
            print(line, file=sys.stderr)
