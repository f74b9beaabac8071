"""Bearer tokens that this service verifies itself: the keys of their issuers, and what there is to tell of both."""

from authz.app.tokens.tokens import Tokens

__all__ = ["Tokens"]
