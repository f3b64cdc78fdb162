"""Hydra's side of a sweep: a sweeper that plans, and a launcher for one machine."""
