"""From an experiment file to its cells, from cells to runs, and the runs that are missing to a launcher."""
