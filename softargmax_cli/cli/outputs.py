"""The places of the results of a command's inputs, and the writers that write them there."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from softargmax_cli.cli.messages import say_note
from softargmax_cli.cli.paths import names_folder, names_store, one_each
from softargmax_cli.cli.pipeline import Job
from softargmax_cli.errors import OptionError, parameter
from softargmax_cli.files.remote import is_url
from softargmax_cli.files.writers import ROWS, STORE, Totals, Writer, format_of, open_writer

if TYPE_CHECKING:
    from softargmax_cli.reduction.result import Run


class Outputs:
    """A file for each input, one that all share, standard output, or none if there is only a table."""

    def __init__(
        self,
        job: Job,
        output: str | None,
        format: str | None = None,
        *,
        force: bool = False,
        usual: str = "csv",
        formats: Collection[str] = (),
    ) -> None:
        """Choose a place for each input, in a directory of `usual` format. formats: the possible ones, if not all.

        Raises OptionError if two inputs share a place that holds the results of one.
        """
        data, store, folder = None if format == "table" else format, names_store(output), False
        if (store or format == STORE) and (output in (None, "-") or format not in (None, STORE)):
            what = "a Zarr store cannot go to standard output or be a table"
            raise OptionError(what, "write it with -o NAME.zarr alone")
        if output is None or output == "-":
            if job.several and data not in (None, *ROWS):
                what = "-o -" if formats else parameter("format", data)
                raise OptionError(f"{what} holds one input only", "use -o DIR/ for one file each")
            output = None if data is None else "-"
        elif is_url(output) and not store:
            what = f"-o {output}: only a Zarr store can be written to a URL"
            raise OptionError(what, "let the name end in .zarr, or write a file and copy it")
        elif folder := names_folder(output) and not store:
            data = data or usual
        else:
            data = data or format_of(output, formats)
            if job.several and data not in ROWS:
                format = "" if formats else f" {parameter('format', data)}"
                remedy = f"use -o DIR/{format} for one {'store' if store else 'file'} each"
                if store and (formats or is_url(output)):
                    remedy = "use one run each"
                raise OptionError(f"-o {output} holds one input only", remedy)
        self.format, self.table = data or "", format == "table" or output is None
        self.paths = one_each(output or "", job.names, self.format) if folder else [output] * len(job.names)
        """The place of each input; "-" for standard output, None for nowhere."""
        self._shares, self._force = job.several and not folder, force
        self._shared: Writer | None = None

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._shared is not None:
            self._shared.abort()

    @contextmanager
    def opened(self, path: str | None, run: Run, fields: Collection[str]) -> Iterator[Writer | None]:
        """Open a writer for an input, or continue the one that inputs share; yield None if nothing is written."""
        if path is None:
            yield None
        elif self._shared is not None:
            self._shared.start(run)
            yield self._shared
        else:
            writer = open_writer(path, self.format, run, fields, force=self._force, several=self._shares)
            if self._shares:
                self._shared = writer
                yield writer
            else:
                with writer:
                    yield writer

    def end(self, writer: Writer, summary: Totals, shape: tuple[int, ...]) -> None:
        """End an input, and put its results in place unless other inputs share them."""
        writer.end(summary, shape)
        if writer is not self._shared:
            writer.commit(summary)

    def commit(self, total: Totals, *, complete: bool) -> None:
        """Put a shared file in place if all inputs are in it; a pipe has received them already."""
        if self._shared is None:
            return
        name = self._shared.name
        if complete or name == "<stdout>":
            self._shared.commit(total)
        else:
            say_note(f"{name} is not written, since an input could not be used")
