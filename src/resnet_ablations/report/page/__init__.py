"""The page: the whole report in one file."""
