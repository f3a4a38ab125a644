"""What the reduction needs of an input. `arrays.source.Source` has it; so may anything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.blocks import Block, Order
from softargmax_cli.reduction.buffer import Buffer


class Loaded(Protocol):
    """See `arrays.source.Loaded`."""

    @property
    def values(self) -> npt.NDArray[Any]: ...
    @property
    def ids(self) -> Sequence[str] | None: ...


class Pending(Protocol):
    """See `arrays.source.Pending`."""

    @property
    def nbytes(self) -> int: ...
    def load(self, buffer: Buffer) -> Loaded: ...


class Readable(Protocol):
    """See `arrays.source.Source`."""

    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]
    order: Order
    sequential: bool
    labels: Sequence[str] | None
    chunks: tuple[int, ...] | None

    def fetch(self, block: Block) -> Pending | None: ...
