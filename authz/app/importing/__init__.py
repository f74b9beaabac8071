"""Policies of PolicyLayer and Intercept -> policies in this language, their tests, and what changes in meaning."""
