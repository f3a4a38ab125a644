"""Results as Parquet: fields as columns with their types, names as strings; written by pyarrow."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pyarrow
import pyarrow.parquet

from softargmax_cli.files.writers import Totals
from softargmax_cli.files.writers.json import json_text
from softargmax_cli.files.writers.text import FieldColumns, TableWriter
from softargmax_cli.reduction.fields import BY_NAME
from softargmax_cli.reduction.result import Slices

GROUP = 1 << 16
"""The least number of rows of a row group; only the last may have fewer."""


class ParquetWriter(TableWriter):
    """A row a slice; the file's metadata say under `softargmax` what was asked."""

    def begin_table(self, columns: FieldColumns) -> None:
        types = [_type(name) for name, width in columns.widths.items() for _ in range(width)]
        run = self.run
        asked: dict[str, Any] = {"version": version("softargmax"), "axis": run.axes, "beta": run.beta, "kind": run.kind}
        asked |= {"coords": run.coords, "window": run.window, "dtype": run.dtype, "device": run.device}
        asked |= {"period": run.periods} if run.periods else {}
        metadata = {"softargmax": json_text(asked)}
        self._schema = pyarrow.schema(zip(columns.names, types, strict=True), metadata)
        self._waiting: list[Any] = []
        self._table = pyarrow.parquet.ParquetWriter(self.stream, self._schema)
        self.files.callback(setattr, self._table, "is_open", False)  # else giving it up would complete it

    def put(self, slices: Slices) -> None:
        assert self.columns is not None
        arrays = [*map(pyarrow.array, self.columns.of(slices), self._schema.types)]
        self._waiting.append(pyarrow.record_batch(arrays, schema=self._schema))
        if sum(batch.num_rows for batch in self._waiting) >= GROUP:
            self._write_group()

    def close(self, total: Totals) -> None:
        self._write_group()
        self._table.close()

    def _write_group(self) -> None:
        self._table.write_table(pyarrow.Table.from_batches(self._waiting, self._schema))
        self._waiting.clear()


def _type(name: str) -> Any:
    if name in ("input", "id", "label"):
        return pyarrow.string()
    return pyarrow.int64() if name == "index" else pyarrow.from_numpy_dtype(BY_NAME[name].dtype)
