"""Why a bearer token does not count: a closed set of words (metrics), each with its sentence (the caller, the log)."""

from __future__ import annotations

import enum

from authz.errors import TokenRefused


class Refusal(enum.StrEnum):
    """Why a token is refused. The words are stable."""

    MALFORMED = "malformed"
    ALGORITHM = "algorithm"
    CRITICAL = "critical"
    TYPE = "type"
    KEY = "key"
    SIGNATURE = "signature"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    EXPIRED = "expired"
    NOT_YET = "not_yet"
    TIME = "time"
    SUBJECT = "subject"


# Nothing of the token is in any of them: they stand in a header of the answer (RFC 6750, 3: error_description).
_SENTENCES = {
    Refusal.MALFORMED: "the Authorization header is not one signed JWT that can be read without doubt",
    Refusal.ALGORITHM: "the token is not signed by an algorithm that is accepted here",
    Refusal.CRITICAL: "the token has extensions that must be understood and are not",
    Refusal.TYPE: "the token is no access token",
    Refusal.KEY: "the token is signed with a key that its issuer does not publish",
    Refusal.SIGNATURE: "the signature of the token is not its issuer's",
    Refusal.ISSUER: "the token is of another issuer",
    Refusal.AUDIENCE: "the token is for another audience",
    Refusal.EXPIRED: "the token has expired",
    Refusal.NOT_YET: "the token is not valid yet",
    Refusal.TIME: "the token does not say when it expires, or has a time that is none",
    Refusal.SUBJECT: "the token does not say who it is of",
}


def refused(cause: Refusal) -> TokenRefused:
    """The error for `cause`, to be raised."""
    return TokenRefused(_SENTENCES[cause], cause.value)
