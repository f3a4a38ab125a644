"""Soft and hard argmax of array files, tensors and NumPy arrays.

    from softargmax_cli import softargmax  # a function of tensors, with a gradient
    from softargmax_cli import SoftArgmax  # the same function as a Keras layer
    from softargmax_cli import reduce      # the results of `softargmax run`, as NumPy arrays

Importing this package alone loads nothing else; each name is imported when it is first used.
"""

from importlib import import_module

TYPE_CHECKING = False  # type checkers take it as True; importing it from typing is slow enough to meet Ctrl-C
if TYPE_CHECKING:
    from softargmax_cli.api.function import softargmax
    from softargmax_cli.api.layer import SoftArgmax
    from softargmax_cli.api.reduce import Result, reduce

__version__ = "0.2.0"

__all__ = ["Result", "SoftArgmax", "reduce", "softargmax"]


_MODULES = {"softargmax": "function", "SoftArgmax": "layer", "reduce": "reduce", "Result": "reduce"}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.api.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
