"""What outlives one call: counters, grants and requests already paid, behind one contract (`store.py`)."""
