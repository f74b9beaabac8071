"""A policy decision point for MCP tool calls behind Envoy's external authorization filter."""

from pathlib import Path

from authz import compiled

__version__ = "0.1.0"
COMPILED = compiled.settle(Path(__file__).parent)  # before anything else of the package is imported
