"""Where else a run is shown while it trains: they read what the run writes, and nothing reads them."""
