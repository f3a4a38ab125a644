"""`softargmax run`: soft and hard argmax of files, as tables or data."""

from __future__ import annotations

from softargmax_cli.cli import options


def run(
    inputs: options.Inputs,
    axis: options.Axis = "-1",
    beta: options.BetaOrAuto = None,
    temperature: options.Temperature = None,
    tol: options.AutoTolerance = None,
    kind: options.Kind = "scores",
    coords: options.Coords = "index",
    values: options.Values = None,
    window: options.Window = None,
    nan: options.Nan = "error",
    precision: options.Precision = "auto",
    key: options.Key = None,
    select: options.Select = None,
    delimiter: options.Delimiter = None,
    header: options.HasHeader = None,
    id_column: options.IdColumn = None,
    columns: options.Columns = None,
    skip: options.Skip = None,
    comment: options.Comment = None,
    decimal: options.Decimal = None,
    output: options.Output = None,
    format: options.Format = None,
    rows: options.Rows = 20,
    plot: options.Plot = None,
    force: options.Force = False,
    resume: options.Resume = False,
    device: options.Device = "cpu",
    memory: options.Memory = "256MiB",  # type: ignore[assignment]  # parsed into bytes
    scheduler: options.Scheduler = None,
    workers: options.Workers = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Show soft and hard argmax of files side by side, or write them.

    softargmax run data.npy --beta 100

    softargmax run scores.csv --id-column image -o result.csv

    softargmax run heatmaps.npy --axis -2,-1 --window 3 --coords corners

    cat data.npy | softargmax run - --format jsonl | jq .soft

    softargmax run s3://bucket/volume.zarr --axis 0 --workers 4 -o result.zarr
    """
    from softargmax_cli.cli.pipeline import Asked
    from softargmax_cli.cli.running import Cluster, Shown, run_all
    from softargmax_cli.files.reading import Reading

    number, within = options.searched(beta, temperature, kind, tol)
    asked = Asked(
        axes=options.axes(axis),
        kind=kind,
        beta=number,
        coords=coords,
        values=values,
        window=window,
        nan=nan,
        precision=precision,
        reading=Reading(key, select, delimiter, header, id_column, columns, skip, comment, decimal),
        device=device,
        memory=memory,
        quiet=quiet,
        verbose=verbose,
    )
    shown = Shown(output, format, rows, plot, force, resume, within)
    return run_all(inputs, asked, shown, Cluster(scheduler, workers))
