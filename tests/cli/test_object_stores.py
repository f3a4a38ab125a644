"""Stores and files at URLs, through real protocols on loopback: S3, which takes results as well, and the web."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Inside, Softargmax
from oracle import FIELDS, assert_answers
from oracle import softargmax as oracle
from servers import free_port, s3, web
from stores import flat, save, zarr

for package in ("moto", "s3fs", "aiohttp"):
    pytest.importorskip(package)
pytestmark = [pytest.mark.slow, pytest.mark.nightly]

X = np.random.default_rng(8).normal(size=(5, 6, 20))


@pytest.fixture(scope="session")
def bucket() -> Iterator[dict[str, str]]:
    """The variables by which s3://bucket is found."""
    with s3() as variables:
        yield variables


@pytest.fixture
def files(bucket: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The bucket's files, to whoever uses fsspec."""
    import fsspec

    for name, value in bucket.items():
        monkeypatch.setenv(name, value)
    return fsspec.filesystem("s3")


def test_a_bucket_is_read_and_written_like_a_disk(inside: Inside, bucket: dict[str, str], files: Any) -> None:
    zarr.create_array("s3://bucket/a/x.zarr", shape=X.shape, chunks=(2, 3, 7), dtype="f8")[...] = X
    save(inside, "x.zarr", X, (2, 3, 7))
    asked = ("--axis", "1,-1", "--beta", "2")
    alone = inside("run", "x.zarr", *asked, "--format", "csv")
    assert inside("run", "s3://bucket/a/x.zarr", *asked, "--format", "csv", **bucket).out == alone.out
    files.pipe_file("bucket/out.zarr/notes.txt", b"mine")
    refused = inside("run", "x.zarr", *asked, "-o", "s3://bucket/out.zarr", **bucket)
    assert refused.err.splitlines()[0].endswith("s3://bucket/out.zarr: is in the way, and no Zarr store")
    files.rm_file("bucket/out.zarr/notes.txt")
    done = inside("run", "s3://bucket/a/x.zarr", *asked, "-o", "s3://bucket/out.zarr", **bucket)
    assert (done.code, done.out) == (0, ""), done.err
    group = zarr.open_group("s3://bucket/out.zarr", mode="r")
    found = flat({field: np.asarray(group[field][...]) for field in FIELDS}, 2)
    assert_answers(found, oracle(X, (1, 2), 2.0), single=False)
    assert group.attrs["softargmax"]["beta"] == 2.0
    again = inside("run", "x.zarr", *asked, "-o", "s3://bucket/out.zarr", **bucket)
    assert again.err == "softargmax: error: s3://bucket/out.zarr: the store exists\n  replace it with --force\n"
    done = inside("run", "x.zarr", *asked, "-o", "s3://bucket/out.zarr", "--force", **bucket)
    assert done.code == 0, done.err
    seen = inside("inspect", "s3://bucket/out.zarr", "--format", "json", **bucket)
    assert json.loads(seen.out)["result"] is True


def test_files_in_a_bucket_and_on_the_web(inside: Inside, bucket: dict[str, str], files: Any) -> None:
    x = X[0]
    np.save(inside.folder / "x.npy", x)
    np.savez(inside.folder / "x.npz", x=x)
    np.savetxt(inside.folder / "x.csv", x, delimiter=",", fmt="%.17g")
    save(inside, "x.zarr", x, (4, 11))
    group = zarr.open_group(str(inside.folder / "g.zarr"), mode="w")
    group.create_array("a", shape=x.shape, dtype="f8")[...] = x
    wanted = inside("run", "x.npy", "--format", "csv").out
    with web(inside.folder) as address:
        for name in ("x.npy", "x.npz", "x.csv"):
            files.put_file(str(inside.folder / name), f"bucket/{name}")
            for url in (f"s3://bucket/{name}", f"{address}/{name}", f"{address}/{name}?version=3"):
                done = inside("run", url, "--format", "csv", **bucket)
                assert (done.code, done.out) == (0, wanted), (url, done.err)
        for url in (f"{address}/x.zarr", f"{address}/x.zarr/", f"{address}/g.zarr/a"):
            done = inside("run", url, "--format", "csv")
            assert (done.code, done.out) == (0, wanted), (url, done.err)


def test_what_a_server_refuses_is_told_with_what_to_do(
    inside: Inside, bucket: dict[str, str], files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    inside.save("x.npy", X)
    files.pipe_file("bucket/other/file", b"1")
    silent = f"http://127.0.0.1:{free_port()}"
    cases: list[tuple[str, str, dict[str, str]]] = [
        ("s3://bucket/none.zarr", "no Zarr store there", bucket),
        ("s3://bucket/other", "no Zarr store there", bucket),
        ("s3://nowhere/x.zarr", "no Zarr store there", bucket),
        ("s3://nowhere/x.npy", "check the address, the keys", bucket),
        ("s3://bucket/y.npy", "no such file", bucket),
        (
            "s3://bucket/x.npy -o s3://bucket/x.csv",
            "-o s3://bucket/x.csv: only a Zarr store can be written to a URL",
            bucket,
        ),
        ("x.npy -o s3://nowhere/out.zarr", "check the address, the keys", bucket),
        ("gs://bucket/x.zarr", "what serves gs:// is not installed: gcsfs\n  pip install gcsfs", {}),
        ("gopher://bucket/x.zarr", "Protocol not known: gopher", {}),
        (f"{silent}/x.zarr", "that the server is up", {}),
        (f"{silent}/x.csv", "cannot be opened: Cannot connect", {}),
    ]
    with web(inside.folder) as address:
        cases += [
            (f"{address}/none.zarr", "no Zarr store there", {}),
            (f"{address}/none.csv", "no such file", {}),
            (f"x.npy -o {address}/out.zarr", "http cannot be written", {}),
        ]
        for words, said, variables in cases:
            done = inside("run", *words.split(), **variables)
            assert (done.code, done.out) == (2, ""), words
            assert said in done.err, done.err
            assert 1 <= done.err.count("\n") <= 3
    assert inside.names() == {"x.npy"}


def test_without_keys_or_a_server(softargmax: Softargmax, bucket: dict[str, str], tmp_path: Path) -> None:
    """In a process of its own, as clients remember whom they know."""
    home = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    done = softargmax("run", "s3://bucket/x.zarr", AWS_ENDPOINT_URL=bucket["AWS_ENDPOINT_URL"], **home)
    assert done.code == 2
    assert "check the address, the keys" in done.err
