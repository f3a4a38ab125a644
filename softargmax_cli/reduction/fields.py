"""Every field of a result: its name, its dtype, and its formula from the sums of a slice.

To add a field, add a line to `FIELDS`. If it needs a new sum, the kernel (`kernel.block_sums`)
and the merge (`state.State`) gain that sum. All tables, writers and `reduce` in Python use this list.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

F8, I8, BOOL = map(np.dtype, ("float64", "int64", "bool"))

MULTIMODAL = 0.25
"""The least part of the peak that makes a second mode count as multimodal."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a result."""

    name: str
    dtype: np.dtype[Any]
    meaning: str
    """The text in the guide."""
    finish: Callable[[Any], Any] | None
    """From `finish.Sums` to the field, (m,) or (a, m); None for fields of gradients and comparisons."""
    per_axis: bool = False
    """True if there is one number for each reduced axis, (a, m)."""
    needs: str = ""
    """The part of a state that is computed for this field alone."""


FIELDS = (
    Field("hard", I8, "the first index of the maximum, for costs of the minimum", lambda s: s.hard, per_axis=True),
    Field("soft", F8, "Σ cᵢ pᵢ, the mean coordinate under the weights p", lambda s: s.soft, per_axis=True),
    Field("offset", F8, "soft minus the coordinate of hard", lambda s: s.offset, per_axis=True),
    Field("peak", F8, "the weight at hard, in (0, 1]; near 1, almost all weight lies there", lambda s: 1 / s.mass),
    Field(
        "second", F8, "the weight of a second mode; 0 without one", lambda s: s.state.second / s.mass, needs="second"
    ),
    Field(
        "spread",
        F8,
        "√Σ (cᵢ − soft)² pᵢ, the standard deviation of the coordinate under the weights",
        lambda s: s.spread,
        per_axis=True,
        needs="second_moment",
    ),
    Field(
        "entropy",
        F8,
        "−Σ pᵢ ln pᵢ, in nats: 0 if one index has all the weight, ln n if n indices share it equally",
        lambda s: np.maximum(np.log(s.mass) - s.state.log_moment / s.mass, 0),
        needs="log_moment",
    ),
    Field(
        "ties", I8, "the number of entries equal to the maximum", lambda s: s.state.ties * (s.mass > 0), needs="ties"
    ),
    Field(
        "agree",
        BOOL,
        "true if |offset| < 0.5 index along every axis; hard is then the index nearest to soft",
        lambda s: ((abs(s.distance) < 0.5) & ~np.isnan(s.offset)).all(axis=0),
    ),
    Field(
        "multimodal",
        BOOL,
        "true if there is a second mode: second ≥ peak / 4",
        lambda s: s.state.second / s.mass >= MULTIMODAL / s.mass,
        needs="second",
    ),
)
"""The fields of a reduction in the order in which every format lists them."""

COMPARED = (
    Field("expected", F8, "soft as it was stored earlier", None, per_axis=True),
    Field("difference", F8, "soft minus expected; 0 where both are NaN", None, per_axis=True),
    Field("truth", F8, "the true coordinate", None, per_axis=True),
    Field("hard_error", F8, "the distance of the coordinate of hard from the truth", None),
    Field("soft_error", F8, "the distance of soft from the truth", None),
)
"""The fields of slices that are compared with a stored result, or with the truth."""

DIFFERENTIATED = (
    Field("norm", F8, "the Euclidean norm of ∂soft/∂x", lambda s: s.norm, needs="slope"),
    Field("min", F8, "the smallest entry of ∂soft/∂x", None),
    Field("max", F8, "the largest entry of ∂soft/∂x", None),
    Field("gradient", F8, "∂soft/∂β", None, per_axis=True),
    Field("vanished", BOOL, "true if the norm of the gradient is below a limit", None),
)
"""The fields of slices with gradients."""

BY_NAME = {field.name: field for field in (*FIELDS[:2], *COMPARED, *FIELDS[2:], *DIFFERENTIATED)}
NAMES = tuple(field.name for field in FIELDS)
FREE = frozenset(field.name for field in FIELDS if not field.needs)
"""Fields that cost nothing beside `soft`; the others are computed only when asked for."""
OF_TRUTH = ("hard", "soft", "truth", "hard_error", "soft_error")
OF_GRADIENT = (*(name for name in NAMES if name in FREE), *(field.name for field in DIFFERENTIATED))
"""The fields that are listed for slices with a truth, and for slices with gradients."""


def needed_sums(fields: Collection[str]) -> frozenset[str]:
    """Return the optional parts of a state that these fields need."""
    return frozenset(BY_NAME[name].needs for name in fields) - {""}
