"""From a results folder to the cells of a table: plans, the runs that fill them, what these come to, and names."""
