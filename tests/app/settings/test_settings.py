"""One table of settings, and the three ways to give each of them."""

from pathlib import Path

import pytest

from authz.app.settings import settings as module
from authz.app.settings.configuration import load
from authz.app.settings.settings import Settings, table
from authz.app.settings.values import Address
from authz.errors import SettingsError
from authz.identity import IdentitySource, SourceKind
from authz.model import Disclose


@pytest.fixture
def config(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "settings.yaml"
        path.write_text(text)
        return path

    return write


def problems(**given) -> list[str]:
    file = given.pop("file", None)
    environ, need = given.pop("environ", {}), given.pop("need", ())
    with pytest.raises(SettingsError) as caught:
        load(given, environ, file=file, need=need)
    return str(caught.value).splitlines()


def test_without_anything_every_setting_has_its_default():
    assert load({}, {}) == Settings()


def test_a_flag_beats_a_variable_and_a_variable_beats_the_file(config):
    file = config("max_body_bytes: 2048\nsessions: 3\ndrain: 1s\n")
    environ = {"MCP_AUTHZ_MAX_BODY_BYTES": "4KiB", "MCP_AUTHZ_SESSIONS": "4"}
    settings = load({"max_body_bytes": "8KiB"}, environ, file=file)
    assert (settings.max_body_bytes, settings.sessions, settings.drain) == (8192, 4, 1.0)


# Another spelling than the default for each setting that a flag can give: as text, and as the file writes it.
SPELLINGS = {
    "policies": ("/etc/policies", "/etc/policies"),
    "baseline": ("/etc/platform", "/etc/platform"),
    "forbid": ("shadow", "[shadow]"),
    "listen": ("unix:/run/authz.sock", "[unix:/run/authz.sock]"),
    "admin": ("127.0.0.1:9000", "127.0.0.1:9000"),
    "state": ("valkeys://authz@db:7000/1", "valkeys://authz@db:7000/1"),
    "state_password": ("env:STATE_PASSWORD", "env:STATE_PASSWORD"),
    "state_timeout": ("30ms", "0.03"),
    "state_ca": ("/run/ca.pem", "/run/ca.pem"),
    "state_cert": ("/run/cert.pem", "/run/cert.pem"),
    "state_key": ("/run/key.pem", "/run/key.pem"),
    "socket_mode": ("0600", '"0600"'),
    "plaintext_ok": ("true", "true"),
    "max_body_bytes": ("1MiB", "1048576"),
    "max_body_values": ("2000", "2000"),
    "timeout": ("90ms", "0.09"),
    "drain": ("1m", "60"),
    "sessions": ("3", "3"),
    "select_by": ("host", "host"),
    "request_headers": ("X-Tenant", "[X-Tenant]"),
    "default_identity": ("corp", "corp"),
    "challenge": ("Bearer realm=x", "Bearer realm=x"),
    "denial": ("http-status", "http-status"),
    "disclose": ("code", "code"),
    "ratelimit_headers": ("true", "true"),
    "audit": ("/var/log/audit", "/var/log/audit"),
    "audit_values": ("true", "true"),
    "audit_redact": ("pin", "[pin]"),
    "audit_required": ("true", "true"),
    "audit_max_bytes": ("0", "0"),
    "audit_keep": ("9", "9"),
    "transport": ("grpcio", "grpcio"),
    "admin_token": ("env:ADMIN", "env:ADMIN"),
    "approvals": ("127.0.0.1:9001", "127.0.0.1:9001"),
    "approvals_url": ("https://approvals.example", "https://approvals.example"),
    "approvals_plaintext_ok": ("true", "true"),
    "approvals_session_key": ("env:SESSIONS", "env:SESSIONS"),
    "approvers": ("/etc/approvers.yaml", "/etc/approvers.yaml"),
    "approvals_proxy_user": ("x-user", "x-user"),
    "approvals_proxy_groups": ("x-groups", "x-groups"),
    "approvals_proxy_claim": ("x-email", "x-email"),
    "approvals_proxy_secret": ("env:PROXY", "env:PROXY"),
    "approval_claim": ("email", "email"),
    "approve_unidentified": ("true", "true"),
    "webhook_url": ("https://hooks.example/x", "https://hooks.example/x"),
    "webhook_secret": ("env:HOOK", "env:HOOK"),
    "webhook_format": ("slack", "slack"),
    "tls_cert": ("/run/tls/tls.crt", "/run/tls/tls.crt"),
    "tls_key": ("/run/tls/tls.key", "/run/tls/tls.key"),
    "tls_client_ca": ("/run/tls/ca.crt", "/run/tls/ca.crt"),
    "tls_min_version": ("1.2", '"1.2"'),
    "callers": ("spiffe://td/envoy=a,b", '["spiffe://td/envoy=a,b"]'),
    "log_level": ("debug", "debug"),
    "log_format": ("json", "json"),
}


# What must be set beside a setting.
BESIDE = {
    "state_password": "state: valkey://db\n",
    "state_ca": "state: valkeys://db\n",
    "state_cert": "state: valkeys://db\nstate_key: k\n",
    "state_key": "state: valkeys://db\nstate_cert: c\n",
    "tls_cert": "tls_key: k\ntls_client_ca: a\n",
    "tls_key": "tls_cert: c\ntls_client_ca: a\n",
    "tls_client_ca": "tls_cert: c\ntls_key: k\n",
    "callers": "tls_cert: c\ntls_key: k\ntls_client_ca: a\n",
}


@pytest.mark.parametrize("name", [name for name in table() if name != "identity"])
def test_flag_variable_and_file_give_the_same_value(name, config):
    text, yaml = SPELLINGS[name]
    setting = table()[name]
    source = "identity: [{name: corp, from: jwt_authn, claims: {email: string}}]\n" + BESIDE.get(name, "")
    given = [text] if setting.about.many else text == "true" if setting.about.kind.switch else text
    by_flag = load({name: given}, {}, file=config(source))
    assert load({}, {setting.variable: text}, file=config(source)) == by_flag
    assert load({}, {}, file=config(f"{source}{name}: {yaml}\n")) == by_flag
    assert getattr(by_flag, name) != getattr(Settings(), name)


def test_values_have_their_types(config):
    settings = load({"listen": ["[::1]:9001", "unix:/run/a b"], "disclose": "code", "admin": "none"}, {})
    assert settings.listen == (Address("::1", 9001), Address(path="/run/a b"))
    assert [str(address) for address in settings.listen] == ["[::1]:9001", "unix:/run/a b"]
    assert settings.disclose is Disclose.CODE
    assert settings.admin is None
    assert load({"admin": "localhost:0"}, {}).admin == Address("localhost", 0)


def test_a_list_in_a_variable_is_separated_by_commas():
    assert load({}, {"MCP_AUTHZ_REQUEST_HEADERS": "X-A, x-b"}).request_headers == ("x-a", "x-b")


def test_an_empty_variable_is_not_set():
    assert load({}, {"MCP_AUTHZ_SESSIONS": ""}) == Settings()


def test_the_settings_file_may_be_named_by_a_variable(config):
    assert load({}, {"MCP_AUTHZ_CONFIG": str(config("sessions: 7\n"))}).sessions == 7


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("max_body_bytes", "4 MB", "expected bytes from 1024 to 67108864 (such as 4194304 or 4MiB), got '4 MB'"),
        ("max_body_bytes", "10", "expected bytes from 1024 to 67108864 (such as 4194304 or 4MiB), got '10'"),
        ("sessions", "0", "expected a whole number from 1 to 10000, got '0'"),
        ("sessions", "1_0", "expected a whole number from 1 to 10000, got '1_0'"),
        ("sessions", "٣", "expected a whole number from 1 to 10000, got '٣'"),
        ("timeout", "1 day", "expected a duration from 0.001s to 60s (such as 150ms or 5s), got '1 day'"),
        ("socket_mode", "999", "expected an octal mode such as \"0660\", got '999'"),
        (
            "denial",
            "toolresult",
            ("expected one of tool-result, jsonrpc-error, http-status, got 'toolresult', did you mean 'tool-result'?"),
        ),
        ("state", "disk", "expected memory or an address such as valkey://HOST:6379/0, got 'disk'"),
        (
            "state",
            "redis://:hunter2@db",
            (
                "expected no password in redis://…, where a list of processes would show it: "
                "give it by state_password as file:PATH or env:NAME"
            ),
        ),
        ("state_password", "hunter2", "expected file:PATH or env:NAME, got something else"),
        ("state_timeout", "0", "expected a duration from 0.001s to 10s (such as 150ms or 5s), got '0'"),
        ("plaintext_ok", "yes", "expected true or false, got 'yes'"),
        ("request_headers", "x y", "expected a header name, got 'x y'"),
        ("listen", "9001", "expected unix:PATH, HOST:PORT or [IPv6]:PORT, got '9001'"),
        ("listen", "::1:9001", "expected unix:PATH, HOST:PORT or [IPv6]:PORT, got '::1:9001'"),
        ("listen", "127.0.0.1:65536", "expected a port up to 65535, got '127.0.0.1:65536'"),
        ("listen", "unix:" + "x" * 108, f"expected unix:PATH with a path of 1 to 107 bytes, got 'unix:{'x' * 108}'"),
        ("admin", "unix:/run/a", "expected HOST:PORT or none, got 'unix:/run/a'"),
        ("challenge", "a\r\nb", "expected printable text, got 'a\\r\\nb'"),
        ("policies", "\0", "expected a path, got '\\x00'"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_what_was_expected(name, text, problem):
    setting = table()[name]
    assert problems(**{name: text}) == [f"{setting.flag}: {problem}"]
    assert problems(environ={setting.variable: text}) == [f"{setting.variable}: {problem}"]


def test_all_problems_are_told_at_once_with_their_places(config):
    file = config("max_body_byte: 1\nsessions: ten\nplaintext_ok: 'true'\nlisten: [unix:/run/a, 7]\n")
    assert problems(file=file, environ={"MCP_AUTHZ_DRAIM": "1"}, disclose="all") == [
        f"{file}:1:1: max_body_byte: there is no such setting, did you mean 'max_body_bytes'?",
        f"{file}:2:1: sessions: expected N, got 'ten'",
        f"{file}:3:1: plaintext_ok: expected true|false, got 'true'",
        f"{file}:4:23: listen[1]: expected unix:PATH|HOST:PORT, got 7",
        "MCP_AUTHZ_DRAIM: there is no such setting, did you mean 'MCP_AUTHZ_DRAIN'?",
        "--disclose: expected one of full, reason, code, got 'all'",
    ]


def test_a_file_that_is_no_strict_yaml_is_refused_with_its_places(config):
    file = config("sessions: 1\nsessions: 2\naudit: &a no\n")
    found = problems(file=file)
    assert f"{file}:2:1: sessions: duplicate key 'sessions', first at 1:1" in found
    assert len(found) > 1


def test_of_a_value_that_can_be_read_in_two_ways_only_what_can_be_used_is_advised(config):
    file = config("socket_mode: 0660\nsessions: 010\nplaintext_ok: yes\ndrain: 1:30\nadmin: ~\nsessins: 1\n")
    assert problems(file=file) == [
        f"{file}:1:14: socket_mode: '0660' is octal to YAML 1.1 and decimal to 1.2: write \"0660\"",
        f"{file}:2:11: sessions: '010' is octal to YAML 1.1 and decimal to 1.2: write 8 or 10",
        f"{file}:3:15: plaintext_ok: 'yes' is a boolean to YAML 1.1 and text to 1.2: write true",
        f"{file}:4:8: drain: '1:30' is a base 60 number to YAML 1.1: write 90, or \"1:30\" for the text",
        f"{file}:5:8: admin: '~' is nothing, which is allowed nowhere: write \"~\"",
        f"{file}:6:1: sessins: there is no such setting, did you mean 'sessions'?",
    ]
    assert problems(file=config("socket_mode: 660\n")) == [
        f'{file}:1:1: socket_mode: expected an octal mode such as "0660", got 660'
    ]


def test_one_value_that_cannot_be_read_hides_no_other_problem_and_makes_none_up(config):
    file = config("listen: [no, 7]\nidentity: [{name: yes, from: peer}, 1]\ndefault_identity: b\n")
    assert problems(file=file, need=("listen",)) == [
        f"{file}:1:10: listen[0]: 'no' is a boolean to YAML 1.1 and text to 1.2: write \"no\"",
        (
            f"{file}:2:19: identity[0].name: 'yes' is a boolean to YAML 1.1 and text to 1.2"
            ': write true, or "yes" for the text'
        ),
        f"{file}:1:14: listen[1]: expected unix:PATH|HOST:PORT, got 7",
        f"{file}:2:37: identity[1]: expected an identity source such as {{name: corp, from: jwt_authn}}, got a number",
    ]
    assert problems(file=config("identity: ~\n"), default_identity="b")[0].startswith(f"{file}:1:11: identity: '~'")


def test_a_file_that_cannot_be_read_is_the_only_problem(config, tmp_path):
    needed = ("policies", "listen")
    assert problems(file=tmp_path / "no", need=needed, default_identity="b") == [
        f"{tmp_path}/no: cannot be read: no such file or directory"
    ]
    assert len(problems(file=config("a: ["), need=needed)) == 1


def test_a_file_of_another_shape_or_none_is_refused(config, tmp_path):
    file = config("[1]\n")
    assert problems(file=file) == [f"{file}: expected a mapping of settings"]
    assert problems(file=tmp_path / "no") == [f"{tmp_path}/no: cannot be read: no such file or directory"]


def test_variables_that_kubernetes_sets_for_a_service_of_the_same_name_are_nobodys_mistake():
    environ = {
        "MCP_AUTHZ_SERVICE_HOST": "10.0.0.1",
        "MCP_AUTHZ_SERVICE_PORT_GRPC": "9001",
        "MCP_AUTHZ_PORT": "tcp://10.0.0.1:9001",
        "MCP_AUTHZ_PORT_9001_TCP_PROTO": "tcp",
        "MCP_AUTHZ_ADMIN_SERVICE_PORT": "9464",
    }
    assert load({}, environ) == Settings()


def test_no_setting_has_a_name_that_kubernetes_uses():
    for name in table():
        assert not name.endswith(("_port", "service_host", "service_port"))


def test_what_is_needed_and_not_given_is_named_in_all_its_spellings():
    with pytest.raises(SettingsError) as caught:
        load({}, {}, need=("policies", "listen"))
    assert str(caught.value).splitlines() == [
        "--policies: expected a value (also MCP_AUTHZ_POLICIES or policies: in --config)",
        "--listen: expected a value (also MCP_AUTHZ_LISTEN or listen: in --config)",
    ]


def test_plain_text_beyond_this_machine_needs_to_be_asked_for():
    found = problems(listen=["0.0.0.0:9001", "authz.example:1", "[::1]:2"])
    assert found == [
        f"listen: expected unix:PATH or a loopback address, got '{address}': beyond this machine it needs --tls-cert, "
        "or --plaintext-ok and something else that protects the way, such as a mesh"
        for address in ("0.0.0.0:9001", "authz.example:1")
    ]
    assert load({"listen": ["0.0.0.0:9001"], "plaintext_ok": True}, {}).listen == (Address("0.0.0.0", 9001),)


def test_settings_that_contradict_each_other_are_refused(config):
    assert problems(audit_required=True, audit="none", listen=["a:1", "a:1"], plaintext_ok=True) == [
        "audit_required: expected audit to be a file or stdout, got none",
        "listen: expected each address once",
    ]
    assert problems(default_identity="corp") == [
        "default_identity: expected a name in identity, which has none, got 'corp'"
    ]


def test_settings_of_a_store_that_is_not_there_are_refused():
    given = {"state_password": "env:PW", "state_ca": "ca", "state_cert": "cert", "state_timeout": "1s"}
    tls = "expected state to be an address with TLS such as valkeys://…, got"
    assert problems(**given) == [
        "state_password: expected state to be a server, got memory",
        f"state_ca: {tls} memory",
        f"state_cert: {tls} memory",
        "state_cert: expected state_cert and state_key together, got one of them",
    ]
    assert problems(state="valkey://db", state_ca="ca") == [f"state_ca: {tls} valkey://db"]


NO_CLAIM = "or a source in identity with claims: {email: string}, got 'email'"


@pytest.mark.parametrize(
    ("identity", "problem"),
    [
        ("", f"approval_claim: expected id, {NO_CLAIM}"),
        ("identity: [{name: mesh, from: peer}]", f"approval_claim: expected id, {NO_CLAIM}"),
        ("identity: [{name: corp, from: jwt_authn}]", f"approval_claim: expected id, {NO_CLAIM}"),
        (
            "identity: [{name: corp, from: jwt_authn, claims: {email: list(string)}}]",
            f"approval_claim: expected id, {NO_CLAIM}",
        ),
        (
            "identity: [{name: corp, from: jwt_authn, claims: {mail: string, e_mail: string, tier: int}}]",
            f"approval_claim: expected id or one of e_mail, mail, {NO_CLAIM}, did you mean 'e_mail'?",
        ),
    ],
)
def test_a_claim_that_no_caller_can_have_tells_nobody_apart(config, identity, problem):
    with pytest.raises(SettingsError) as caught:
        load({"approval_claim": "email"}, {}, file=config(f"{identity}\ntimeout: 90ms\n"))
    assert str(caught.value) == problem


def test_a_claim_that_one_source_declares_is_enough(config):
    sources = "identity: [{name: mesh, from: peer}, {name: corp, from: jwt_authn, claims: {email: string}}]\n"
    assert load({"approval_claim": "email"}, {}, file=config(sources)).approval_claim == "email"


def test_where_the_sources_cannot_be_read_no_claim_is_missed(config):
    (found,) = problems(approval_claim="email", file=config("identity: 5\n"))
    assert found.endswith(": identity: expected a list of identity sources, got a number")


def test_a_decision_must_not_wait_for_the_store_longer_than_for_itself():
    assert problems(state="valkey://db", state_timeout="150ms") == [
        "state_timeout: expected less than timeout, 0.15s, got 0.15s"
    ]
    assert load({"state": "valkey://db", "state_timeout": "149ms"}, {}).state_timeout == 0.149


def test_identity_sources_are_read(config):
    file = config(
        """
        default_identity: gw
        request_headers: [X-Tenant]
        select_by: host
        identity:
          - {name: corp, from: jwt_authn, payload: jwt_payload, issuer: "https://idp.example", id: sub, groups: groups,
             client_id: azp, scopes: scope, claims: {namespaces: list(string)}}
          - {name: mesh, from: peer}
          - {name: waypoint, from: xfcc, callers: [unix, 10.0.0.7]}
          - {name: gw, from: header, id: X-Auth-User, groups: x-auth-groups, absent: empty}
        """
    )
    settings = load({}, {}, file=file)
    assert settings.identity == (
        IdentitySource(
            "corp",
            SourceKind.JWT_AUTHN,
            "jwt_payload",
            "https://idp.example",
            "sub",
            "groups",
            "azp",
            "scope",
            {"namespaces": "list(string)"},
        ),
        IdentitySource("mesh", SourceKind.PEER),
        IdentitySource("waypoint", SourceKind.XFCC, callers=frozenset({"unix", "10.0.0.7"})),
        IdentitySource("gw", SourceKind.HEADER, id="x-auth-user", groups="x-auth-groups", absent_empty=True),
    )
    assert (settings.default_identity, settings.request_headers, settings.select_by) == ("gw", ("x-tenant",), ("host",))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("corp", "identity: expected a list of identity sources, got a text"),
        ("[corp]", "identity[0]: expected an identity source such as {name: corp, from: jwt_authn}, got a text"),
        ("[{from: peer}]", "identity[0]: expected the key name"),
        ("[{name: a}]", "identity[0]: expected the key from"),
        (
            "[{name: a, from: jwt}]",
            "identity[0]: expected the key issuer: who signs the tokens, as their claim iss says it",
        ),
        (
            "[{name: a, from: jwt, issuer: i}]",
            "identity[0]: expected the key audience: who they are for, such as https://mcp.example/{server}",
        ),
        (
            "[{name: a, from: jwt, issuer: i, audience: 'https://m/'}]",
            "identity[0]: expected the key jwks: the file or URL of the issuer's keys",
        ),
        *(
            (
                f"[{{name: a, from: jwt, issuer: i, jwks: k.json, audience: {uri!r}}}]",
                (
                    "identity[0].audience: expected the server's URI (RFC 8707) such as https://mcp.example/{server}, "
                    f"got {uri!r}"
                ),
            )
            for uri in (
                "mcp",
                "api://mcp",
                "https:///mcp",
                "https://u@h/",
                "https://h/#a",
                "https://h/{x}",
                "https://h:x/",
            )
        ),
        *(
            (
                f"[{{name: a, from: jwt, issuer: i, audience: 'https://m/', jwks: {url!r}}}]",
                f"identity[0].jwks: expected a file, an https URL, or http on this machine, got {url!r}",
            )
            for url in ("http://idp.example/keys", "ftp://127.0.0.1/keys", "https:///keys", "file://etc/keys")
        ),
        (
            "[{name: a, from: jwt, issuer: i, audience: 'https://m/', jwks: k, algorithms: [HS256]}]",
            (
                "identity[0].algorithms: expected algorithms among RS256, RS384, RS512, PS256, PS384, PS512, ES256, "
                "ES384, ES512, EdDSA, Ed25519, got 'HS256', did you mean 'RS256'?"
            ),
        ),
        (
            "[{name: a, from: jwt, issuer: i, audience: 'https://m/', jwks: k, algorithms: none}]",
            (
                "identity[0].algorithms: expected algorithms among RS256, RS384, RS512, PS256, PS384, PS512, ES256, "
                "ES384, ES512, EdDSA, Ed25519, got 'none'"
            ),
        ),
        (
            "[{name: a, from: jwt, issuer: i, audience: 'https://m/', jwks: k, algorithms: []}]",
            "identity[0].algorithms: expected at least one algorithm",
        ),
        (
            "[{name: a, from: jwt, issuer: i, audience: 'https://m/', jwks: k, leeway: 1h}]",
            "identity[0].leeway: expected a duration from 0s to 300s (such as 150ms or 5s), got '1h'",
        ),
        (
            "[{name: a, from: headers, id: x}]",
            (
                "identity[0].from: expected one of jwt_authn, header, peer, xfcc, jwt, got 'headers', "
                "did you mean 'header'?"
            ),
        ),
        ("[{name: a, from: peer, id: x}]", "identity[0].id: expected one of name, from, absent where from is peer"),
        (
            "[{name: a, from: jwt_authn, group: x}]",
            (
                "identity[0].group: expected one of name, from, absent, payload, issuer, id, groups, client_id, "
                "scopes, claims where from is jwt_authn, did you mean 'groups'?"
            ),
        ),
        ("[{name: a/b, from: peer}]", "identity[0].name: expected a name without space, '/', ':' and '*', got 'a/b'"),
        ("[{name: a, from: peer, absent: none}]", "identity[0].absent: expected empty, or no such key, got 'none'"),
        ("[{name: a, from: header}]", "identity[0]: expected the key id: the header that the proxy sets and strips"),
        ("[{name: a, from: header, id: x y}]", "identity[0].id: expected a header name, got 'x y'"),
        ("[{name: a, from: jwt_authn, id: 1}]", "identity[0].id: expected text, got 1"),
        (
            "[{name: a, from: jwt_authn, claims: [b]}]",
            ("identity[0].claims: expected claims with their types such as {team: string}, got a list"),
        ),
        (
            "[{name: a, from: jwt_authn, claims: {b: list}}]",
            ("identity[0].claims.b: expected one of string, int, double, bool, list(string), got 'list'"),
        ),
        (
            "[{name: a, from: xfcc}]",
            "identity[0]: expected the key callers: the proxies whose word on their client counts",
        ),
        (
            "[{name: a, from: xfcc, callers: unix}]",
            "identity[0].callers: expected a list of callers such as [unix, 10.0.0.7, spiffe://…], got a text",
        ),
        ("[{name: a, from: peer}, {name: a, from: peer}]", "identity[1].name: the name 'a' is used twice"),
    ],
)
def test_an_identity_source_that_cannot_be_used_is_a_problem_with_its_place(text, problem, config):
    found = problems(file=config(f"identity: {text}\n"))
    assert [line.split(": ", 1)[1] for line in found] == [problem]


def test_the_table_for_the_readme_has_every_setting():
    lines = module.markdown().splitlines()
    assert len(lines) == 2 + len(table())
    assert "| `--max-body-bytes` `BYTES`<br>`MCP_AUTHZ_MAX_BODY_BYTES` | `4MiB` |" in module.markdown()
    assert all(line.count("|") - line.count("\\|") == 4 for line in lines)


def test_no_setting_takes_its_help_from_nowhere():
    for setting in table().values():
        assert setting.about.help
        assert setting.shown


def test_tokens_that_are_verified_here_are_read_as_the_profile_names_their_claims(config):
    text = "{name: a, from: jwt, issuer: i, audience: 'https://m/{server}', jwks: k.json, leeway: 5s, scopes: scp}"
    (source,) = load({}, {}, file=config(f"identity: [{text}]")).identity
    assert (source.groups, source.client_id, source.scopes) == ("groups", "client_id", "scp")
    assert (source.algorithms, source.leeway, source.audience_of("b")) == (("RS256", "ES256"), 5.0, "https://m/b")
