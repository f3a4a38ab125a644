"""Parquet tables of numbers, through pyarrow: one row group after the other, a few rows at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import partial, reduce
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

from softargmax_cli.errors import InputError, parameter
from softargmax_cli.files.columns import SAMPLE, Table, called, choose, cited, option_value
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import COPY_AGAIN, Facts, Source, parsing
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer, Loaded, Pending

BUFFER = 64 << 10
"""Bytes of each column read at a time, so that a row group is never in memory as a whole."""
DECODED_AT_ONCE = 1 << 20
"""Numbers decoded at a time."""
FLOAT: np.dtype[Any] = np.dtype("f8")
_FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}
"""NumPy's names of the floats that pyarrow names differently."""


class ParquetSource(Source):
    """The columns of numbers as one array, (rows, columns), in the order of the file, from a seekable stream.

    Its dtype holds the numbers of all columns; nulls are NaN. `reading.id_column` names the rows. Raises InputError if
    the file is damaged or has no such columns, OptionError if the id column does not exist.
    """

    sequential = True

    def __init__(self, stream: BinaryIO, name: str, reading: Reading) -> None:
        file: Any = pyarrow.parquet.ParquetFile(
            pa.PythonFile(stream, "r"), buffer_size=BUFFER, pre_buffer=False, page_checksum_verification=True
        )
        schema = file.schema_arrow
        titles = tuple(map(str, schema.names))
        types = [_dtype(field.type) for field in schema]
        nested = {at for at, field in enumerate(schema) if pa.types.is_nested(field.type)}
        texts = {at for at, kind in enumerate(types) if kind is None} - nested
        values: npt.NDArray[np.float64] = np.empty((0, len(titles)))
        first: Any = next(file.iter_batches(SAMPLE), None)
        if first is not None:
            values = np.full((first.num_rows, len(titles)), np.nan)
            for at in {*range(len(titles))} - texts - nested:
                values[:, at] = _numbers(first.column(at))
        table = Table(name, "parquet", titles, texts, _index(schema, titles), values)
        columns = choose(table, reading)
        if wrong := nested & {*columns.scores, columns.id_at}:
            at = min(wrong)
            remedy = f"leave it out with {parameter('columns', f'^{option_value(table, at)}')}, or name another column"
            kind = cited(str(schema[at].type))
            raise InputError(f"{called(table, at)} holds neither numbers nor text, but {kind}", remedy)
        self.name, self.closes, self.notes = name, (file, stream), tuple(columns.notes)
        self._id_at, self._columns = columns.id_at, columns.scores
        self.facts = Facts("parquet", header=titles, id_column=columns.id_column, columns=columns.spec)
        self.dtype = reduce(np.promote_types, [_with_nulls(types[at] or FLOAT, schema[at]) for at in self._columns])
        self.stored = str(self.dtype)
        rows = int(file.metadata.num_rows)
        self.shape, self.nbytes = (rows, len(self._columns)), rows * len(self._columns) * self.dtype.itemsize
        self.labels = tuple(titles[at] for at in self._columns)
        self.has_ids = self._id_at is not None
        self._batches = file.iter_batches(max(1, DECODED_AT_ONCE // len(titles)))
        self._batch: Any = None
        self._first = self._next = 0
        """The first row of the batch, and the first row after it."""

    def fetch(self, block: Block) -> Pending:
        parts, row, stop = [], block.start[0], block.stop[0]
        with self.reads():
            while row < stop:
                if row >= self._next:
                    self._batch = next(self._batches, None)
                    if self._batch is None:
                        what = f"ended after row {self._next:,} of {self.shape[0]:,}"
                        raise InputError(f"{self.name}: damaged: {what}", COPY_AGAIN)
                    self._first, self._next = self._next, self._next + self._batch.num_rows
                part = self._batch.slice(row - self._first, stop - row)
                parts.append(part)
                row += part.num_rows
        return Pending(math.prod(block.shape) * self.dtype.itemsize, partial(self._load, block, parts))

    def _load(self, block: Block, parts: Sequence[Any], buffer: Buffer) -> Loaded:
        """Join decoded rows to one array, (rows, columns)."""
        values = buffer.array(block.shape[::-1], self.dtype)
        ids: list[str] = []
        begin = 0
        with parsing(self.name, self.kind):
            for part in parts:
                for row, at in zip(values, self._columns[block.start[1] : block.stop[1]], strict=True):
                    row[begin : begin + part.num_rows] = _numbers(part.column(at))
                begin += part.num_rows
                if self._id_at is not None:
                    names = part.column(self._id_at).cast(pa.string()).to_pylist()
                    ids += ["" if each is None else each for each in names]
        return Loaded(values.T, ids if self.has_ids else None)


def _numbers(column: Any) -> npt.NDArray[Any]:
    """Return the numbers of a column, with NaN for null."""
    if pa.types.is_decimal(column.type) or pa.types.is_null(column.type):
        column = column.cast(pa.float64())
    elif pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def _index(schema: Any, titles: Sequence[str]) -> tuple[int, ...]:
    """Find the columns of the index that pandas noted in the file."""
    try:
        names = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
        return tuple(titles.index(name) for name in names if isinstance(name, str) and titles.count(name) == 1)
    except (ValueError, AttributeError, TypeError):  # not as pandas writes it
        return ()


def _dtype(kind: Any) -> np.dtype[Any] | None:
    """Return NumPy's dtype of a column of numbers; None for other columns."""
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return np.dtype(_FLOATS.get(str(kind), str(kind)))  # older releases import pandas to say it
    return FLOAT if pa.types.is_decimal(kind) or pa.types.is_null(kind) else None


def _with_nulls(dtype: np.dtype[Any], field: Any) -> np.dtype[Any]:
    """Return the dtype of a column with room for NaN, unless the schema says that nothing is missing."""
    # Statistics of the column could count its nulls, but damaged ones make pyarrow end the process.
    return dtype if dtype.kind == "f" or not field.nullable else np.promote_types(dtype, "f4")
