"""Chunks that stay decoded for a while, as several blocks are cut from each."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy.typing as npt

Chunk = npt.NDArray[Any]
Place = tuple[int, ...]


class Kept:
    """The chunks that were wanted last, within `room` bytes, or one of them; each is decoded once, by any thread."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._chunks: OrderedDict[Place, Future[Chunk]] = OrderedDict()

    def chunk(self, place: Place, nbytes: int, decode: Callable[[], Chunk]) -> Chunk:
        """The chunk at a place, which takes `nbytes`; raises what `decode` raises, for all who wait for it."""
        with self._lock:
            chunk = self._chunks.get(place)
            mine = chunk is None
            if chunk is None:
                self._make_room(nbytes)
                chunk = self._chunks[place] = Future()
            self._chunks.move_to_end(place)
        if mine:
            try:
                chunk.set_result(decode())
            except BaseException as error:
                with self._lock:
                    self._chunks.pop(place, None)
                chunk.set_exception(error)
        return chunk.result()

    def _make_room(self, nbytes: int) -> None:
        """Let go of those that were wanted longest ago; before the next is there, as that is when memory is short."""
        for place, chunk in [*reversed(self._chunks.items())]:
            if chunk.done():
                nbytes += chunk.result().nbytes
                if nbytes > self._room:
                    del self._chunks[place]
