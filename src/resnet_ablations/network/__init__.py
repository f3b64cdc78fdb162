"""The subject of the study: residual networks as branch × activation placement × shortcut."""
