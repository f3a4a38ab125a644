"""Text of the command line, read into what the rest of the program takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar, get_args

import typer

from softargmax_cli.api.arguments import KindOfCoords
from softargmax_cli.errors import OptionError, as_typed

Value = TypeVar("Value")

KINDS = get_args(KindOfCoords)
"""The kinds of coordinates."""


def taken(parse: Callable[[Any], Value]) -> Callable[[str | None], Value | None]:
    """Return the callback of an option whose text a parser of Python's arguments takes; Typer names the option."""

    def value(text: str | None) -> Value | None:
        try:
            return None if text is None else parse(text)
        except OptionError as error:
            raise typer.BadParameter(as_typed(f"{error.what}; {error.remedy}")) from None

    return value


def axes(text: str) -> tuple[int, ...]:
    """The axes that `--axis` names."""
    try:
        return tuple(int(axis) for axis in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--axis {text!r}: give an axis as 1, or several as -2,-1") from None


def kinds(text: str) -> str | tuple[str, ...]:
    """The kinds of coordinates that `--coords` names: one for all axes, or one for each."""
    several = tuple(text.split(","))
    for kind in several:
        if kind not in KINDS:
            raise typer.BadParameter(f"{kind!r} is not one of {', '.join(map(repr, KINDS))}.")
    return several if len(several) > 1 else several[0]


def periods(text: str | None) -> tuple[float, ...] | None:
    """The periods that `--period` names."""
    try:
        return None if text is None else tuple(map(float, text.split(",")))
    except ValueError:
        raise typer.BadParameter(f"{text!r}: give a number as 360, or several as 360,24") from None


def tolerance(value: float | None) -> float | None:
    """Refuse NaN, which is not below the least."""
    if value is not None and value != value:
        raise typer.BadParameter("nan is no tolerance")
    return value


def distances(text: str) -> tuple[float, ...]:
    """The distances that `--within` names, ascending."""
    try:
        limits = sorted(set(map(float, text.split(","))))
    except ValueError:
        limits = [-1.0]
    if not all(0 <= limit < float("inf") for limit in limits):
        raise typer.BadParameter(f"--within {text!r}: give distances as 1,2,4")
    return tuple(limits)


def windows(text: str) -> tuple[int, ...]:
    """The windows that `--windows` names, ascending."""
    words = text.replace(" ", "").split(",")
    if not all(word.isascii() and word.isdecimal() and len(word) < 19 for word in words):
        raise typer.BadParameter(f"--windows {text!r}: give distances from the hard argmax in indices, as 2,4,8")
    return tuple(sorted(set(map(int, words))))


def allowance(text: str) -> tuple[float, bool]:
    """How many slices `--allow` lets fail: a number, and True where it is a percentage."""
    found = re.fullmatch(r"(\d{1,18})|(\d{1,3}(?:\.\d+)?)\s*%", text.strip())
    if found is None or (found[2] and float(found[2]) > 100):
        raise typer.BadParameter(f"--allow {text!r}: give a number of slices, or a percentage as 0.5%")
    return (float(found[2]), True) if found[2] else (int(found[1]), False)


def searched(beta: str | None, temperature: float | None, kind: str, tol: float | None) -> tuple[float, float | None]:
    """β from the options of `run`, and the tolerance where β is to be found instead."""
    if beta == "auto":
        inverse_temperature(1.0, temperature, kind)
        return 100.0, 0.01 if tol is None else tol
    if tol is not None:
        raise typer.BadParameter("--tol says how close --beta auto must come; give both")
    try:
        number = None if beta is None else float(beta)
    except ValueError:
        raise typer.BadParameter(f"--beta {beta!r}: give a number above 0, or auto") from None
    return inverse_temperature(number, temperature, kind), None


def inverse_temperature(beta: float | None, temperature: float | None, kind: str) -> float:
    """β from the two options that say it."""
    if kind == "probs" and (beta is not None or temperature is not None):
        raise typer.BadParameter("--kind probs takes weights as they are: they have no --beta and no --temperature")
    if temperature is None:
        return 100.0 if beta is None else beta
    if beta is not None:
        raise typer.BadParameter("--beta and --temperature say the same thing; give one of them")
    if not 0 < temperature < float("inf"):
        raise typer.BadParameter(f"temperature {temperature:g}: it must be a finite number above 0")
    return 1 / temperature
