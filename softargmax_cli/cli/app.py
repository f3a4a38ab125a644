"""The program: its commands, and how it ends."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Literal, NoReturn

import typer
from typer.completion import completion_init, install_callback, show_callback  # type: ignore[attr-defined]

from softargmax_cli import __version__
from softargmax_cli.cli.messages import FAILED, Unhindered, say_error
from softargmax_cli.cli.signals import INTERRUPTED, heed_signals
from softargmax_cli.cli.usage import Group, explained
from softargmax_cli.errors import SoftArgmaxError

BROKEN_PIPE = 141

app = typer.Typer(
    name="softargmax",
    cls=Group,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,  # Typer's options look for the shell among parent processes, where a container has none
    context_settings={"help_option_names": ["-h", "--help"]},
)
completion_init()


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"softargmax {__version__}\n")
        raise typer.Exit


Shell = Literal["bash", "zsh", "fish", "powershell", "pwsh"]


@app.callback(invoke_without_command=True)
def softargmax(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Shows the version.", callback=_version, is_eager=True)
    ] = False,
    install_completion: Annotated[
        Shell | None,
        typer.Option(
            metavar="SHELL",
            help="Installs completion for bash, zsh, fish, powershell or pwsh.",
            callback=install_callback,
            is_eager=True,
            show_default=False,
        ),
    ] = None,
    show_completion: Annotated[
        Shell | None,
        typer.Option(
            metavar="SHELL",
            help="Prints the script that completion installs.",
            callback=show_callback,
            is_eager=True,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Compare the soft and the hard argmax of array files.

    \b
    softargmax run scores.npy --beta 100          shows hard and soft side by side
    softargmax check scores.npy --tol 0.05        fails if they differ more
    softargmax sweep scores.npy --tol 0.05        finds the smallest β for that
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
    os.environ.pop("GITHUB_ACTIONS", None)  # for which Typer colours help even in a pipe
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's linear algebra, unused here, would start threads
    heed_signals()
    code = _exit_code()
    # The interpreter's own way out would unload TensorFlow, a tenth of a short run, and try again to write
    # what could not be written.
    sys.stderr.flush()
    os._exit(code)


def _exit_code() -> int:
    """Run the command line; what is to be seen is written by then."""
    code: object
    try:
        code = app(prog_name="softargmax", standalone_mode=False)
        if code != FAILED:  # else what is still buffered is the head of a result that did not come
            sys.stdout.flush()
    except typer.TyperException as error:
        code = _fail(explained(error))
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        code = BROKEN_PIPE  # which Typer makes a 1
    except BrokenPipeError:
        code = BROKEN_PIPE
    except SoftArgmaxError as error:
        code = _fail(error)
    except OSError as error:  # of standard output itself
        from softargmax_cli.files.writers.atomic import refused

        code = _fail(refused("<stdout>", error))
    except Exception as error:
        code = _fail(error)
    return code if isinstance(code, int) else 0


def _open_closed_streams() -> None:
    """Put the null device where the caller closed a standard stream.

    The next file opened would get its descriptor, and with it whatever is printed. Results still cannot be
    written there, as the descriptor is for reading only; what is said on standard error goes nowhere.
    """
    if sys.stdin is None:
        os.open(os.devnull, os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8", closefd=False)


def _fail(error: Exception) -> int:
    say_error(error, verbose=not {"--verbose", "-v"}.isdisjoint(sys.argv))
    return FAILED
