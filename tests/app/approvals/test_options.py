"""With which settings the listener starts, and with which it must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz.app.approvals.options import Hook, ProxyHeaders, from_settings, require_page
from authz.app.settings.configuration import load
from authz.app.settings.values import Address
from authz.errors import SettingsError
from authz.model import Approver

SECRET = "s" * 32
ENVIRON = {"PROXY": SECRET, "KEY": "k" * 32, "HOOK": "whsec_" + "QUJD" * 8, "SHORT": "x", "RAW": "r" * 24}


def options(*, file=None, **given):
    return from_settings(load(given, {}, file=file), ENVIRON)


def problems(**given) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        options(**given)
    return str(caught.value).splitlines()


def test_an_address_and_approvers_are_enough():
    found = options(approvals="127.0.0.1:9600", approvers="/a.yaml")
    assert (found.address, found.approvers, found.proxy) == (Address("127.0.0.1", 9600), Path("/a.yaml"), None)
    assert (found.claim_is_id, found.unidentified_ok, found.everybody) == (True, False, None)


def test_everything_can_be_said(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("identity: [{name: corp, from: jwt_authn, claims: {email: string}}]\n")
    found = options(
        file=file,
        approvals="0.0.0.0:9600",
        approvals_plaintext_ok=True,
        approvals_url="https://Approve.example:443",
        approvals_session_key="env:KEY",
        approvals_proxy_user="X-User",
        approvals_proxy_groups="X-Groups",
        approvals_proxy_claim="X-Email",
        approvals_proxy_secret="env:PROXY",
        approval_claim="email",
        approve_unidentified=True,
        webhook_url="https://hooks.example/x?y=z",
        webhook_secret="env:HOOK",
    )
    assert found.url == "https://approve.example"
    assert found.proxy == ProxyHeaders("x-user", "x-groups", "x-email", False, SECRET.encode())
    assert found.hook == Hook("https://hooks.example/x?y=z", "generic", b"ABC" * 8)
    assert (found.session_key, found.claim_is_id, found.unidentified_ok) == (b"k" * 32, False, True)


@pytest.mark.parametrize(
    "given",
    [
        {"approvers": "/a.yaml"},
        {"approvals_proxy_user": "x-user", "approvals_proxy_secret": "env:PROXY"},
        {"approvals_proxy_groups": "x-groups"},
        {"approvals_proxy_claim": "x-email"},
        {"approvals_plaintext_ok": True},
        {"approvals_session_key": "env:KEY"},
        {"approve_unidentified": True},
    ],
)
def test_what_only_a_page_reads_is_no_setting_of_a_service_without_one(given):
    with pytest.raises(SettingsError) as caught:
        require_page(load(given, {}))
    assert sorted(str(caught.value).splitlines()) == sorted(
        f"{name}: expected approvals (where the page listens) beside it, got none" for name in given
    )
    require_page(load({**given, "approvals": "127.0.0.1:9600"}, {}))


def test_where_the_page_is_another_processs_its_address_is_enough_also_for_the_webhook():
    given = {"approvals_url": "https://approvals.example"}
    require_page(load(given, {}))
    hook = {"webhook_url": "https://hooks.example/x", "webhook_secret": "env:HOOK"}
    require_page(load({**given, **hook}, {}))
    with pytest.raises(SettingsError) as caught:
        require_page(load(hook, {}))
    assert str(caught.value) == "webhook_url: expected approvals, or approvals_url where the page is another process's"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"webhook_secret": "env:HOOK"}, "webhook_secret: expected webhook_url beside it"),
        ({"webhook_format": "slack"}, "webhook_format: expected webhook_url beside it"),
        (
            {"webhook_url": "https://hooks.example/x", "approvals_url": "https://a.example"},
            "webhook_secret: expected one where webhook_format is generic, got nothing",
        ),
    ],
)
def test_a_webhook_without_a_page_needs_what_one_with_a_page_needs(given, problem):
    with pytest.raises(SettingsError) as caught:
        require_page(load(given, {}))
    assert str(caught.value) == problem


def test_secrets_are_never_shown(tmp_path):
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    found = options(approvals="unix:/a", approvals_url="https://x", approvals_proxy_user="u",
                    approvals_proxy_secret=f"file:{file}", webhook_url="https://h", webhook_secret="env:RAW",
                    approvals_session_key="env:KEY")  # fmt: skip
    assert found.proxy is not None
    assert found.proxy.secret == SECRET.encode()
    for secret in (SECRET, "k" * 32, "r" * 24):
        assert secret not in repr(found)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "approvals: expected where to listen, got none"),
        (
            {"approvals": "127.0.0.1:1"},
            "approvals: expected approvers (a file) or approvals_proxy_user (a header), got neither",
        ),
        (
            {"approvals": "10.0.0.1:1", "approvers": "a"},
            (
                "approvals: expected unix:PATH or a loopback address, got '10.0.0.1:1': plain text beyond this machine "
                "needs --approvals-plaintext-ok, and a proxy in front of it that has TLS"
            ),
        ),
        (
            {"approvals": "127.0.0.1:1", "approvals_proxy_user": "x-user"},
            (
                "approvals_proxy_user: expected --approvals unix:PATH, or approvals_proxy_secret: whoever reaches a "
                "port can send a header"
            ),
        ),
        (
            {"approvals": "127.0.0.1:1", "approvers": "a", "approvals_proxy_groups": "x"},
            "approvals_proxy_groups: expected approvals_proxy_user beside it",
        ),
        (
            {"approvals": "unix:/a", "approvers": "a"},
            "approvals_url: expected how people reach 'unix:/a', got nothing",
        ),
        (
            {"approvals": "[::]:1", "approvers": "a", "approvals_plaintext_ok": True},
            "approvals_url: expected how people reach '[::]:1', got nothing",
        ),
        (
            {"approvals": "127.0.0.1:1", "approvers": "a", "approvals_session_key": "env:SHORT"},
            "approvals_session_key: env:SHORT: expected at least 16 bytes, got 1",
        ),
        (
            {"approvals": "127.0.0.1:1", "approvers": "a", "approvals_session_key": "env:NONE"},
            "approvals_session_key: env:NONE: expected at least 16 bytes, got 0",
        ),
        (
            {"approvals": "127.0.0.1:1", "approvers": "a", "approvals_session_key": "file:/none/at/all"},
            "approvals_session_key: /none/at/all: cannot be read: no such file or directory",
        ),
        (
            {"approvals": "127.0.0.1:1", "approvers": "a", "webhook_url": "https://h"},
            "webhook_secret: expected one where webhook_format is generic, got nothing",
        ),
        (
            {"approvals": "127.0.0.1:1", "approvers": "a", "webhook_url": "https://h", "webhook_secret": "env:PAD"},
            "webhook_secret: expected base64 after whsec_, got something else",
        ),
        (
            {"approvals": "127.0.0.1:1", "approvers": "a", "webhook_url": "https://h", "webhook_secret": "env:FEW"},
            "webhook_secret: expected at least 24 bytes, got 12",
        ),
        (
            {"approvals": "127.0.0.1:1", "approvers": "a", "webhook_secret": "env:RAW"},
            "webhook_secret: expected webhook_url beside it",
        ),
        (
            {"approvals": "127.0.0.1:1", "approvers": "a", "webhook_url": "http://h", "webhook_format": "slack"},
            "webhook_url: expected https, or http to this machine",
        ),
    ],
)
def test_what_would_leave_the_page_open_or_cannot_be_meant_is_refused(given, says, monkeypatch):
    monkeypatch.setitem(ENVIRON, "PAD", "whsec_not base64 at all")
    monkeypatch.setitem(ENVIRON, "FEW", "whsec_" + "QUJD" * 4)
    assert problems(**given) == [says]


def test_everybody_may_approve_on_this_machine_only():
    you = Approver("you")
    settings = load({"approvals": "10.0.0.1:0", "approvals_plaintext_ok": True}, {})
    with pytest.raises(SettingsError, match=r"^approvals: expected a loopback address where everybody may approve"):
        from_settings(settings, {}, everybody=you)
    assert from_settings(load({"approvals": "[::1]:0"}, {}), {}, everybody=you).everybody == you


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("approvals_url", "page.example", "expected https://HOST or http://HOST:PORT without a path"),
        ("approvals_url", "https://page.example/x", "expected https://HOST or http://HOST:PORT without a path"),
        ("approvals_proxy_secret", "hunter2", "expected file:PATH or env:NAME, got something else"),
        ("approvals_proxy_secret", "env:A B", "expected file:PATH or env:NAME, got something else"),
        ("webhook_url", "ftp://h/secret", "expected an http or https address, got something else"),
        ("webhook_url", "https://", "expected an http or https address, got something else"),
        ("webhook_format", "discord", "expected one of generic, slack, teams, got 'discord'"),
    ],
)
def test_a_value_that_is_none_is_refused_and_no_secret_is_repeated(name, text, says):
    with pytest.raises(SettingsError) as caught:
        load({name: text}, {})
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "secret'" not in str(caught.value)


def test_the_approvers_token_may_be_in_the_environment_of_a_service():
    assert load({}, {"MCP_AUTHZ_APPROVALS_TOKEN": "mcpa_x"}) == load({}, {})
