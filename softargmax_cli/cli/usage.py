"""Commands as they are typed: the errors for wrong use, and the commands that are suggested."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches
from functools import cache, partial
from importlib import import_module
from itertools import takewhile
from typing import TYPE_CHECKING, Any, get_args

import typer
from typer.core import TyperCommand, TyperGroup

from softargmax_cli.cli.options import RARE
from softargmax_cli.errors import OptionError
from softargmax_cli.report.inspection import DELIMITERS

if TYPE_CHECKING:
    from softargmax_cli.files.reading import Reading

COMMANDS = ("run", "check", "sweep", "evaluate", "grad", "weights", "inspect", "guide", "devices")
"""The names of commands; each is a function in a module of its own, loaded when it is used."""
OTHERS = {"--sep": "--delimiter", "--dim": "--axis", "--overwrite": "--force", "--tau": "--temperature"}
"""Names that other programs have for our options."""


class Command(TyperCommand):
    """A command whose options are given once each."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _unconverted(super().get_params(ctx))

    def get_help(self, ctx: Any) -> str:
        whole = self.params
        if any(param.name == "help_all" for param in whole):
            self.params = [param for param in whole if getattr(param, "rich_help_panel", None) not in RARE]
        try:
            return self.whole_help(ctx)
        finally:
            self.params = whole

    def whole_help(self, ctx: Any) -> str:
        """Return the help with all options."""
        return super().get_help(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:  # as in completion
            _refuse_split_axes(args)
            _, _, order = self.make_parser(ctx).parse_args([*args])
            for param in order:
                if order.count(param) > 1 and not getattr(param, "multiple", True):
                    _refuse_twice(param, args)
        return super().parse_args(ctx, args)


class Group(TyperGroup):
    """The program itself; for a file in place of a command, the error suggests `run`."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _unconverted(super().get_params(ctx))

    def list_commands(self, ctx: Any) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return command_of(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        word = args[0]
        if word in COMMANDS:
            return super().resolve_command(ctx, args)
        if word == "-" or os.path.exists(word) or re.search(r"[./\\*?\[]", word):
            raise OptionError(f"{word} is no command", f"did you mean: {shlex.join(['softargmax', 'run', *args])}")
        meant = _meant(word, dict(zip(COMMANDS, COMMANDS, strict=True)))
        raise OptionError(f"No such command '{word}'.{meant}", "try: softargmax --help")


@cache
def command_of(name: str) -> Any:
    """Load a command."""
    app = typer.Typer(rich_markup_mode="rich", add_completion=False)
    app.command(name, cls=Command)(getattr(import_module(f"softargmax_cli.cli.{name}"), name))
    return typer.main.get_command(app)


def explained(error: typer.TyperException) -> OptionError:
    """Turn an error of Typer into ours, with a suggestion, or with the help to read."""
    context: Any = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "softargmax"
    said = error.format_message().replace("Value error, ", "")  # Pydantic's words before ours
    if getattr(error, "param_type", None) == "argument" or str(error).startswith("Missing parameter: input"):
        return OptionError(f"{command}: no input is named", f"name a file, or read standard input with -: {command} -")
    if said.startswith("Got unexpected extra argument"):
        return OptionError(f"{command} takes one input", f"try: {command} --help")
    if hasattr(error, "possibilities"):
        return _unknown(getattr(error, "option_name", ""), context)
    return OptionError(said, f"try: {command} --help")


def _unknown(option: str, context: Any) -> OptionError:
    """Return the error for an unknown option: the one that may be meant, or the commands that have it."""
    params, help = context.command.params, f"try: {context.command_path} --help"
    known = {name: name for param in params for name in (*param.opts, *param.secondary_opts) if name.startswith("--")}
    formats = next((_choices(param) for param in params if param.name == "format"), ())
    meant = {other: ours for other, ours in OTHERS.items() if ours in known} | known
    meant |= {f"--{format}": f"--format {format}" for format in formats}
    elsewhere = [name for name in COMMANDS if any(option in param.opts for param in command_of(name).params)]
    if file := next((word for word in sys.argv[1:] if word.startswith("-") and os.path.exists(word)), None):
        said, help = "", f"for the file, write ./{file}"
    elif option == "--input":  # which reads as a file, beside --output
        said = ". Name files without an option; say what their numbers are with --kind."
    elif elsewhere and option not in meant:
        said = f": it belongs to {', '.join(elsewhere)}"
        if isinstance(context.command, Group):
            help = f"write it after the command: softargmax {elsewhere[0]} INPUT {option} ..."
    else:
        said = f".{_meant(option, meant)}".removesuffix(".")
    return OptionError(f"No such option: {option}{said}", help)


def _meant(word: str, meanings: Mapping[str, str]) -> str:
    """Return the question whether a known word was meant. meanings: what to suggest for each."""
    found = [meanings[word]] if word in meanings else [meanings[name] for name in nearest(word, meanings)]
    return f" Did you mean {' or '.join(dict.fromkeys(found))}?" if found else ""


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Return known words that begin with `word`, else the longest that it begins with, else the one most like it."""
    bare, names = word.lstrip("-"), {name.lstrip("-"): name for name in known}
    if longer := [names[name] for name in names if len(bare) > 1 and name.startswith(bare)]:
        return longer[:3]
    shorter = [name for name in names if len(name) > 2 and bare.startswith(name)]
    likely = [max(shorter, key=len)] if shorter else get_close_matches(bare, names, n=1, cutoff=0.65)
    return [names[name] for name in likely]


def _unconverted(params: list[Any]) -> list[Any]:
    """Let options take text, choices and defaults unconverted; for others Typer imports Pydantic, which takes long."""

    def taken(param: Any, convert: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
        text = param.type_descriptor.annotation in (str, list[str])
        plain = text or value in (param.default, *_choices(param))
        if not plain or (param.required and param.value_is_missing(value)):
            return convert(context, value)
        return param.callback(context, param, value) if param.callback else value

    for param in params:
        if hasattr(param, "type_descriptor") and not isinstance(param.process_value, partial):  # from 0.29 on
            param.process_value = partial(taken, param, param.process_value)
    return params


def _choices(param: Any) -> tuple[Any, ...]:
    """Return the words that an option takes, if it takes no others."""
    return get_args(getattr(getattr(param, "type_descriptor", None), "annotation", None))


def _refuse_split_axes(args: list[str]) -> None:
    """Raise OptionError for axes in separate words, as all but the first would be inputs."""
    at = args.index("--axis") if "--axis" in args else len(args)
    numbers = takewhile(lambda word: re.fullmatch(r"-?\d+,?", word) and not os.path.exists(word), args[at + 1 :])
    axes = [word.rstrip(",") for word in numbers]
    if len(axes) > 1:
        raise OptionError(f"--axis {' '.join(axes)}: several axes are one word", f"use --axis {','.join(axes)}")


def _refuse_twice(param: Any, args: list[str]) -> None:
    """Raise OptionError for an option that is given twice, flags aside, and for a flag with its opposite."""
    if not param.is_flag:
        several = "; several axes are one word: --axis 0,1" if param.name == "axis" else ""
        raise OptionError(f"{param.opts[0]} is given twice", f"give it once{several}")
    both = [names[0] for names in (param.opts, param.secondary_opts) if not set(names).isdisjoint(args)]
    if len(both) > 1:
        raise OptionError(f"{both[0]} and {both[1]} contradict each other", "give one of them")


def run_command(name: str, reading: Reading, axes: tuple[int, ...], **options: object) -> Iterator[str]:
    """Write `softargmax run` for a file with the options of its `reading`, and `options`; None is left out."""
    yield from ("softargmax", "run", f"./{name}" if name.startswith("-") and name != "-" else name)
    given: dict[str, Any] = {each.name: getattr(reading, each.name) for each in fields(reading) if each.default is None}
    given["delimiter"] = DELIMITERS.get(reading.delimiter or "", reading.delimiter)
    given["axis"] = None if axes == (-1,) else axes
    for option, value in {**given, **options}.items():
        if isinstance(value, bool):
            yield f"--{option}" if value else f"--no-{option}"
        elif value is not None:
            several = value if isinstance(value, tuple) else (value,)
            yield f"--{option.replace('_', '-')}"
            yield ",".join(f"{each:.10g}" if isinstance(each, float) else str(each) for each in several)
