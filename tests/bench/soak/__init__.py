"""The long run: mixed traffic, reloads and store restarts for minutes; nothing may grow and no verdict be wrong."""
