"""The tables: the paper's numbers beside ours, and how closely our curves follow the paper's."""
