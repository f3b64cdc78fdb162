"""Residual networks, the subject of the study: a unit is a branch, an activation placement and a shortcut."""
