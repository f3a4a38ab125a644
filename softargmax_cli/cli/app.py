"""The program: its commands, and its end, which at a signal is immediate and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Annotated, Any, Literal, NoReturn

import typer
from typer.completion import completion_init, install_callback, show_callback  # type: ignore[attr-defined]

from softargmax_cli import __version__
from softargmax_cli.cli.messages import FAILED, Unhindered, say_error
from softargmax_cli.cli.usage import Group, explained
from softargmax_cli.errors import SoftArgmaxError, refused

BROKEN_PIPE, INTERRUPTED = 141, 130
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that end the program. The exit code is 128 plus the signal's number, as in a shell."""

app = typer.Typer(
    name="softargmax",
    cls=Group,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,  # Typer's options look for the shell among parent processes, which a container lacks
    context_settings={"help_option_names": ["-h", "--help"]},
)
completion_init()


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"softargmax {__version__}\n")
        raise typer.Exit


def _eager(callback: Callable[..., Any], help: str, *names: str, **more: Any) -> Any:
    """Declare an option of the program itself, which runs no command."""
    return typer.Option(*names, help=help, callback=callback, is_eager=True, show_default=False, **more)


Shell = Literal["bash", "zsh", "fish", "powershell", "pwsh"]
INSTALL = "Installs completion for bash, zsh, fish, powershell or pwsh."
Install = Annotated[Shell | None, _eager(install_callback, INSTALL, metavar="SHELL")]
Show = Annotated[Shell | None, _eager(show_callback, "Prints the script that completion installs.", metavar="SHELL")]
Version = Annotated[bool, _eager(_version, "Shows the version.", "--version", "-V")]


@app.callback(invoke_without_command=True)
def softargmax(
    context: typer.Context, version: Version = False, install_completion: Install = None, show_completion: Show = None
) -> None:
    """Compare the soft and the hard argmax of array files.

    \b
    softargmax run scores.npy --beta 100          shows hard and soft side by side
    softargmax check scores.npy --tol 0.05        fails if they differ more
    softargmax sweep scores.npy --tol 0.05        finds the smallest beta for that
    softargmax evaluate scores.npy --truth t.csv  measures the errors of both
    softargmax inspect scores.npy                 shows what a file holds
    softargmax guide beta                         explains a topic
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> NoReturn:
    """Run the command line and end the process."""
    _open_closed_streams()
    sys.stderr = Unhindered(sys.stderr)
    os.environ.pop("GITHUB_ACTIONS", None)  # it makes Typer colour help even in a pipe
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's linear algebra, unused here, would start threads
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end)
    code = _exit_code()
    # The interpreter's own exit would unload TensorFlow, a tenth of a short run, and repeat failed writes.
    sys.stderr.flush()
    os._exit(code)


def _exit_code() -> int:
    """Run the command line, and write all that is buffered."""
    code: object
    try:
        code = app(prog_name="softargmax", standalone_mode=False)
        if code != FAILED:  # else only the head of a result is buffered
            sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except (BrokenPipeError, SystemExit) as end:
        if not isinstance(end, BrokenPipeError) and not isinstance(end.__context__, BrokenPipeError):
            raise
        return BROKEN_PIPE  # Typer turns it into an exit
    except Exception as error:
        if isinstance(error, OSError) and not isinstance(error, SoftArgmaxError):  # of standard output itself
            error = refused("<stdout>", error)
        said = explained(error) if isinstance(error, typer.TyperException) else error
        say_error(said, verbose=not {"--verbose", "-v"}.isdisjoint(sys.argv))
        return FAILED
    return code if isinstance(code, int) else 0


def _end(number: int, frame: FrameType | None) -> None:
    """End at a signal, at once: an exception may come where it does harm, and waits for every thread."""
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # the impatient press Ctrl-C twice
    try:
        for module, clean in (("files.writers.atomic", "remove_unfinished"), ("report.progress", "restore_terminals")):
            if loaded := sys.modules.get(f"softargmax_cli.{module}"):
                getattr(loaded, clean)()
    finally:
        os._exit(128 + number)


def _open_closed_streams() -> None:
    """Open the null device in place of closed standard streams, else a file that is opened would take their place.

    It is opened for reading, so that results for it are an error; what is said on standard error is lost.
    """
    while os.open(os.devnull, os.O_RDONLY) <= 2:
        pass
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
