"""Where a store of results grows: on a disk beside its target, whose place it takes in the end; elsewhere in its place.

Beside means in TARGET.partial, a directory that is locked while its run lives. An object store knows neither locks nor
renaming.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys

from softargmax_cli.errors import OutputError
from softargmax_cli.files.remote import BUCKETS, files_of, is_url
from softargmax_cli.files.stores import DOCUMENTS, MANIFEST, PARTIAL
from softargmax_cli.files.writers.atomic import follow

if sys.platform != "win32":
    import fcntl


def place_of(target: str) -> StorePlace:
    """Where a store called `target` grows. Raises OutputError where it has no directory, or another run writes it."""
    return StorePlace(target, target.rstrip("/")) if is_url(target) else DiskPlace(target)


class StorePlace:
    """A place on an object store; any of these may raise what fsspec's file systems do."""

    def __init__(self, name: str, where: str) -> None:
        self.name, self.where = name, where
        self._files, self._root = files_of(where)

    def path(self, key: str) -> str:
        """Of a key, as the file system has it."""
        return f"{self._root}/{key}"

    def find(self, key: str) -> list[str]:
        """The paths of all that lies below a key."""
        self._files.invalidate_cache()
        found: list[str] = self._files.find(self.path(key))
        return found

    def read(self, key: str) -> bytes | None:
        """What is held at a key; None where nothing is."""
        self._files.invalidate_cache()
        try:
            held: bytes = self._files.cat_file(self.path(key))
        except FileNotFoundError:
            return None
        return held

    def write(self, key: str, held: bytes) -> None:
        """Hold these bytes there."""
        if not self.name.startswith(BUCKETS):
            self._files.makedirs(self.path(key).rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(self.path(key), held)

    def refuse_old(self, force: bool) -> None:
        """Raise OutputError where a store is there already, which only `force` replaces."""
        if not force and self._has(*DOCUMENTS):
            raise OutputError(f"{self.name}: the store exists", "replace it with --force")

    def clear(self) -> None:
        """Let nothing be there of a store, old or begun. Raises OutputError where something else is."""
        if self._has(MANIFEST, *DOCUMENTS):
            self.remove()
        elif self._holds_any():
            raise self._in_the_way()

    def publish(self) -> None:
        """Be the store, which is complete but for its manifest, that no one needs any more."""
        self._files.rm_file(self.path(MANIFEST))

    def remove(self) -> None:
        """Forget all that was written."""
        self._files.rm(self._root, recursive=True)
        self._files.invalidate_cache()

    def _in_the_way(self) -> OutputError:
        return OutputError(f"{self.where}: is in the way, and none of ours", "move it, or choose a name")

    def _holds_any(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return bool(self._files.ls(self._root, detail=False))
        return False

    def _has(self, *keys: str) -> bool:
        return any(self._files.exists(self.path(key)) for key in keys)

    def close(self) -> None:
        """Let other runs write it."""


class DiskPlace(StorePlace):
    """A directory beside the target, or beside what a link there leads to."""

    def __init__(self, name: str) -> None:
        above = os.path.dirname(name.rstrip(os.sep))
        if above and not os.path.isdir(above):
            raise OutputError(f"{name}: there is no directory {above}", "create it first")
        # Absolute, as other machines read it, too; and as it is, since links may lead elsewhere there.
        self._target = os.path.join(os.getcwd(), follow(name.rstrip(os.sep)))
        super().__init__(name, self._target + PARTIAL)
        above, base = os.path.split(self._target)
        self._old = os.path.join(above, f".{base}.softargmax-old")
        self._lock, self._force = -1, False
        if os.path.lexists(self.where):
            self._hold()
        self._settle()

    def _hold(self) -> None:
        """Lock what is there, as long as the run lives; its name may change."""
        if os.path.islink(self.where) or not os.path.isdir(self.where):
            raise self._in_the_way()
        if os.name != "posix":
            return  # where directories cannot be opened
        self._lock = os.open(self.where, os.O_RDONLY)
        if locked(self._lock) is False:
            self.close()
            raise OutputError(f"{self.name}: another run is writing it", "wait for its end, or choose a name")

    def _settle(self) -> None:
        """What a run leaves that is killed while it puts its store in place: the old one, under another name."""
        if os.path.lexists(self._old):
            if os.path.lexists(self._target):
                shutil.rmtree(self._old, ignore_errors=True)
            else:
                os.rename(self._old, self._target)

    def refuse_old(self, force: bool) -> None:
        """Raise OutputError where something is there already, but for a store with `force`."""
        self._force = force
        if not os.path.lexists(self._target):
            return
        if not force:
            raise OutputError(f"{self.name}: the store exists", "replace it with --force")
        if not any(os.path.isfile(os.path.join(self._target, document)) for document in DOCUMENTS):
            raise OutputError(f"{self.name}: no Zarr store, which is all that --force replaces here", "choose a name")

    def clear(self) -> None:
        """Have a new directory."""
        if os.path.lexists(self.where):
            if self.read(MANIFEST) is None and os.listdir(self.where):
                raise self._in_the_way()
            shutil.rmtree(self.where)
            self.close()
        os.mkdir(self.where)
        self._hold()

    def publish(self) -> None:
        """Take the place of the target, if nothing is in the way; until that is done, `--resume` does the rest."""
        self.refuse_old(self._force)
        for folder, _, names in os.walk(self.where):
            for name in names:
                if name.endswith(PARTIAL):  # of a writer that was killed
                    os.unlink(os.path.join(folder, name))
        if hasattr(os, "sync"):
            os.sync()
        if os.path.lexists(self._target):
            os.rename(self._target, self._old)
        os.rename(self.where, self._target)
        with contextlib.suppress(OSError):  # it does no harm
            os.unlink(os.path.join(self._target, MANIFEST))
        shutil.rmtree(self._old, ignore_errors=True)

    def close(self) -> None:
        """Let other runs write it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def locked(descriptor: int) -> bool | None:
    """Lock an open directory until it is closed; False where another run has, None where there are no locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
