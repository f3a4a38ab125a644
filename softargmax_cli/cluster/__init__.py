"""The reduction on a Dask cluster: map, merge and finish are those of one machine, run by workers."""
