"""Results on disk: netCDF files, sealed and replaced as a whole."""
