"""The figures: those of the papers, final errors by row, and final errors against cost. Each is drawn once."""
