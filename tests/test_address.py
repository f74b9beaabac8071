from __future__ import annotations

import pytest

from authz.address import neighbourhood


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("64:ff9b::c000:201", "192.0.2.1"),
        ("2002:c000:0201:1::7", "192.0.2.1"),
        ("", ""),
        ("@pipe", ""),
        ("999.1.1.1", ""),
    ],
)
def test_who_stands_behind_an_address(address: str, expected: str) -> None:
    assert neighbourhood(address) == expected
