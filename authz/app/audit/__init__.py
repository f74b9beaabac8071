"""Where audit records go: files, pipes and standard output, written off the path."""
