"""The shared store as the service runs it: an address becomes connections, and trouble with them what limits say."""
