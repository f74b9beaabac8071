"""Policy tests: read, played against the policies by the service's own engine, and told of."""
