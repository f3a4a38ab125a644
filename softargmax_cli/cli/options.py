"""The options that commands share, and their declaration: each is a field of a group that a command takes.

The text of an option is a sentence whose subject is the option: "--window leaves out weights ...".
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

import typer

from softargmax_cli.api.arguments import KindOfCoords
from softargmax_cli.errors import OptionError

RARE = ("More", "Text", "Running")
"""Panels that `--help-all` shows, and `--help` does not."""
Number = TypeVar("Number", int, float)

COORDS = get_args(KindOfCoords)


def option(default: Any, panel: str, metavar: str | None, help: str, *names: str, **more: Any) -> Any:
    """Declare an option as the field of a group.

    default: ... if it is required. panel: its section of the help. metavar: the name of its value there. names: if they
    are not those of the field.
    """
    given: dict[str, Any] = {"help": help, "metavar": metavar, "rich_help_panel": panel, "show_default": False, **more}
    return dataclasses.field(default=default, metadata={"option": typer.Option(*names, **given)})


def output_option(metavar: str, help: str, default: Any = None) -> Any:
    """Declare the `--output` of a command."""
    return option(default, "Output", metavar, help, "--output", "-o")


def grouped(command: Callable[..., int]) -> Callable[..., int]:
    """Let a command take groups: a parameter whose type is a dataclass stands for an option for each of its fields.

    A group's own options come before those that it inherits.
    """
    hints, parameters = get_type_hints(command, include_extras=True), list[inspect.Parameter]()
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}

    def take(name: str, kind: Any, default: Any) -> None:
        default = inspect.Parameter.empty if default is ... else default
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind))

    for name in inspect.signature(command).parameters:
        if (group := groups.get(name)) is None:
            take(name, hints[name], ...)
            continue
        types = get_type_hints(group)
        for each in sorted(dataclasses.fields(group), key=lambda each: each.name not in group.__annotations__):
            take(each.name, Annotated[types[each.name], each.metadata["option"]], each.default)
    take("help_all", HelpAll, False)

    def called(*, help_all: bool, **given: Any) -> int:
        for name, group in groups.items():
            given[name] = group(**{each.name: given.pop(each.name) for each in dataclasses.fields(group)})
        return command(**given)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return called


def values_of(asked: Any, group: Any) -> dict[str, Any]:
    """Return the values of the options of an inherited group, by their names."""
    return {each.name: getattr(asked, each.name) for each in dataclasses.fields(group)}


def refuse(wrong: object, what: str, remedy: str) -> None:
    """Raise OptionError if something is wrong with the options."""
    if wrong:
        raise OptionError(what, remedy)


def several(option: str, text: str, kind: type[Number], hint: str, least: float | None = None) -> list[Number]:
    """Parse numbers separated by commas. Raises OptionError with `hint`, which tells how to write them.

    least: the smallest allowed; all must be finite then.
    """
    try:
        numbers = [kind(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    what = f"{option} {text!r}: not {'whole ' if kind is int else ''}numbers"
    what += "" if least is None else f" of {least:g} or more"
    refuse(not numbers or (least is not None and not all(least <= each < float("inf") for each in numbers)), what, hint)
    return numbers


def axes_of(text: str) -> tuple[int, ...]:
    """Parse `--axis`."""
    return tuple(several("--axis", text, int, "give an axis as 1, or several as -2,-1"))


def coords_of(text: str) -> str | tuple[str, ...]:
    """Parse `--coords`: one kind of coordinates for all axes, or one for each."""
    kinds = tuple(text.split(","))
    for kind in kinds:
        if kind not in COORDS:
            what = f"--coords: {kind!r} is not one of {', '.join(COORDS)}"
            raise OptionError(what, "give one for all axes, or one for each as index,circular")
    return kinds if len(kinds) > 1 else text


def periods_of(text: str | None) -> tuple[float, ...] | None:
    """Parse `--period`."""
    hint = "give a number as 360, or several as 360,24"
    return None if text is None else tuple(several("--period", text, float, hint))


def _show_all(context: typer.Context, wanted: bool) -> None:
    if wanted:
        typer.echo(context.command.whole_help(context))  # type: ignore[attr-defined]  # a `usage.Command`
        raise typer.Exit


HelpAll = Annotated[
    bool, typer.Option("--help-all", help="Shows all options.", callback=_show_all, is_eager=True, show_default=False)
]
Input = Annotated[str, typer.Argument(metavar="INPUT", help="A file or a Zarr store; - is stdin.", show_default=False)]
Inputs = Annotated[
    list[str], typer.Argument(metavar="INPUT", help="Files, folders, patterns; - is stdin.", show_default=False)
]


@dataclass(frozen=True)
class ReductionOptions:
    """Options for the computation."""

    axis: str = option("-1", "Reduction", "N[,N...]", "Chooses the axis, or several. Default: -1.")
    kind: Literal["scores", "probs", "cost"] = option(
        "scores", "Reduction", "KIND", "Says what the numbers are: scores (default), probs (weights already) or cost."
    )
    coords: str = option(
        "index",
        "Reduction",
        "UNIT",
        "Sets coordinates: index (default), corners (-1 to 1), centers or circular; one, or one for each axis.",
        callback=coords_of,
        autocompletion=lambda: [*COORDS],
    )
    values: str | None = option(
        None, "Reduction", "FILE", "Gives each index a coordinate: a file or START:STOP:STEP, one for each axis."
    )
    period: str | None = option(
        None,
        "More",
        "P",
        "Sets the length of a full circle in --values, such as 360; one for each axis.",
        callback=periods_of,
    )
    window: int | None = option(None, "Reduction", "R", "Ignores entries further than R indices from hard.", min=0)
    nan: Literal["error", "omit", "propagate"] = option(
        "error", "Reduction", "POLICY", "Handles NaN: error (default), omit or propagate."
    )
    precision: Literal["auto", "single", "double"] = option(
        "auto", "More", "P", "Sets single or double precision; auto (default) goes by the numbers."
    )


@dataclass(frozen=True)
class ReadingOptions:
    """Options for reading an input, under the names of `files.reading.Reading`."""

    key: str | None = option(None, "Input", "NAME", "Chooses an array in a file that holds several.")
    select: str | None = option(None, "Input", "INDEX", "Selects a part, as NumPy: 0,:,3:5.")
    delimiter: str | None = option(None, "Text", "C", "Sets the separator of cells, such as tab; detected by default.")
    header: bool | None = option(
        None, "Text", None, "Says whether the first line holds titles; detected by default.", "--header/--no-header"
    )
    id_column: str | None = option(None, "Input", "NAME", "Chooses the column that names the rows.")
    columns: str | None = option(
        None, "Input", "SPEC", "Chooses the columns of scores: a,b or a:c or 2: (the second on) or ^id (all but id)."
    )
    skip: int | None = option(None, "Text", "N", "Skips the first N lines.", min=0)
    comment: str | None = option(None, "Text", "C", "Sets the mark of a comment; '' for none. Default: #.")
    decimal: str | None = option(None, "Text", "C", "Sets the decimal mark: a point (default) or a comma.")


@dataclass(frozen=True)
class VerboseOptions:
    """The option that shows more on standard error."""

    verbose: bool = option(
        False, "Running", None, "Shows TensorFlow's messages and the traceback of an error.", "--verbose", "-v"
    )


@dataclass(frozen=True)
class MessageOptions(VerboseOptions):
    """Options for messages on standard error."""

    quiet: bool = option(False, "Running", None, "Prints only errors on standard error.", "--quiet", "-q")


@dataclass(frozen=True)
class CommonOptions(MessageOptions, ReadingOptions, ReductionOptions):
    """All options of a command that reduces, but for β."""

    device: str = option("cpu", "Running", "DEVICE", "Chooses the device: cpu (default), gpu or gpu:N.")
    memory: str = option("256MiB", "Running", "SIZE", "Limits the memory for data. Default: 256MiB.")


BETA = "Sets the inverse temperature: a larger beta brings soft closer to hard. Default: 100."


@dataclass(frozen=True)
class BetaOptions(CommonOptions):
    """All options of a command that reduces at one β."""

    beta: float | None = option(None, "Reduction", "B", BETA)
    temperature: float | None = option(None, "More", "T", "Sets the temperature 1/beta, in place of --beta.")


@dataclass(frozen=True)
class ForceOptions:
    """The option that lets files be replaced."""

    force: bool = option(False, "Output", None, "Replaces files that exist.", "--force")
