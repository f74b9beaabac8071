"""Eras, the base64 sentinel, trace ids."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.mcp.headers import LEGACY_VERSIONS, MODERN_VERSIONS, decode_value, era_of, trace_id
from authz.model import Era


def test_each_version_has_an_era_and_no_header_means_an_old_one() -> None:
    assert {era_of(version) for version in LEGACY_VERSIONS} == {Era.LEGACY}
    assert {era_of(version) for version in MODERN_VERSIONS} == {Era.MODERN}
    assert era_of(None) is Era.LEGACY


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("get_value", "get_value"),
        ("", ""),
        ("=?base64?Z2V0X3ZhbHVl?=", "get_value"),
        ("=?base64??=", ""),
        ("=?base64?Z2V0X3ZhbHVl?= ", "=?base64?Z2V0X3ZhbHVl?= "),
        ("=?Base64?Z2V0X3ZhbHVl?=", "=?Base64?Z2V0X3ZhbHVl?="),
        ("=?base64?Z2V0X3ZhbHV=?=", None),
        ("=?base64?Z2V0 X3ZhbHVl?=", None),
        ("=?base64?_-__?=", None),
        ("=?base64?/w==?=", None),
        ("=?base64?7aCA?=", None),  # a surrogate is no UTF-8
        ("=?base64?PT9iYXNlNjQ/ZUE9PT89?=", "=?base64?eA==?="),  # decoded once
    ],
)
def test_header_values_are_decoded_in_canonical_form_only(value: str, text: str | None) -> None:
    assert decode_value(value) == text


@given(st.text())
def test_every_text_survives_the_sentinel(text: str) -> None:
    assert decode_value(f"=?base64?{base64.b64encode(text.encode()).decode()}?=") == text


@given(st.text())
def test_no_header_value_raises(value: str) -> None:
    decode_value(value)
    decode_value(f"=?base64?{value}?=")
    trace_id(value)


@pytest.mark.parametrize(
    ("traceparent", "trace"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"),
        ("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ""),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", ""),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", ""),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\n", ""),
        (None, ""),
        (7, ""),
    ],
)
def test_a_trace_id_is_taken_from_a_traceparent_of_the_w3c_form_only(traceparent: object, trace: str) -> None:
    assert trace_id(traceparent) == trace
