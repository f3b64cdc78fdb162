"""The tables: the paper's numbers beside ours, and the training losses of both at the same iterations."""
