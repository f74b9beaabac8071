"""Servers as they are, their catalogues as files, and what people are shown of them."""
