"""Where an HDF5 file begins, and what it calls its arrays: names that are no text, and links."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from files import csv, everything, parquet, piped, written

from softargmax_cli.errors import InputError, OptionError, SoftArgmaxError, as_typed
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source

VALUES = np.arange(1, 61, dtype="f4").reshape(12, 5)
MATLAB = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Jan  1 00:00:00 2026 HDF5 schema 1.00 ."


def behind(block: bytes, size: int) -> bytes:
    """A file whose user block begins so: a dataset as it lies, and one in packed chunks."""
    held = io.BytesIO()
    with h5py.File(held, "w", userblock_size=size) as file:
        file["plain"] = VALUES
        file.create_dataset("packed", data=VALUES, chunks=(5, 2), compression="gzip", shuffle=True)
    return block + held.getvalue()[len(block) :]


@pytest.mark.parametrize("size", [512, 1024, 2048])
@pytest.mark.parametrize("block", [b"", MATLAB.ljust(124) + b"\0\2IM", b"x,y\n1,2\n", b"\xff\xfe{", b"<html>"])
def test_a_user_block_in_front(size: int, block: bytes, tmp_path: Path) -> None:
    content = behind(block, size)
    path = written(tmp_path, content, "a.mat")
    for key in ("plain", "packed"):
        with closing(open_source(path, Reading(key=key))) as source:
            assert source.facts.format == "hdf5"
            np.testing.assert_array_equal(everything(source), VALUES)
        for pieces in (7, 512, 4093):
            with piped(content, pieces) as pipe, closing(open_source(pipe, Reading(key=key))) as source:
                np.testing.assert_array_equal(everything(source), VALUES)
    with pytest.raises(InputError, match="damaged, or no HDF5 file"):
        open_source(written(tmp_path, content[: size + 90], "a.mat"))


def test_other_formats_that_hold_the_signature(tmp_path: Path) -> None:
    """It counts where a user block may end, and where no other signature comes first."""
    values = np.zeros((50, 40))
    values.reshape(-1).view("V8")[(512 - 128) // 8] = b"\x89HDF\r\n\x1a\n"
    np.save(tmp_path / "a.npy", values)
    assert (tmp_path / "a.npy").read_bytes()[512:516] == b"\x89HDF"
    with closing(open_source(str(tmp_path / "a.npy"))) as source:
        assert source.facts.format == "npy"
        np.testing.assert_array_equal(everything(source), values)
    content = parquet(VALUES)
    with closing(open_source(written(tmp_path, content[:4] + content[4:]))) as source:
        assert source.facts.format == "parquet"
    text = csv(np.arange(2000.0).reshape(400, 5))
    for pieces in (1, 600):
        with piped(text, pieces) as pipe, closing(open_source(pipe)) as source:
            assert everything(source, elements=10**6).shape == (400, 5)
    with pytest.raises(InputError, match="not an HDF5 file, whatever its name says"):
        open_source(written(tmp_path, text[:513] + b"\x89HDF\r\n\x1a\n" + text[513:], "a.h5"))


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """They are carried and typed as such names of files are."""
    path = str(tmp_path / "a.h5")
    with h5py.File(path, "w") as file:
        file["ok"] = VALUES
        file[b"\xff"] = VALUES + 1
        file.create_group(b"g\xfe")[b"d\x1b\xfd"] = VALUES + 2
    for more, key in enumerate(("ok", "\udcff", "g\udcfe/d\x1b\udcfd")):
        with closing(open_source(path, Reading(key=key, inspected=True))) as source:
            np.testing.assert_array_equal(everything(source), VALUES + more)
            assert [member.name for member in source.facts.members] == ["ok", "\udcff", "g\udcfe/d\x1b\udcfd"]
    with pytest.raises(OptionError) as caught:
        open_source(path, Reading(key="g\udcfe/d\x1b\udcfe"))
    assert as_typed(caught.value.remedy) == "did you mean --key $'g\\376/d\\033\\375'?"
    for key in ("\ud800", "ok\0", "ok\0\udcff", "", "/"):
        with pytest.raises(OptionError, match="no array is named"):
            open_source(path, Reading(key=key))


LINKS = {
    "s": ("s is a link to g/x", "name that instead: --key g/x"),
    "g/near": ("g/near is a link to g/x", "name that instead: --key g/x"),
    "g/up/x": ("g/up is a link to g", "name that instead: --key g/x"),
    "odd": ("odd is a link to g/\x1b\udcff", "name that instead: --key $'g/\\033\\377'"),
    "away": ("away is a link to a/b in another file, other file.h5", "give that file, with --key a/b"),
    "away/c": ("away is a link to a/b in another file, other file.h5", "give that file, with --key a/b/c"),
}


def test_links_say_where_they_lead(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/x"] = VALUES
        file["s"], file["g/near"], file["g/up"] = h5py.SoftLink("/g/x"), h5py.SoftLink("./x"), h5py.SoftLink("/g/")
        file.id.links.create_soft(b"odd", b"/g/\x1b\xff")
        file["loop"] = h5py.SoftLink("loop")
        file["away"] = h5py.ExternalLink("other file.h5", "/a/b")
    path = str(tmp_path / "a.h5")
    for key, (what, remedy) in LINKS.items():
        with pytest.raises(OptionError) as caught:
            open_source(path, Reading(key=key))
        assert (caught.value.what, as_typed(caught.value.remedy)) == (
            f"{path}: {what}, and links are not followed",
            remedy,
        )
    with closing(open_source(path)) as source:  # the only array
        np.testing.assert_array_equal(everything(source), VALUES)


def unusual(file: Any, name: bytes) -> None:
    space = h5py.h5s.create_simple((3, 4))
    if name == b"times":
        h5py.h5d.create(file.id, name, h5py.h5t.UNIX_D32LE, space)
        return
    narrow = h5py.h5t.STD_I32LE.copy()
    narrow.set_precision(24)
    narrow.set_size(3)
    h5py.h5d.create(file.id, name, narrow, space).write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(12).reshape(3, 4))


def test_what_is_sound_and_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        unusual(file, b"narrow"), unusual(file, b"times")
        file["none"] = h5py.Empty("f4")
    said = {}
    for key in ("narrow", "times", "none"):
        with pytest.raises(SoftArgmaxError) as caught:
            open_source(str(tmp_path / "a.h5"), Reading(key=key))
        said[key] = caught.value.message.partition("]: ")[2].partition(" (")[0]
        assert caught.value.remedy
    assert said == {
        "narrow": "of a type that NumPy has not",
        "times": "of a type that NumPy has not",
        "none": "an empty dataset, without a shape",
    }
    h5py.File(tmp_path / "e.h5", "w").close()
    with pytest.raises(InputError, match="no arrays in it") as refused:
        open_source(str(tmp_path / "e.h5"))
    assert refused.value.remedy
