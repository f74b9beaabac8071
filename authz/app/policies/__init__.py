"""The policies directory: read, watched and put in force."""
