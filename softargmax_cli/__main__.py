"""The entry point of the command `softargmax` and of `python -m softargmax_cli`."""

import signal
import sys


def main() -> None:
    """Run the command line and end the process; while it loads, Ctrl-C ends it silently."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the command line sets its own handlers
    from softargmax_cli.cli.app import main

    main()


if __name__ == "__main__":
    sys.argv[0] = "softargmax"  # the name that usage lines and errors show
    __package__ = ""  # else Typer calls it "python -m softargmax_cli.softargmax"
    main()
