"""What the results say of the papers' claims, and how sure that is."""
