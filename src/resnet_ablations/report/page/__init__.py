"""The page: everything that the report says, in one file."""
