"""Loggers: they show a run elsewhere while it trains.

They read the run's files; no other part reads what loggers write.
"""
