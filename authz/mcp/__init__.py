"""Bytes <-> MCP: requests are read strictly into an `Exchange`, decisions written as MCP clients understand them."""
