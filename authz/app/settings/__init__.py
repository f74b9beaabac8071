"""The settings: one table of them, read from flags, variables and a file."""
