"""Parquet tables of numbers, through pyarrow: one row group after the other, a few rows at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial, reduce
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, OptionError, parameter
from softargmax_cli.files.columns import Table, called, item, option_value, position
from softargmax_cli.files.members import damaged, few, shown
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.scores import SAMPLE, choose
from softargmax_cli.files.source import Facts, Loaded, Pending, Source
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

BUFFER = 64 << 10
"""Bytes of each column read at a time, so that a row group is never in memory as a whole."""
BATCH = 1 << 20
"""Numbers decoded at a time."""
FLOAT: np.dtype[Any] = np.dtype("f8")
NUMBERS = "write each number into a column of its own"
_FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}
"""NumPy's names of the floats that pyarrow calls otherwise."""


def open_parquet(stream: BinaryIO, name: str, reading: Reading) -> Source:
    """The columns of numbers as one array, shape (rows, columns), from a seekable stream.

    Its dtype is the one that holds all of them; nulls are NaN. `reading.id_column` names the rows. Raises InputError
    where the file is not sound or has other columns, OptionError for an id column that it has not.
    """
    import pyarrow as pa
    import pyarrow.parquet

    with _damaged(name):
        file = pyarrow.parquet.ParquetFile(
            pa.PythonFile(stream, "r"), buffer_size=BUFFER, pre_buffer=False, page_checksum_verification=True
        )
        return ParquetSource(stream, file, name, reading)


def _damaged(name: str) -> AbstractContextManager[None]:
    import pyarrow as pa

    return damaged(name, "Parquet", pa.ArrowException, OSError, ValueError, TypeError, OverflowError)


class ParquetSource(Source):
    """Rows in the order of the file, of which each block takes the next."""

    sequential = True

    def __init__(self, stream: BinaryIO, file: Any, name: str, reading: Reading) -> None:
        self.name, self._stream, self._file = name, stream, file
        schema = file.schema_arrow
        titles = tuple(str(title) for title in schema.names)
        types = [_dtype(field.type) for field in schema]
        texts = {at for at, kind in enumerate(types) if kind is None and self._may_name(at)}
        table = Table(name, len(titles), titles, texts, _index(schema, titles), self._first_rows, kind="parquet")
        if reading.id_column is not None:
            self._check_names(table, position(table, reading.id_column))
        if not any(kind is not None for kind in types):
            raise InputError(f"{name}: no columns of numbers in it{', but ' * bool(titles)}{few(titles)}", NUMBERS)
        columns = choose(table, reading)
        self._id_at, self._columns, self.notes = columns.id_at, [*columns.scores], columns.notes
        told = None if self._id_at is None else option_value(table, self._id_at)
        self.facts = Facts("parquet", header=titles, id_column=told, columns=columns.spec)
        for at in self._columns:
            if types[at] is None:
                without = parameter("columns", f"^{item(table, at)}")
                remedy = f"{NUMBERS}, or pass {without} to leave it out" if reading.columns is None else NUMBERS
                raise InputError(f"{name}: {called(table, at)} holds no numbers, but {self._kind(at)}", remedy)
        self.dtype = reduce(np.promote_types, [_with_nulls(types[at] or FLOAT, schema[at]) for at in self._columns])
        self.stored = str(self.dtype)
        rows = int(file.metadata.num_rows)
        self.shape, self.nbytes = (rows, len(self._columns)), rows * len(self._columns) * self.dtype.itemsize
        self.labels = tuple(titles[at] for at in self._columns)
        self.has_ids = self._id_at is not None
        self._batches = file.iter_batches(max(1, BATCH // len(titles)))
        self._batch: Any = None
        self._first = self._next = 0
        """Rows that the batch begins and ends with."""

    def _check_names(self, table: Table, at: int) -> None:
        """Raise OptionError where a column cannot name the rows."""
        if not self._may_name(at):
            what = f"{self.name}: {called(table, at)} holds {self._kind(at)}, which names no rows"
            raise OptionError(what, f"name another column, or leave out {parameter('id_column')}")

    def _first_rows(self, positions: Sequence[int]) -> npt.NDArray[np.float64]:
        """The numbers of the first rows in some columns, (rows, columns)."""
        import pyarrow as pa

        batch = next(self._file.iter_batches(SAMPLE), None)
        if batch is None:
            return np.empty((0, len(positions)))
        rows = min(SAMPLE, batch.num_rows)
        values = np.full((rows, len(positions)), np.nan)
        for k, at in enumerate(positions):
            column = batch.column(at)
            if _dtype(column.type) is not None:
                values[:, k] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)[:rows]
        return values

    def _may_name(self, at: int) -> bool:
        """Tell whether the values of a column can be written as text."""
        import pyarrow as pa

        try:
            pa.nulls(0, self._file.schema_arrow.field(at).type).cast(pa.string())
        except pa.ArrowNotImplementedError:
            return False
        return True

    def _kind(self, at: int) -> str:
        """Name the type of a column for an error."""
        return shown(str(self._file.schema_arrow.field(at).type))

    def fetch(self, block: Block) -> Pending:
        self.check_open()
        parts, row, stop = [], block.start[0], block.stop[0]
        while row < stop:
            if row >= self._next:
                with _damaged(self.name):
                    self._batch = next(self._batches, None)
                if self._batch is None:
                    what = f"ended after row {self._next:,} of {self.shape[0]:,}"
                    raise InputError(f"{self.name}: damaged: {what}", "copy the file again, or write it again")
                self._first, self._next = self._next, self._next + self._batch.num_rows
                continue
            part = self._batch.slice(row - self._first, stop - row)
            parts.append(part)
            row += part.num_rows
        return Pending(math.prod(block.shape) * self.dtype.itemsize, partial(self._load, block, parts))

    def _load(self, block: Block, parts: Sequence[Any], buffer: Buffer) -> Loaded:
        """Put decoded rows together, (rows, columns)."""
        rows, columns = block.shape
        values = buffer.array((columns, rows), self.dtype)
        begin = 0
        for part in parts:
            with _damaged(self.name):
                for row, at in zip(values, self._columns[block.start[1] : block.stop[1]], strict=True):
                    row[begin : begin + part.num_rows] = self._numbers(part, at)
            begin += part.num_rows
        return Loaded(values.T, [name for part in parts for name in self._names(part)] if self.has_ids else None)

    def _numbers(self, part: Any, at: int) -> npt.NDArray[Any]:
        """Some rows of the column of numbers at a position."""
        import pyarrow as pa

        column = part.column(at)
        if pa.types.is_decimal(column.type) or pa.types.is_null(column.type):
            column = column.cast(pa.float64())
        elif pa.types.is_boolean(column.type):
            column = column.cast(pa.uint8())
        values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)  # NaN where null
        return values

    def _names(self, part: Any) -> list[str]:
        """The names of some rows."""
        import pyarrow as pa

        with _damaged(self.name):
            try:
                column = part.column(self._id_at).cast(pa.string())
            except pa.ArrowInvalid as error:
                if "UTF8" not in str(error):
                    raise
                title = shown(part.schema.field(self._id_at).name)
                what = f"{self.name}: column {title} holds bytes that are not UTF-8, so they name no rows"
                raise InputError(what, "write the names as text") from None
            return ["" if each is None else each for each in column.to_pylist()]

    def close(self) -> None:
        super().close()
        self._file.close()
        self._stream.close()


def _index(schema: Any, titles: Sequence[str]) -> tuple[int, ...]:
    """Positions of the columns that pandas' own note in the file calls the index."""
    try:
        names = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
        return tuple(titles.index(name) for name in names if isinstance(name, str) and titles.count(name) == 1)
    except (ValueError, AttributeError, TypeError):  # not as pandas writes it
        return ()


def _dtype(kind: Any) -> np.dtype[Any] | None:
    """NumPy's dtype of a column of numbers; None of others."""
    import pyarrow as pa

    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return np.dtype(_FLOATS.get(str(kind), str(kind)))  # older releases import pandas to say it
    return FLOAT if pa.types.is_decimal(kind) or pa.types.is_null(kind) else None


def _with_nulls(dtype: np.dtype[Any], field: Any) -> np.dtype[Any]:
    """The dtype of a column with room for NaN, unless the schema says that nothing is missing.

    How many nulls there are its statistics might say, but where those are damaged pyarrow ends the process.
    """
    return dtype if dtype.kind == "f" or not field.nullable else np.promote_types(dtype, "f4")
