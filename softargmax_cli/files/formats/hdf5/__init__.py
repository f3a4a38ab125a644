"""Datasets of HDF5 files, found and described by h5py, and unpacked here where their filters are known."""
