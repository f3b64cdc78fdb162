"""One run, from its configuration to its results folder."""
