"""Loggers: they show a run elsewhere while it trains. They read the run's files; nothing reads theirs."""
