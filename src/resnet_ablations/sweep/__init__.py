"""Sweeps: expand an experiment file to cells and runs, and give the missing runs to a launcher."""
