"""The training of one run, from its configuration to its results folder."""
