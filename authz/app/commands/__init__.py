"""One small file a command: what the command line gave -> an exit code (0 fine, 1 findings, 2 mistakes)."""
