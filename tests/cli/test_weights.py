"""`softargmax weights`: p in files of every layout, beside NumPy's own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from command import Done, Inside

Array = npt.NDArray[Any]


def weights(
    x: Array, axes: tuple[int, ...], beta: float = 100.0, kind: str = "scores", window: int | None = None
) -> Array:
    """The weights of every slice in NumPy's widest float; NaN counts as absent."""
    kept = [k for k in range(x.ndim) if k not in axes]
    lengths = [x.shape[k] for k in sorted(axes)]
    order = [*kept, *sorted(axes)]
    rows = x.transpose(order).reshape(-1, math.prod(lengths)).astype(np.longdouble)
    found = np.zeros(rows.shape, np.longdouble)
    for row, out in zip(rows, found, strict=True):
        score = -row if kind == "cost" else row
        there = ~np.isnan(score)
        best = score[there].max(initial=-np.inf)
        if kind == "probs":
            out[there] = score[there]
        elif best == np.inf:
            out[:] = score == np.inf
        elif best > -np.inf:
            out[there] = np.exp(beta * (score[there] - best))
        if window is not None and best > -np.inf:
            hard = np.unravel_index(np.argmax(np.where(there, score, -np.inf)), lengths)
            places = np.indices(lengths).reshape(len(lengths), -1)
            out[(abs(places - np.reshape(hard, (-1, 1))) > window).any(axis=0)] = 0
        with np.errstate(invalid="ignore"):
            out /= out.sum()
    return found.reshape([x.shape[k] for k in order]).transpose(np.argsort(order))


def wrote(done: Done) -> None:
    assert (done.code, done.out) == (0, ""), done.err
    assert "slice" in done.err.splitlines()[-1]


def assert_weights(got: Array, want: Array, dtype: str) -> None:
    assert (got.dtype, got.shape) == (np.dtype(dtype), want.shape)
    exact = 1e-5 if dtype == "<f4" else 1e-12
    np.testing.assert_allclose(got, want.astype(float), rtol=exact, atol=1e-30)


@pytest.mark.parametrize(
    ("order", "shape", "axis", "dtype", "options"),
    [
        ("C", (5, 9), "-1", "f4", {}),
        ("F", (9, 5), "0", "f8", {"kind": "cost"}),
        ("C", (4, 6, 7), "2,1", "f2", {"window": 1}),
        ("F", (6, 4, 7), "0,2", "i4", {"window": 2, "beta": 0.25}),
        ("F", (2, 3, 2, 3, 2, 3), "0,2,4", "f4", {}),
        ("C", (5, 9), "1", "u1", {"kind": "probs", "window": 2}),
        ("C", (7,), "0", "i8", {"beta": 0.5}),
    ],
)
def test_files_of_every_order(
    inside: Inside, monkeypatch: pytest.MonkeyPatch, order: Any, shape: Any, axis: str, dtype: str, options: Any
) -> None:
    monkeypatch.setattr("softargmax_cli.reduction.layout.PIECE", 2 * 9 * 4)  # two rows of the first
    x = np.asarray(4 * np.random.default_rng(1).random(shape), dtype, order=order)
    np.save(inside.folder / "x.npy", x)
    options = {"beta": 2.0, **options}
    given = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    given = given[2:] if options.get("kind") == "probs" else given
    wrote(inside("weights", "x.npy", "--axis", axis, *given, "-o", "w.npy"))
    axes = tuple(int(word) % x.ndim for word in axis.split(","))
    want = weights(x, axes, **options)
    got = np.load(inside.folder / "w.npy")
    assert_weights(got, want, "<f4" if dtype in ("f2", "f4", "u1") else "<f8")
    assert np.isfortran(got) == (order == "F" and x.ndim > 1)


@pytest.mark.slow
@pytest.mark.parametrize("window", [None, 3000])
def test_slices_that_are_longer_than_a_block(inside: Inside, window: int | None) -> None:
    x = np.random.default_rng(2).normal(size=(300_000, 3)).astype("f4")
    np.save(inside.folder / "c.npy", x)
    np.save(inside.folder / "f.npy", x.T)
    given = ["--beta", "2", "--memory", "16MiB"] + ([] if window is None else ["--window", str(window)])
    want = weights(x, (0,), 2.0, window=window)
    for name, axis in (("c.npy", "0"), ("f.npy", "1")):
        wrote(inside("weights", name, "--axis", axis, *given, "-o", "w.npz", "--force"))
        got = np.load(inside.folder / "w.npz")["weights"]
        assert_weights(got, want if axis == "0" else want.T, "<f4")


def test_nan_and_infinities(inside: Inside) -> None:
    inf, nan = math.inf, math.nan
    x = np.array([[1, nan, 2], [inf, 0, inf], [-inf, 1, 1], [-inf] * 3, [nan] * 3, [1, 2, 3]])
    inside.save("x.npy", x)
    want = weights(x, (1,), 1.0)
    assert np.isnan(want[3:5]).all()
    for policy, lost in (("omit", [3, 4]), ("propagate", [0, 3, 4])):
        wrote(inside("weights", "x.npy", "--beta", "1", "--nan", policy, "-o", "w.npy", "--force"))
        want[lost] = nan
        assert_weights(np.load(inside.folder / "w.npy"), want, "<f8")
    inside.write("w.npy", "old")
    done = inside("weights", "x.npy", "-o", "w.npy", "--force")
    assert (done.code, inside.read("w.npy")) == (2, b"old")
    assert "2 slices" in done.err or "NaN" in done.err


def test_tables(inside: Inside) -> None:
    x = np.random.default_rng(3).normal(size=(40, 4))
    text = "".join(",".join(map(repr, row)) + "\n" for row in x.tolist())
    inside.write("x.csv", text)
    for axis in (0, 1):
        for name in ("w.npy", "w.npz"):
            wrote(inside("weights", "x.csv", "--no-header", "--axis", str(axis), "--beta", "2", "-o", name, "--force"))
            got = np.load(inside.folder / name)
            assert_weights(got if name == "w.npy" else got["weights"], weights(x, (axis,), 2.0), "<f8")
    done = inside("weights", "-", "--no-header", "--beta", "2", "-o", "-", stdin=text.encode())
    assert (done.code, done.err) == (0, "")
    inside.write("piped.npy", done.raw)
    assert_weights(np.load(inside.folder / "piped.npy"), weights(x, (1,), 2.0), "<f8")


def test_zarr(inside: Inside) -> None:
    zarr = pytest.importorskip("zarr")
    x = np.random.default_rng(4).normal(size=(9, 8, 10)).astype("f4")
    stored = zarr.create_array(str(inside.folder / "x.zarr"), shape=x.shape, chunks=(4, 3, 4), dtype="f4")
    stored[:] = x
    np.save(inside.folder / "x.npy", x)
    inside.write("x.csv", "".join(",".join(map(repr, row)) + "\n" for row in x[0].tolist()))
    for window in (None, 2):
        given = ["--beta", "2", "--axis", "0,2", "--force", *([] if window is None else ["--window", str(window)])]
        for name in ("x.zarr", "x.npy"):
            wrote(inside("weights", name, *given, "-o", "w.zarr"))
            got = zarr.open_group(str(inside.folder / "w.zarr"), mode="r")["weights"]
            assert got.chunks == ((4, 3, 4) if name == "x.zarr" else x.shape)
            assert_weights(got[:], weights(x, (0, 2), 2.0, window=window), "<f4")
    wrote(inside("weights", "x.csv", "--no-header", "--beta", "2", "--precision", "single", "-o", "t.zarr"))
    got = zarr.open_group(str(inside.folder / "t.zarr"), mode="r")["weights"][:]
    assert_weights(got, weights(x[0], (1,), 2.0), "<f4")
    done = inside("run", "t.zarr", "--kind", "probs", "--format", "jsonl")
    assert [line.split('"hard": ')[1].split(",")[0] for line in done.lines] == list(map(str, x[0].argmax(1)))
    done = inside("weights", "x.npy", "-o", "t.zarr")
    assert (done.code, done.out) == (2, "")
    assert "t.zarr: the store exists" in done.err
    assert not [name for name in inside.names() if "partial" in name or name.startswith(".")]


def test_several_inputs_into_a_directory(inside: Inside) -> None:
    inside.save("a.npy", [[1, 2, 3]])
    inside.save("b.npy", [[3, 1]])
    done = inside("weights", "a.npy", "b.npy", "--beta", "1", "-o", "out/")
    assert (done.code, [line.partition(":")[0] for line in done.err.splitlines()]) == (0, ["a.npy", "b.npy"])
    assert_weights(np.load(inside.folder / "out" / "b.npy"), weights(np.array([[3.0, 1]]), (1,), 1.0), "<f8")
    for name in ("w.npy", "w.zarr", "-"):
        done = inside("weights", "a.npy", "b.npy", "-o", name)
        assert (done.code, done.raw) == (2, b"")
        assert done.err.startswith(f"softargmax: error: -o {name} holds one input only")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x.npy"], "Missing option '--output'"),
        (
            ["x.npy", "-o", "w.csv"],
            "w.csv: the suffix .csv names no output format\n  end the name in one of .npy .npz .zarr\n",
        ),
        (["x.npy", "-o", "x.npy", "--force"], "x.npy: the result would replace what it is made of"),
        (["x.npy", "-o", "there.npy"], "there.npy: the file exists"),
        (["x.npy", "-o", "none/w.npy"], "none/w.npy: No such file or directory"),
        (["none.npy", "-o", "w.npy"], "none.npy: no such file"),
        (["x.npy", "-o", "w.npy", "--beta", "-1"], "β = -1"),
        (["x.npy", "-o", "w.npy", "--kind", "probs", "--beta", "1"], "--kind probs takes weights as they are"),
    ],
)
def test_bad_input(shared_inside: Inside, arguments: list[str], said: str) -> None:
    inside = shared_inside
    inside.save("x.npy", np.eye(3))
    inside.save("there.npy", np.eye(3))
    names = inside.names()
    done = inside("weights", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("softargmax: error: ")
    assert said in done.err
    assert inside.names() == names
