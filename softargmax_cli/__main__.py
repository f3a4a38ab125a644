"""The way in, as the command `softargmax` and as `python -m softargmax_cli`.

Ctrl-C may come at any time: until it is provided for nothing is imported but what every interpreter holds already.
"""

import _signal  # type: ignore[import-not-found]  # of which signal is made: it is there already, as sys is
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> "NoReturn":
    """Run the command line and end the process; at Ctrl-C while it loads, as any program that takes no heed of it."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # until the command line is there, which takes over
    from softargmax_cli.cli.app import main

    main()


if __name__ == "__main__":
    sys.argv[0] = "softargmax"  # the name that usage lines and errors show
    __package__ = ""  # else Typer calls it "python -m softargmax_cli.softargmax"
    main()
