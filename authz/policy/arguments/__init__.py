"""JSON Schema over a tool's arguments: compiled once, fenced, explained in the policy's own words."""
