"""Parquet tables of numbers, through pyarrow: one row group after the other, a few rows at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import reduce
from typing import Any, BinaryIO, NoReturn

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, OptionError
from softargmax_cli.files.formats.csv.dialect import by_name, by_number
from softargmax_cli.files.members import damaged, few, shown
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import Facts, Loaded, Source
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

BUFFER = 64 << 10
"""Bytes of each column read at a time, so that a row group is never in memory as a whole."""
BATCH = 1 << 20
"""Numbers decoded at a time."""
FLOAT: np.dtype[Any] = np.dtype("f8")
NUMBERS = "write each number into a column of its own"
_FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}
"""What pyarrow has names of its own for."""


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
        schema, rows = file.schema_arrow, int(file.metadata.num_rows)
        titles = tuple(str(title) for title in schema.names)
        types = [_dtype(field.type) for field in schema]
        self._id_at = self._ids_at(titles, types, reading)
        self.facts = Facts("parquet", header=titles, id_column=self._told(titles))
        self._columns = [at for at in range(len(titles)) if at != self._id_at]
        if others := [at for at in self._columns if types[at] is None]:
            self._refuse(others)
        if not self._columns:
            raise InputError(f"{name}: no columns of numbers in it", NUMBERS)
        self.dtype = reduce(np.promote_types, [_with_nulls(types[at] or FLOAT, schema[at]) for at in self._columns])
        self.stored = str(self.dtype)
        grouped = sum(file.metadata.row_group(k).num_rows for k in range(file.metadata.num_row_groups))
        if rows < 0 or rows != grouped:  # its footer says both; pyarrow goes by either
            what = f"damaged: {rows:,} rows, {grouped:,} of them in groups"
            raise InputError(f"{name}: {what}", "copy the file again, or write it again")
        self._resize(rows)
        self.labels = tuple(titles[at] for at in self._columns)
        self.has_ids = self._id_at is not None
        self._batches = file.iter_batches(max(1, BATCH // len(titles)))
        self._batch: Any = None
        self._first = self._next = 0
        """Rows that the batch begins and ends with."""

    def _ids_at(self, titles: tuple[str, ...], types: Sequence[Any], reading: Reading) -> int | None:
        """The position of the column that names the rows."""
        if reading.id_column is None:
            texts = [at for at, kind in enumerate(types) if kind is None and self._may_name(at)]
            at = texts[0] if reading.inspected and len(texts) == 1 and len(titles) > 1 else None
        else:
            at = by_number(reading.id_column, len(titles))
            at = by_name(self.name, titles, True, reading.id_column) if at is None else at
        if at is not None and not self._may_name(at):
            what = f"{self.name}: column {shown(titles[at])} holds {self._kind(at)}, which names no rows"
            raise OptionError(what, "name another column, or leave out --id-column")
        return at

    def _told(self, titles: tuple[str, ...]) -> str | int | None:
        """The column of names as an option takes it."""
        at = self._id_at
        if at is None:
            return None
        return titles[at] if titles.count(titles[at]) == 1 and not titles[at].isdecimal() else at + 1

    def _may_name(self, at: int) -> bool:
        """Whether what a column holds can be told as text."""
        import pyarrow as pa

        try:
            pa.nulls(0, self._file.schema_arrow.field(at).type).cast(pa.string())
        except pa.ArrowNotImplementedError:
            return False
        return True

    def _kind(self, at: int) -> str:
        """What a column holds, for an error."""
        return shown(str(self._file.schema_arrow.field(at).type))

    def _refuse(self, others: Sequence[int]) -> NoReturn:
        """Say of columns that hold no numbers what is to be done about them."""
        header = self.facts.header or ()
        titles = few([header[at] for at in others])
        if len(others) == len(header):
            raise InputError(f"{self.name}: no columns of numbers in it, but {titles}", NUMBERS)
        if len(others) > 1:
            raise InputError(f"{self.name}: {len(others)} columns hold no numbers: {titles}", "leave them out")
        if self._may_name(others[0]):
            remedy = f"pass --id-column {titles} if it names the rows"
            raise InputError(f"{self.name}: a column holds no numbers: {titles}", remedy)
        what = f"{self.name}: a column holds no numbers, but {self._kind(others[0])}: {titles}"
        raise InputError(what, f"{NUMBERS}, or leave it out")

    def _resize(self, rows: int) -> None:
        self.shape, self.nbytes = (rows, len(self._columns)), rows * len(self._columns) * self.dtype.itemsize

    def fetch(self, block: Block) -> ParquetPending:
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
        return ParquetPending(self, block, parts)

    def numbers(self, part: Any, at: int) -> npt.NDArray[Any]:
        """Some rows of the column of numbers at a position."""
        import pyarrow as pa

        column = part.column(at)
        if column.null_count and self.dtype.kind != "f":
            title = shown(part.schema.field(at).name)
            raise InputError(f"{self.name}: damaged: column {title} has nulls, and its schema says that there are none")
        if pa.types.is_decimal(column.type) or pa.types.is_null(column.type):
            column = column.cast(pa.float64())
        elif pa.types.is_boolean(column.type):
            column = column.cast(pa.uint8())
        values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)  # NaN where null
        return values

    def names(self, part: Any) -> list[str]:
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

    @property
    def columns(self) -> Sequence[int]:
        """Positions of the columns of numbers, among those that are decoded."""
        return self._columns

    def close(self) -> None:
        super().close()
        self._file.close()
        self._stream.close()


@dataclass(frozen=True, slots=True)
class ParquetPending:
    """Rows, decoded and not yet put together."""

    source: ParquetSource
    block: Block
    parts: Sequence[Any]

    @property
    def nbytes(self) -> int:
        return math.prod(self.block.shape) * self.source.dtype.itemsize

    def load(self, buffer: Buffer) -> Loaded:
        rows, columns = self.block.shape
        values = buffer.array((columns, rows), self.source.dtype)
        wanted = self.source.columns[self.block.start[1] : self.block.stop[1]]
        begin = 0
        for part in self.parts:
            with _damaged(self.source.name):
                for row, at in zip(values, wanted, strict=True):
                    row[begin : begin + part.num_rows] = self.source.numbers(part, at)
            begin += part.num_rows
        if not self.source.has_ids:
            return Loaded(values.T)
        return Loaded(values.T, [name for part in self.parts for name in self.source.names(part)])


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
