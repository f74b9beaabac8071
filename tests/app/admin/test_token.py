"""The setting `admin_token`: where it is read from, and that nothing tells what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz.app.admin import Token, read_token
from authz.app.settings.settings import Settings
from authz.app.settings.values import Secret
from authz.errors import SettingsError

TOKEN = "correct-horse-battery-staple"
UNSENDABLE = "admin_token: env:ADMIN: expected printable ASCII without spaces, got something else"


def settings(source: Secret | None) -> Settings:
    return Settings(admin_token=source)


def test_it_is_read_from_a_file_or_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert read_token(settings(Secret(path=str(file))), {}) == TOKEN.encode()
    assert read_token(settings(Secret(variable="ADMIN")), {"ADMIN": TOKEN}) == TOKEN.encode()


def test_without_the_setting_there_is_none() -> None:
    assert read_token(settings(None), {}) == b""
    assert not Token().given


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("short-token-15by", ""),
        ("short-token-15b", "admin_token: env:ADMIN: expected at least 16 bytes, got 15"),
        (
            "correct horse battery staple",
            "admin_token: env:ADMIN: expected printable ASCII without spaces, got something else",
        ),
        (
            "sésame-ouvre-toi-donc",
            "admin_token: env:ADMIN: expected printable ASCII without spaces, got something else",
        ),
    ],
)
def test_one_that_cannot_be_sent_or_guessed_too_easily_stops_the_start(value: str, problem: str) -> None:
    if not problem:
        assert read_token(settings(Secret(variable="ADMIN")), {"ADMIN": value})
        return
    with pytest.raises(SettingsError) as caught:
        read_token(settings(Secret(variable="ADMIN")), {"ADMIN": value})
    assert str(caught.value) == problem


def test_nothing_shows_it() -> None:
    assert TOKEN not in repr(vars(Token(TOKEN.encode())))
