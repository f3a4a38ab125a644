"""`python -m softargmax_cli`: the same as the command `softargmax`."""

import sys

from softargmax_cli.cli.app import main

if __name__ == "__main__":
    sys.argv[0] = "softargmax"  # the name that usage lines and errors show
    __package__ = ""  # else Typer calls it "python -m softargmax_cli.softargmax"
    main()
