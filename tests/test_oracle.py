"""The oracle itself: answers worked by hand, and sums written out in many digits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import pytest
from mpmath import mpf
from oracle import FIELDS, PER_AXIS, Answer, assert_answers, softargmax

Array = npt.NDArray[Any]
LN3 = math.log(3)
EXAMPLE = np.array([0.0, LN3, 0.0, 0.0, LN3])
"""With β = 1 the weights are 1, 3, 1, 1 and 3 ninths."""
INF, NAN = math.inf, math.nan


def numbers(answer: Answer) -> dict[str, Any]:
    """The fields of the only slice; those of one axis without it."""
    flat = answer.flat()
    found = {}
    for name in FIELDS:
        field = getattr(flat, name)[..., 0]
        found[name] = field.tolist() if field.ndim and len(field) > 1 else field.item()
    return found


def assert_numbers(answer: Answer, **want: Any) -> None:
    found = numbers(answer)
    assert {name: found[name] for name in want} == {
        name: pytest.approx(n, rel=1e-14, abs=1e-14, nan_ok=True) if isinstance(n, float | list) else n
        for name, n in want.items()
    }


def in_fifty_digits(
    x: Array,
    axes: Sequence[int],
    beta: float,
    kind: str = "scores",
    coords: str = "index",
    values_of: Sequence[Array] | None = None,
    window: int | None = None,
) -> dict[str, Any]:
    """What `numbers` gives of finite `x` with all its axes reduced, by loops over its entries."""
    entries = {index: mpf(x[index].item()) for index in np.ndindex(x.shape)}
    best = min(entries.values()) if kind == "cost" else max(entries.values())
    hard = next(index for index, entry in entries.items() if entry == best)

    def weight(entry: mpf) -> mpf:
        if kind == "probs":
            return entry
        return mpmath.exp(mpf(beta) * (best - entry if kind == "cost" else entry - best))

    def coordinate(index: tuple[int, ...], place: int) -> mpf:
        i, n = index[axes[place]], x.shape[axes[place]]
        if values_of is not None:
            return mpf(values_of[place][i].item())
        if coords == "index":
            return mpf(i)
        if n == 1:
            return mpf(0)
        return mpf(2 * i) / (n - 1) - 1 if coords == "corners" else mpf(2 * i + 1) / n - 1

    def near(index: tuple[int, ...], radius: int) -> bool:
        return all(abs(i - j) <= radius for i, j in zip(index, hard, strict=True))

    def mode(index: tuple[int, ...]) -> bool:
        score = -entries[index] if kind == "cost" else entries[index]
        towards = tuple(i + (i < j) - (i > j) for i, j in zip(index, hard, strict=True))
        for other, entry in entries.items():
            beside = -entry if kind == "cost" else entry
            next_to = max(abs(i - j) for i, j in zip(index, other, strict=True)) == 1
            if next_to and (beside > score or (other == towards and beside == score)):
                return False
        return True

    p = {index: weight(entry) for index, entry in entries.items()}
    total = mpmath.fsum(p.values())
    p = {index: w / total for index, w in p.items()}
    radius = 1 if window is None else window
    second = max([w for index, w in p.items() if not near(index, radius) and mode(index)], default=mpf(0))
    if window is not None:
        p = {index: w for index, w in p.items() if near(index, window)}
        total = mpmath.fsum(p.values())
        p = {index: w / total for index, w in p.items()}
        second /= total
    soft = [mpmath.fsum(coordinate(index, k) * w for index, w in p.items()) for k in range(len(axes))]
    offset = [centre - coordinate(hard, k) for k, centre in enumerate(soft)]
    variance = [
        mpmath.fsum((coordinate(index, k) - centre) ** 2 * w for index, w in p.items()) for k, centre in enumerate(soft)
    ]
    by_index = [mpmath.fsum((index[k] - hard[k]) * w for index, w in p.items()) for k in axes]
    found: dict[str, Any] = {
        "hard": [hard[k] for k in axes],
        "soft": [float(n) for n in soft],
        "offset": [float(n) for n in offset],
        "spread": [float(mpmath.sqrt(n)) for n in variance],
    }
    if len(axes) == 1:
        found = {name: both[0] for name, both in found.items()}
    return found | {
        "peak": float(p[hard]),
        "second": float(second),
        "entropy": float(-mpmath.fsum(w * mpmath.log(w) for w in p.values() if w)),
        "ties": sum(entry == best for entry in entries.values()),
        "agree": all(abs(n) < mpf("0.5") for n in by_index),
        "multimodal": bool(second >= p[hard] / 4),
    }


class TestByHand:
    def test_scores(self) -> None:
        assert_numbers(
            softargmax(EXAMPLE, beta=1.0),
            hard=1,
            soft=20 / 9,  # (1·3 + 2 + 3 + 4·3) / 9
            offset=11 / 9,
            peak=3 / 9,
            second=3 / 9,
            spread=math.sqrt(64 / 9 - (20 / 9) ** 2),
            entropy=3 * math.log(9) / 9 + 6 * math.log(3) / 9,
            ties=2,
            agree=False,
        )

    @pytest.mark.parametrize(
        ("coords", "n", "want"),
        [
            ("corners", 1, [0.0]),
            ("corners", 2, [-1.0, 1.0]),
            ("corners", 5, [-1.0, -0.5, 0.0, 0.5, 1.0]),
            ("centers", 1, [0.0]),
            ("centers", 2, [-0.5, 0.5]),
            ("centers", 4, [-0.75, -0.25, 0.25, 0.75]),
        ],
    )
    def test_the_coordinate_of_each_index(self, coords: str, n: int, want: list[float]) -> None:
        found = softargmax(np.eye(n), beta=1e6, coords=coords)
        assert found.soft.tolist() == [want]
        assert found.hard.tolist() == [list(range(n))]

    def test_a_neighbour_is_no_second_mode(self) -> None:
        assert_numbers(softargmax(np.array([LN3, LN3, 0.0]), beta=1.0), second=0.0, multimodal=False)
        assert_numbers(softargmax(np.array([LN3, LN3]), beta=1.0), second=0.0)
        assert_numbers(softargmax(np.array([LN3, LN3]), beta=1.0, window=0), second=0.0)
        assert_numbers(softargmax(np.array([LN3, 0.0, LN3]), beta=1.0), second=3 / 7, multimodal=True)
        assert_numbers(softargmax(np.array([LN3, 0.0, 0.1, 0.0]), beta=1.0, window=2), second=0.0)

    def test_ties_are_those_of_the_whole_slice(self) -> None:
        x = np.array([0, 9, 0, 9, 9], "i1")
        assert_numbers(softargmax(x), hard=1, soft=8 / 3, peak=1 / 3, ties=3)
        assert_numbers(softargmax(x, window=2), hard=1, soft=2.0, peak=1 / 2, ties=3)
        assert_numbers(softargmax(x, window=1), hard=1, soft=1.0, peak=1.0, ties=3)


class TestSeveralAxes:
    X = np.array([[0, 0, 0, 0], [0, 0, LN3, 0], [0, 0, 0, LN3]])
    """10 + 3 + 3 sixteenths."""

    def test_in_the_order_given(self) -> None:
        down = (1 * 6 + 2 * 6) / 16
        right = (1 * 3 + 2 * 5 + 3 * 5) / 16
        found = softargmax(self.X, (0, 1), beta=1.0)
        assert_numbers(found, hard=[1, 2], soft=[down, right], offset=[down - 1, right - 2], agree=True, ties=2)
        assert found.hard.shape == (2,)
        found = softargmax(self.X, (-1, 0), beta=1.0)
        assert_numbers(found, hard=[2, 1], soft=[right, down], offset=[right - 2, down - 1], agree=True, ties=2)

    def test_the_first_maximum_is_the_arrays(self) -> None:
        x = np.zeros((3, 3))
        x[0, 2] = x[1, 0] = 1
        assert_numbers(softargmax(x, (0, 1)), hard=[0, 2])
        assert_numbers(softargmax(x, (1, 0)), hard=[2, 0])

    def test_what_stays_keeps_its_shape(self) -> None:
        x = np.random.default_rng(1).normal(size=(2, 3, 4, 5))
        found = softargmax(x, (3, 1), beta=1.0)
        for name in FIELDS:
            assert getattr(found, name).shape == ((2, 2, 4) if name in PER_AXIS else (2, 4))
        for i, j in np.ndindex(2, 4):
            one = softargmax(x[i, :, j, :], (1, 0), beta=1.0)
            for name in FIELDS:
                got, want = getattr(found, name)[..., i, j], getattr(one, name)
                np.testing.assert_allclose(got, want, rtol=1e-15)
        assert found.flat().soft.tolist() == found.soft.reshape(2, 8).tolist()
        assert found.flat().peak.tolist() == found.peak.ravel().tolist()


class TestOddNumbers:
    UNDEFINED = dict.fromkeys(("soft", "offset", "peak", "second", "spread", "entropy"), NAN) | {
        "hard": -1,
        "ties": 0,
        "agree": False,
    }

    @pytest.mark.parametrize(
        ("kind", "row"),
        [
            ("scores", [-INF, -INF]),
            ("scores", [NAN, -INF]),
            ("cost", [INF, INF]),
            ("cost", [NAN, NAN]),
            ("probs", [0.0, 0.0]),
            ("probs", [NAN, 0.0]),
        ],
    )
    def test_nothing_left(self, kind: str, row: list[float]) -> None:
        assert_numbers(softargmax(np.array(row), kind=kind, omit=True), **self.UNDEFINED)
        found = softargmax(np.array([row, row]), (0, 1), kind=kind, omit=True, window=1)
        assert found.hard.tolist() == [-1, -1]
        assert np.isnan(found.soft).tolist() == [True, True]

    def test_nan_undoes_its_slice(self) -> None:
        assert_numbers(softargmax(np.array([1.0, NAN, 2.0])), **self.UNDEFINED)

    @pytest.mark.parametrize("kind", ["scores", "cost", "probs"])
    def test_nan_is_left_out(self, kind: str) -> None:
        found = softargmax(np.array([NAN, 2.0, NAN, 2.0]), kind=kind, omit=True)
        assert_numbers(found, hard=1, soft=2.0, peak=0.5, second=0.5, ties=2, entropy=math.log(2))

    @pytest.mark.parametrize("kind", ["scores", "probs"])
    def test_infinity_takes_all(self, kind: str) -> None:
        x = np.array([5, INF, 1, INF])
        assert_numbers(softargmax(x, kind=kind), hard=1, soft=2.0, peak=0.5, second=0.5, ties=2, spread=1.0)
        assert_numbers(softargmax(x, kind=kind, window=1), soft=1.0, peak=1.0, second=1.0, ties=2, spread=0.0)

    def test_infinite_costs(self) -> None:
        assert_numbers(softargmax(np.array([-INF, 0, INF, -INF]), kind="cost"), hard=0, soft=1.5, ties=2)
        assert_numbers(softargmax(np.array([INF, 3, INF]), kind="cost"), hard=1, soft=1.0, peak=1.0, second=0.0)

    def test_no_integer_is_rounded(self) -> None:
        low, high = -(1 << 63), (1 << 63) - 1
        third = 1 / (1 + math.exp(-1) + math.exp(-2))
        x = np.array([high, low + 1, low, low + 2])
        assert_numbers(softargmax(x, beta=1.0, kind="cost"), hard=2, peak=third, second=0.0, ties=1)
        x = np.array([high - 1, low, high, high - 2])
        assert_numbers(softargmax(x, beta=1.0), hard=2, peak=third, second=third * math.exp(-1))
        x = np.array([(1 << 64) - 1, 1, 0, 2], "u8")
        assert_numbers(softargmax(x, beta=1.0, kind="cost"), hard=2, peak=third, ties=1)
        e = math.exp(-1)  # the whole range is 1
        assert_numbers(softargmax(x, beta=2.0**-64), hard=0, peak=1 / (1 + 3 * e), second=e / (1 + 3 * e))
        assert_numbers(softargmax(np.array([True, False, False]), kind="cost"), hard=1, soft=1.5, ties=2)

    def test_a_range_of_scores_beyond_any_float(self) -> None:
        assert_numbers(softargmax(np.array([-1.7e308, 1.7e308])), soft=1.0, peak=1.0, second=0.0)
        assert_numbers(softargmax(np.array([1.7e308, 1.7e308]), kind="probs"), soft=0.5, peak=0.5)


@pytest.mark.parametrize(
    ("shape", "axes", "kind", "window"),
    [
        ((1,), (0,), "scores", None),
        ((7,), (0,), "cost", 1),
        ((7,), (0,), "probs", 2),
        ((5, 4), (1, 0), "scores", 0),
        ((4, 5), (0, 1), "probs", None),
        ((3, 2, 4), (2, 0, 1), "cost", 1),
    ],
)
def test_fifty_digits_agree(shape: tuple[int, ...], axes: tuple[int, ...], kind: str, window: int | None) -> None:
    rng = np.random.default_rng([*shape, window or 0])
    x = np.round(rng.normal(size=shape), 1)
    if kind == "probs":
        x = np.abs(x) + (x == 0)
    values_of = [np.round(rng.normal(size=shape[k]) * 10, 1) for k in axes]
    for beta, options in ((0.25, {"coords": "corners"}), (3.0, {"coords": "centers"}), (3.0, {"values_of": values_of})):
        with mpmath.workdps(50):
            want = in_fifty_digits(x, axes, beta, kind, window=window, **options)
        assert_numbers(softargmax(x, axes, beta, kind=kind, window=window, **options), **want)


class TestAssertAnswers:
    WANT = softargmax(np.array([[0.0, 1.0, 0.5, 0.25], [NAN, 1.0, 0.0, 0.0]]), beta=1.0)

    def test_the_answer_itself_passes(self) -> None:
        flat = self.WANT.flat()
        for single in (True, False):
            assert_answers(flat, self.WANT, single=single)
            assert_answers(replace(flat, second=None, spread=None, entropy=None, ties=None), self.WANT, single=single)

    @pytest.mark.parametrize(
        ("field", "change"),
        [
            ("hard", lambda n: n + 1),
            ("soft", lambda n: n + 1e-5),
            ("offset", lambda n: n - 1e-5),
            ("peak", lambda n: n * (1 + 1e-5)),
            ("second", lambda n: n * (1 + 1e-5) + 1e-9),
            ("spread", lambda n: n + 1e-4),
            ("entropy", lambda n: n + 1e-4),
            ("ties", lambda n: n + 1),
            ("agree", lambda n: ~n),
            ("soft", np.nan_to_num),
            ("second", np.nan_to_num),
            *((name, lambda n: n[..., :1]) for name in FIELDS),
            *((name, lambda n: n.ravel()) for name in PER_AXIS),
            ("hard", lambda n: n.astype(float)),
            ("soft", lambda n: n.astype("f4")),
        ],
    )
    def test_anything_else_does_not(self, field: str, change: Callable[[Array], Array]) -> None:
        flat = self.WANT.flat()
        wrong = replace(flat, **{field: change(getattr(flat, field))})
        with pytest.raises((AssertionError, ValueError)):
            assert_answers(wrong, self.WANT, single=True)

    def test_the_bound_follows_the_scale(self) -> None:
        want = softargmax(np.array([0.0, 1e9]), coords="corners")
        near = replace(want.flat(), soft=want.flat().soft + 5e-7)
        assert_answers(near, want, single=True)
        with pytest.raises(AssertionError):
            assert_answers(near, want, single=True, scale=[0.1])
