"""Hydra's plugins: a sweeper, and launchers for one machine and for SLURM."""
