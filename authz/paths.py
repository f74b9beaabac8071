"""What a request's path says, where every server reads it alike. Standard library only."""

from __future__ import annotations

# RFC 9728 section 3, RFC 8414 section 3; OpenID Connect Discovery 1.0 section 4, which MCP clients fall back to.
_OAUTH = "/.well-known/oauth-"
_OPENID = "/.well-known/openid-configuration"
_DOUBTFUL = ("//", "%", "\\", ";", "#")


def is_plain(path: str) -> bool:
    """Whether a path (without its query) has one reading: no dot or empty segments, escapes or parameters."""
    segments = path.split("/")
    return not any(part in path for part in _DOUBTFUL) and "." not in segments and ".." not in segments


def is_metadata(path: str) -> bool:
    """Whether a path (without its query) is that of OAuth metadata, by every reading."""
    named = path.startswith((_OAUTH, f"{_OPENID}/")) or path == _OPENID
    return named and is_plain(path)
