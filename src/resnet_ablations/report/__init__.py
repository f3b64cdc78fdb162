"""Tables, figures, verdicts and one page from a results folder and the experiment files alone."""
