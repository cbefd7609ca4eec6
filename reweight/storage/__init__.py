"""What is read from and written to disk: strict JSON, atomic writes, rows of results."""
