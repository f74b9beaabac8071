"""Documents to policies in force, or every problem in them at once."""
