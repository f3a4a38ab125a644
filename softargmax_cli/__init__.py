"""Soft and hard argmax of array files, tensors and NumPy arrays.

    from softargmax_cli import softargmax  # a function of tensors, with a gradient
    from softargmax_cli import SoftArgmax  # the same function as a Keras layer
    from softargmax_cli import reduce      # the results of `softargmax run`, as NumPy arrays

Importing this package alone loads nothing else; each name is imported when it is first used.
"""

TYPE_CHECKING = False  # as of typing, which would take longer to import than Ctrl-C may go without an answer

if TYPE_CHECKING:
    from softargmax_cli.api.function import softargmax
    from softargmax_cli.api.layer import SoftArgmax
    from softargmax_cli.api.reduce import Result, reduce

__version__ = "0.2.0"

__all__ = ["Result", "SoftArgmax", "reduce", "softargmax"]


def __getattr__(name: str) -> object:
    """Import what is asked for, once."""
    value: object
    if name == "softargmax":
        from softargmax_cli.api.function import softargmax as value
    elif name == "SoftArgmax":
        from softargmax_cli.api.layer import SoftArgmax as value
    elif name == "reduce":
        from softargmax_cli.api.reduce import reduce as value
    elif name == "Result":
        from softargmax_cli.api.reduce import Result as value
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
