"""Decisions and rulings -> audit records -> JSON lines; what may be written down of them."""

from authz.audit.arguments import DEFAULT_REDACTED, NO_VALUES, Redaction, arguments_digest
from authz.audit.line import MAX_ARGUMENTS, MAX_LINE, encode, encode_gap, encode_ruling
from authz.audit.record import AuditSink, Record, RulingRecord
from authz.audit.text import MAX_TEXT, clip

__all__ = [
    "DEFAULT_REDACTED",
    "MAX_ARGUMENTS",
    "MAX_LINE",
    "MAX_TEXT",
    "NO_VALUES",
    "AuditSink",
    "Record",
    "Redaction",
    "RulingRecord",
    "arguments_digest",
    "clip",
    "encode",
    "encode_gap",
    "encode_ruling",
]
