"""Files and stores that are found by name: at URLs, through fsspec, with advice where a server refuses; Zarr stores."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import urlsplit

from softargmax_cli.errors import InputError, InputMissingError, MissingDependencyError, SoftArgmaxError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

AHEAD = 8 << 20
"""Bytes that are asked for at a time."""
FILES = frozenset(
    (".npy", ".npz", ".safetensors", ".h5", ".hdf5", ".hdf", ".parquet", ".pq", ".csv", ".tsv", ".txt", ".gz")
)
"""Suffixes of what is read as a file; anything else at a URL is a Zarr store."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://|::.*://)", re.DOTALL)
_ANONYMOUS = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"}
_UNREACHED = {"ConnectionError", "ClientConnectionError", "HTTPClientError", "TimeoutError", "ServerTimeoutError"}
"""Names of classes of clients that need not be installed."""


def is_url(name: str) -> bool:
    """Tell a URL, of fsspec's chained ones too, from a path."""
    return bool(_URL.match(name))


def is_file(url: str) -> bool:
    """Tell a URL that promises a file of a format that is read from that of a store."""
    return os.path.splitext(urlsplit(url).path)[1].lower() in FILES


def files_of(url: str) -> tuple[Any, str]:
    """The file system that serves a URL, and the path in it. Raises as `blaming`."""
    try:
        import fsspec
    except ImportError as error:
        what = f"{url}: URLs are read with fsspec: {error}"
        raise MissingDependencyError(what, "pip install fsspec") from None
    if not is_url(url):  # in which fsspec would take what stands before a :: for a scheme
        files = fsspec.filesystem("file")
        return files, files._strip_protocol(url).rstrip("/")
    scheme = url.partition(":")[0]
    if scheme not in (known := fsspec.available_protocols()):
        usual = ", ".join(one for one in ("s3", "gs", "abfs", "http", "https") if one in known)
        raise InputError(f"{url}: fsspec knows no {scheme}://", f"it knows {usual} and others")
    files, root = fsspec.core.url_to_fs(url)
    return files, root.rstrip("/")


def opened_url(url: str) -> tuple[BinaryIO, str, int | None]:
    """A file as a stream that is read in order, its name, and its size where that is known. Raises as `blaming`."""
    with blaming(url, "opened"):
        files, path = files_of(url)
        try:
            # A server need not know ranges, so of the web a file is one answer.
            file = files.open(path, "rb", block_size=0 if url.startswith("http") else AHEAD)
        except FileNotFoundError as error:
            cause = error.__cause__
            if cause is not None and not isinstance(cause, FileNotFoundError) and getattr(cause, "status", 0) != 404:
                raise cause from None  # of a server that does not answer
            raise InputMissingError(f"{url}: no such file", "check the name, from the bucket or server on") from None
    return cast(BinaryIO, io.BufferedReader(_Stream(file, url), 1 << 20)), url, getattr(file, "size", None)


class _Stream(io.RawIOBase):
    """A file of fsspec's as a pipe, whose errors name it."""

    def __init__(self, file: Any, name: str) -> None:
        self._file, self._name = file, name

    def readable(self) -> bool:
        return True

    def readinto(self, target: WriteableBuffer) -> int:
        space = memoryview(target).cast("B")
        with blaming(self._name, "read"):
            got = self._file.read(len(space))
        space[: len(got)] = got
        return len(got)

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def blaming(name: str, done: str, leaf: type[SoftArgmaxError] = InputError, damaged: str = "") -> Iterator[None]:
    """Turn whatever a store or a file system raises, which may be anything, into an error that names the store.

    damaged: what to do where it is not a server or a system that refuses.
    """
    try:
        yield
    except (SoftArgmaxError, MemoryError):
        raise
    except ImportError as error:  # fsspec's, caused by the one that names what it lacks
        package = (getattr(error.__cause__ or error, "name", None) or "").partition(".")[0]
        scheme = name.partition(":")[0]
        what = f"{name}: what serves {scheme}:// is not installed: {package or _text(error)}"
        raise MissingDependencyError(what, f"pip install {package or _CLIENTS.get(scheme, scheme)}") from error
    except Exception as error:
        what = f"{name}: cannot be {done}: {_text(error)} ({type(error).__name__})"
        raise leaf(what, _remedy(name, error) or damaged) from error


_CLIENTS = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "http": "aiohttp", "https": "aiohttp"}
_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


def _text(error: BaseException) -> str:
    said = " ".join(str(error).split()) or "no reason given"
    return said if len(said) <= 300 else said[:297] + "..."


def _remedy(name: str, error: BaseException) -> str:
    """Advise on a refusal; nothing where it is none."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    of_amazon = name.startswith("s3")
    if kinds & _ANONYMOUS:
        return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; FSSPEC_S3_ANON=true asks without"
    status = getattr(error, "status", None)
    if isinstance(error, PermissionError) or status in (401, 403):
        return "see who may do so, and with which keys it is asked" if is_url(name) else "see who may: ls -ld"
    if isinstance(error, NotImplementedError) or status in (405, 501):
        return f"{name.partition(':')[0]} is only read; write to a disk, or to a store such as s3://"
    if kinds & _UNREACHED or (isinstance(status, int) and status >= 500):
        more = " AWS_ENDPOINT_URL names an S3 server that is not Amazon's" if of_amazon else ""
        return f"is the address right, and the server up?{more}"
    if getattr(error, "errno", None) in _FULL:
        return "free some space, or write elsewhere"
    if isinstance(error, FileNotFoundError) or "NoSuchBucket" in kinds:
        return "make the bucket first, or check its name" if is_url(name) else "make the directory above it first"
    return ""


DOCUMENTS = ("zarr.json", ".zarray", ".zgroup")
"""One of them lies in every directory that Zarr makes a node of, of format 3 and 2."""
UNFINISHED = ("hard/zarr.json", "weights/zarr.json")
"""One of them lies in a store of results from the beginning, when none of `DOCUMENTS` is there yet."""
PARTIAL = ".partial"
"""Ends the name of a store on a disk until it is complete."""


def is_store(name: str) -> bool:
    """Tell a Zarr store, or something in one, from a file by its name."""
    if is_url(name):
        return not is_file(name)
    if os.path.isdir(name):
        return name.rstrip("/" + os.sep).lower().endswith(".zarr") or _is_node(name)
    if not os.path.lexists(name) and os.path.isdir(name.rstrip("/" + os.sep) + PARTIAL):
        return True
    place = os.path.dirname(name)
    while place and not os.path.exists(name):
        if os.path.isdir(place):
            return _is_node(place)
        place = os.path.dirname(place) if os.path.dirname(place) != place else ""
    return False


def _is_node(path: str) -> bool:
    return any(os.path.isfile(os.path.join(path, document)) for document in (*DOCUMENTS, *UNFINISHED))


def zarr_python() -> Any:
    """The package. Raises MissingDependencyError where it, or what it needs, is not there."""
    if sys.version_info < (3, 11):
        raise MissingDependencyError("Zarr needs zarr-python 3, which needs Python 3.11", "run it with a newer Python")
    try:
        import fsspec  # noqa: F401 - zarr reads URLs by it
        import zarr
    except ImportError as error:
        raise _missing(f"Zarr needs zarr-python and fsspec: {error}") from None
    if not hasattr(zarr, "create_array"):
        raise _missing(f"Zarr needs zarr-python 3; this is {zarr.__version__}")
    return zarr


def _missing(what: str) -> MissingDependencyError:
    return MissingDependencyError(what, "pip install 'zarr>=3.1.4' fsspec\nthey are in the extra named cluster")


def share_threads(threads: int) -> None:
    """Tell zarr, where it is there, how many threads decode."""
    try:
        import zarr
    except ImportError:
        return
    zarr.config.set({"threading.max_workers": threads, "async.concurrency": max(4, threads)})


def located(place: str) -> str | Path:
    """A place as zarr-python takes it, to which any text with :: in it is a URL."""
    return place if is_url(place) else Path(place)
