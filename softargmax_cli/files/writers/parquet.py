"""Results as Parquet: fields as columns with their types, names as strings; written by pyarrow."""

from __future__ import annotations

import contextlib
import io
from importlib.metadata import version
from typing import Any, BinaryIO

import pyarrow
import pyarrow.parquet

from softargmax_cli.files.writers.atomic import Writer
from softargmax_cli.files.writers.columns import Column, Columns, dtype_of
from softargmax_cli.files.writers.json import json_object
from softargmax_cli.reduction.result import Slices, Summary

TEXTS = ("input", "id", "label")
GROUP = 1 << 16
"""Rows of a group at least, of which each but the last has so many."""


class ParquetWriter(Writer):
    """A row a slice; the file's metadata say under `softargmax` what was asked."""

    _columns: Columns | None = None

    def begin(self) -> None:
        columns, before = Columns(self.run, self.fields, name_input=self.several), self._columns
        if before is not None:
            columns.refuse_unlike(before)
        self._columns = columns
        if before is not None:
            return
        types = [_type(name) for name, width in columns.widths.items() for _ in range(width)]
        run = self.run
        asked: dict[str, Any] = {"version": version("softargmax"), "axis": run.axes, "beta": run.beta, "kind": run.kind}
        asked |= {"coords": run.coords, "window": run.window, "dtype": run.dtype, "device": run.device}
        asked |= {"period": run.periods} if run.periods else {}
        self._schema = pyarrow.schema(
            zip(columns.names, types, strict=True), metadata={"softargmax": json_object(asked)}
        )
        self._waiting: list[Any] = []
        sink = _Sink(self.target.stream)
        self._table = pyarrow.parquet.ParquetWriter(sink, self._schema)
        self.files.callback(self._give_up, sink)

    def put(self, slices: Slices) -> None:
        assert self._columns is not None
        columns = zip(self._columns.of(slices), self._schema.types, strict=True)
        arrays = [
            pyarrow.array(_texts(column) if kind == pyarrow.string() else column, kind) for column, kind in columns
        ]
        self._waiting.append(pyarrow.record_batch(arrays, schema=self._schema))
        if sum(batch.num_rows for batch in self._waiting) >= GROUP:
            self._write_group()

    def close(self, total: Summary) -> None:
        self._write_group()
        self._table.close()

    def _write_group(self) -> None:
        self._table.write_table(pyarrow.Table.from_batches(self._waiting, self._schema))
        self._waiting.clear()

    def _give_up(self, sink: _Sink) -> None:
        sink.open = False
        with contextlib.suppress(Exception):
            self._table.close()


class _Sink(io.RawIOBase):
    """A stream that drops what comes once it is not `open`: pyarrow ends every table, also one that is given up."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.open = stream, True

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.open:
            self._stream.write(data)
        return len(data)


def _type(name: str) -> Any:
    """Return Arrow's type for what is listed under a name."""
    if name in TEXTS:
        return pyarrow.string()
    return pyarrow.int64() if name == "index" else pyarrow.from_numpy_dtype(dtype_of(name))


def _texts(column: Column) -> list[str | None]:
    """Spell bytes of a name that are no UTF-8 with backslashes."""
    return [None if text is None else text.encode("utf-8", "backslashreplace").decode() for text in column]
