"""Settings arrive in each room as what they are called there."""

from authz.app import wiring
from authz.app.settings import configuration
from authz.app.settings.settings import Settings
from authz.app.store.guarded import GuardedStore
from authz.audit import DEFAULT_REDACTED
from authz.identity import IdentitySource, SourceKind
from authz.mcp.reply import DenialStyle
from authz.model import Disclose
from authz.policy.matching import Way
from authz.state.memory import MemoryStore


def test_the_default_source_of_identity_comes_first():
    sources = tuple(IdentitySource(name, SourceKind.PEER) for name in ("a", "b", "c"))
    first = wiring.identities(Settings(identity=sources, default_identity="b"))
    assert (first.default, list(first.claims)) == ("b", ["b", "a", "c"])
    assert list(wiring.identities(Settings(identity=sources)).claims) == ["a", "b", "c"]


def test_policies_are_read_knowing_identities_headers_and_how_a_policy_is_chosen():
    context = wiring.policy_context(configuration.load({"request_headers": ["X-Tenant"], "select_by": "host"}, {}))
    assert (context.request_headers, context.select_by) == (frozenset({"x-tenant"}), (Way.HOST,))
    assert wiring.policy_context(Settings()).select_by == ()


def test_what_chooses_a_policy_is_looked_at_in_its_own_order_and_the_extension_always() -> None:
    settings = configuration.load({"select_by": ["host", "extension", "destination", "route"]}, {})
    assert wiring.policy_context(settings).select_by == (Way.ROUTE, Way.DESTINATION, Way.HOST)


def test_decisions_know_limits_style_and_challenge():
    flags = {
        "max_body_bytes": "1MiB",
        "max_body_values": "5000",
        "denial": "http-status",
        "disclose": "reason",
        "ratelimit_headers": True,
        "challenge": "Bearer",
    }
    engine = wiring.engine_settings(configuration.load(flags, {}))
    assert (engine.limits.max_bytes, engine.limits.max_values) == (1 << 20, 5000)
    assert (engine.style.denial, engine.style.disclose) == (DenialStyle.HTTP_STATUS, Disclose.REASON)
    assert engine.style.ratelimit_headers
    assert engine.challenge == "Bearer"


def test_every_form_of_denial_that_the_settings_take_is_one_that_answers_know():
    for style in DenialStyle:
        assert wiring.engine_settings(configuration.load({"denial": style.value}, {})).style.denial is style


async def test_counters_live_where_the_settings_say():
    assert isinstance(wiring.store(Settings()), MemoryStore)
    shared = wiring.store(configuration.load({"state": "valkey://db:1/0"}, {}))
    assert isinstance(shared, GuardedStore)
    assert shared.describe()["store"] == "valkey://db:1/0"
    await shared.close()


def test_names_to_redact_come_on_top_of_the_standard_ones():
    redaction = wiring.redaction(Settings(audit_values=True, audit_redact=("iban",)))
    assert redaction.values
    assert redaction.redact == (*DEFAULT_REDACTED, "iban")
