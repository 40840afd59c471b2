"""The command line: `python -m lib_lrsched`."""
