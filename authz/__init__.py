"""A policy decision point for MCP tool calls behind Envoy's external authorization filter."""

__version__ = "0.1.0"
