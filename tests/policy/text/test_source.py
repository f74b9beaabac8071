"""Bytes of files and what tells one version from another."""

from __future__ import annotations

import hashlib

from authz.policy.text.source import Source, digest_of


def test_bytes_and_a_source_of_the_same_content_have_one_digest() -> None:
    assert (
        digest_of(b"version: 1\n") == digest_of(Source(b"version: 1\n")) == hashlib.sha256(b"version: 1\n").hexdigest()
    )


def test_a_source_is_digested_once(monkeypatch) -> None:
    source = Source(b"version: 1\n")
    once = source.digest
    monkeypatch.setattr(hashlib, "sha256", None)
    assert digest_of(source) is once
