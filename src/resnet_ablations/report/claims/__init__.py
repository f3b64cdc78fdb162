"""The claims of the papers, and what our runs say about each."""
