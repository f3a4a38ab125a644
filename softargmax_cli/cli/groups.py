"""Groups of options that commands take together.

A new option is a declaration in `options` and a line in its group: every command that takes the group has it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

from softargmax_cli.cli import options


@dataclass(frozen=True)
class ReductionOptions:
    """Options that say what is computed."""

    axis: options.Axis = "-1"
    kind: options.Kind = "scores"
    coords: options.Coords = "index"
    values: options.Values = None
    period: options.Period = None
    window: options.Window = None
    nan: options.Nan = "error"
    precision: options.Precision = "auto"


@dataclass(frozen=True)
class ReadingOptions:
    """Options that say how an input is read, under the names of `files.reading.Reading`."""

    key: options.Key = None
    select: options.Select = None
    delimiter: options.Delimiter = None
    header: options.HasHeader = None
    id_column: options.IdColumn = None
    columns: options.Columns = None
    skip: options.Skip = None
    comment: options.Comment = None
    decimal: options.Decimal = None


@dataclass(frozen=True)
class RunningOptions:
    """Options that say where and how a command runs."""

    device: options.Device = "cpu"
    memory: options.Memory = "256MiB"
    quiet: options.Quiet = False
    verbose: options.Verbose = False


def grouped(command: Callable[..., int]) -> Callable[..., int]:
    """Let a command take groups: a parameter whose type is a dataclass stands for an option for each of its fields."""
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        group = hints[name]
        if not is_dataclass(group):
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=group))
            continue
        groups[name] = group
        types = get_type_hints(group, include_extras=True)
        for field in fields(group):
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(inspect.Parameter(field.name, kind, default=field.default, annotation=types[field.name]))

    kind = inspect.Parameter.KEYWORD_ONLY
    parameters.append(inspect.Parameter("help_all", kind, default=False, annotation=options.HelpAll))

    def called(*, help_all: bool, **given: Any) -> int:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        return command(**given)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return called
