"""The figures: the paper's own, and final errors beside one another and against what they cost."""
