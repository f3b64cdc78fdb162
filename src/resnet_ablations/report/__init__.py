"""Tables and figures from a results folder and the experiment files alone."""
