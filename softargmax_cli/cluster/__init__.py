"""The reduction on Dask: block → state, merge, finish, by the same three functions, on other processes and machines."""
