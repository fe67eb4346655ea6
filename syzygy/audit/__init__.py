"""The audit: what pending migrations break, and when, told from the files alone."""
