"""Who asks: HTTP request -> principal."""

from authz.identity.claims import CLAIM_TYPES
from authz.identity.identities import Identities, TokenVerifier
from authz.identity.source import DEFAULT_SOURCE, JWT_AUTHN, IdentitySource, SourceKind

__all__ = ["CLAIM_TYPES", "DEFAULT_SOURCE", "JWT_AUTHN", "Identities", "IdentitySource", "SourceKind", "TokenVerifier"]
