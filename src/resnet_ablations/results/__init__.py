"""The results folder: its paths, keys, locks and atomic writes, and the data frames read from it."""
