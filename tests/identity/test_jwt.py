from __future__ import annotations

import base64
import hmac
import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey
from tokens import AUDIENCE, EC, ED, ISSUER, NOW, RSA, SOURCE, claims, key_set, part, token

from authz.errors import TokenBusy, TokenRefused
from authz.identity.jwt import MAX_TOKEN, Verifier
from authz.identity.keys import Keys
from authz.identity.source import ALGORITHMS
from authz.model import Reason

MALFORMED = "the Authorization header is not one signed JWT that can be read without doubt"
ALGORITHM = "the token is not signed by an algorithm that is accepted here"
CRITICAL = "the token has extensions that must be understood and are not"
TYPE = "the token is no access token"
KEY = "the token is signed with a key that its issuer does not publish"
SIGNATURE = "the signature of the token is not its issuer's"
OTHER_ISSUER = "the token is of another issuer"
OTHER_AUDIENCE = "the token is for another audience"
EXPIRED = "the token has expired"
NOT_YET = "the token is not valid yet"
TIME = "the token does not say when it expires, or has a time that is none"
SUBJECT = "the token does not say who it is of"
SENTENCES = {MALFORMED, ALGORITHM, CRITICAL, TYPE, KEY, SIGNATURE, OTHER_ISSUER, OTHER_AUDIENCE, EXPIRED, NOT_YET}
SENTENCES |= {TIME, SUBJECT}

STRANGER = RSAKey.generate_key(2048, {"kid": "rsa"})  # whose key has the name of the issuer's
OTHER_EC = ECKey.generate_key("P-256", {"kid": "ec"})


def by_public_key(algorithm: str, digest: str) -> str:
    """A token that is signed by what everybody knows of the issuer's key, taken for a secret."""
    signed = f"{part({'alg': algorithm, 'kid': 'rsa'})}.{part(claims())}"
    return f"{signed}.{part(hmac.digest(RSA.as_pem(private=False), signed.encode(), digest))}"


class Timer:
    """CPU that grows by `step` at each look."""

    def __init__(self, step: float = 0.0) -> None:
        self.step = step
        self.now = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


class Desk:
    """A verifier with what a test wants to see of it."""

    def __init__(self, *keys: RSAKey | ECKey, step: float = 0.0, **source: Any) -> None:
        self.missed = 0
        self.keys = Keys(self._miss)
        if keys:
            self.keys.replace(key_set(*keys))
        self.verifier = Verifier(replace(SOURCE, **source), self.keys, Timer(step))

    def _miss(self) -> None:
        self.missed += 1

    def ask(self, text: str, audience: str = AUDIENCE, sender: str = "a", now: float = NOW) -> Any:
        return self.verifier.verify(text, audience, sender, now)

    def why(self, text: str, audience: str = AUDIENCE, sender: str = "a", now: float = NOW) -> str:
        with pytest.raises(TokenRefused) as caught:
            self.ask(text, audience, sender, now)
        assert caught.value.reason is Reason.UNAUTHENTICATED
        return str(caught.value)


@pytest.fixture
def desk() -> Desk:
    return Desk(RSA, EC)


def test_a_good_token_gives_its_claims_and_is_known_from_then_on(desk: Desk) -> None:
    text = token(scope="read")
    assert desk.ask(text) == claims(scope="read")
    assert desk.ask(text) == claims(scope="read")
    assert (desk.verifier.verified, desk.verifier.known, desk.verifier.refused) == (1, 1, {})


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_each_algorithm_of_the_list_is_verified_and_no_other(algorithm: str) -> None:
    kind, curve = ALGORITHMS[algorithm]
    key: Any = RSA if kind == "RSA" else ED if kind == "OKP" else ECKey.generate_key(curve, {"kid": "c"})
    text = token(key=key, head={"alg": algorithm})
    assert Desk(key, algorithms=(algorithm,)).ask(text) == claims()
    others = tuple(one for one in ALGORITHMS if one != algorithm)
    assert Desk(key, algorithms=others).why(text) == ALGORITHM
    assert Desk(key, algorithms=(algorithm,)).why(text[:-8] + "AAAAAAAA") == SIGNATURE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        # RFC 8725, 2.1: no signature, and one that anybody can make with what is public
        (f"{part({'alg': 'none'})}.{part(claims())}.", MALFORMED),
        (f"{part({'alg': 'none'})}.{part(claims())}.AAAA", ALGORITHM),
        (f"{part({'alg': 'nOnE', 'kid': 'rsa'})}.{part(claims())}.AAAA", ALGORITHM),
        (by_public_key("HS256", "sha256"), ALGORITHM),
        (by_public_key("RS256", "sha256"), SIGNATURE),
        (by_public_key("HS512", "sha512"), ALGORITHM),
        (token(head={"alg": ["RS256"]}), ALGORITHM),
        (token(head={"alg": {"RS256": 1}}), ALGORITHM),
        (token(head={"alg": "RS256 "}), ALGORITHM),
        (token(head={"alg": "ES512"}, key=RSA), ALGORITHM),
        # a header that brings its own key, by whatever name
        (token(key=STRANGER), SIGNATURE),
        (token(key=STRANGER, head={"jwk": STRANGER.as_dict(private=False)}), SIGNATURE),
        (token(key=STRANGER, head={"jku": "https://evil.example/jwks"}), SIGNATURE),
        (token(key=STRANGER, head={"x5u": "https://evil.example/x5"}), SIGNATURE),
        (token(key=STRANGER, head={"x5c": ["MIIB"]}), SIGNATURE),
        (token(key=OTHER_EC), SIGNATURE),
        (token(key=EC, head={"kid": "rsa"}), KEY),
        (token(head={"kid": "ec"}), KEY),
        (token(head={"kid": "../../etc/passwd"}), KEY),
        (token(head={"kid": ""}), KEY),
        (token(head=b'{"alg":"RS256","kid":null}'), KEY),
        (token(head={"kid": 1}), KEY),
        (token(head={"kid": ["rsa"]}), KEY),
        # what must be understood and is not
        (token(head={"crit": ["exp"], "exp": 1}), CRITICAL),
        (token(head={"crit": []}), CRITICAL),
        (token(head={"b64": False}), CRITICAL),
        (token(head={"b64": True, "crit": ["b64"]}), CRITICAL),
        (token(head={"typ": "logout+jwt"}), TYPE),
        (token(head={"typ": "dpop+jwt"}), TYPE),
        (token(head={"typ": "secevent+jwt"}), TYPE),
        (token(head={"typ": 1}), TYPE),
        # whose, for whom
        (token(iss="https://evil.example"), OTHER_ISSUER),
        (token(iss=f"{ISSUER}/"), OTHER_ISSUER),
        (token(iss=None), OTHER_ISSUER),
        (token(iss=[ISSUER]), OTHER_ISSUER),
        (token(aud="https://mcp.example/other"), OTHER_AUDIENCE),
        (token(aud=f"{AUDIENCE}/"), OTHER_AUDIENCE),
        (token(aud=AUDIENCE.upper()), OTHER_AUDIENCE),
        (token(aud=None), OTHER_AUDIENCE),
        (token(aud=[]), OTHER_AUDIENCE),
        (token(aud=[AUDIENCE, 1]), OTHER_AUDIENCE),
        (token(aud={AUDIENCE: 1}), OTHER_AUDIENCE),
        (token(aud="*"), OTHER_AUDIENCE),
        (token(sub=None), SUBJECT),
        (token(sub=""), SUBJECT),
        (token(sub=7), SUBJECT),
        (token(sub=["alice"]), SUBJECT),
        # when
        (token(exp=NOW - 30), EXPIRED),
        (token(exp=0), EXPIRED),
        (token(exp=-1), EXPIRED),
        (token(exp=None), TIME),
        (token(claims() | {"exp": None}), TIME),
        (token(exp=str(NOW + 300)), TIME),
        (token(exp=True), TIME),
        (token(exp=2**53 + 1), TIME),
        (token(exp=10**400), TIME),
        (token(exp=[NOW + 300]), TIME),
        (token(nbf=NOW + 31), NOT_YET),
        (token(nbf="0"), TIME),
        (token(claims() | {"nbf": None}), TIME),
        (token(nbf=False), TIME),
        # what can be read in two ways, or not at all
        (token(b'{"iss":"https://evil.example","iss":"' + ISSUER.encode() + b'"}'), MALFORMED),
        (token(b'{"exp":1e999}'), OTHER_ISSUER),
        (token(b'{"exp":NaN}'), MALFORMED),
        (token(b'["list"]'), MALFORMED),
        (token(b"text"), MALFORMED),
        (token(b"\xff\xfe"), MALFORMED),
        (token(b"[" * 5000), MALFORMED),
        (token(head=b'{"alg":"RS256","alg":"none"}'), MALFORMED),
        (token(head=b"[]"), MALFORMED),
        (token(head=b"{"), MALFORMED),
        (token(token().encode()), MALFORMED),  # a token in a token
        ("a.b.c.d.e", MALFORMED),  # an encrypted one
        ("", MALFORMED),
        ("a", MALFORMED),
        ("..", MALFORMED),
        (f"{token()}.", MALFORMED),
        (f".{token()}", MALFORMED),
        (f"{token()}=", MALFORMED),
        (f"{token()}\n", MALFORMED),
        (f" {token()}", MALFORMED),
        (f"{token()},Bearer {token()}", MALFORMED),
        (token().replace(".", ".+", 1), MALFORMED),
        (f"{token()}é", MALFORMED),
        (f"{token()}" + "A" * MAX_TOKEN, MALFORMED),
        (token(pad="x" * MAX_TOKEN), MALFORMED),
    ],
)
def test_what_is_not_in_order_is_refused_with_its_reason(desk: Desk, text: str, why: str) -> None:
    assert desk.why(text) == why
    assert desk.why(text) == why, "remembered or not"
    assert desk.verifier.refused.total() == 2


def test_a_refusal_says_nothing_of_the_token(desk: Desk) -> None:
    with pytest.raises(TokenRefused) as caught:
        desk.ask(token(iss='"evil", error="none'))
    assert (str(caught.value), caught.value.cause) == (OTHER_ISSUER, "issuer")


@pytest.mark.parametrize(
    "head",
    [
        {"typ": "JWT"},
        {"typ": "application/at+JWT"},
        {"kid": None},
        {"x5t": "abc", "nonce": "n", "ver": 1},
        {"x5c": ["M" * 2000]},
        {"jku": "https://idp.example/jwks", "cty": "JWT"},
    ],
)
def test_what_is_not_understood_and_not_critical_is_ignored(head: dict[str, Any]) -> None:
    assert Desk(RSA).ask(token(head=head)) == claims()


def test_a_token_that_names_no_key_is_not_tried_with_several(desk: Desk) -> None:
    other = RSAKey.generate_key(2048, {"kid": "second"})
    assert Desk(RSA, other).why(token(head={"kid": None})) == KEY
    assert desk.ask(token(head={"kid": None})) == claims()


def test_an_audience_may_be_one_of_several(desk: Desk) -> None:
    assert desk.ask(token(aud=["https://x.example", AUDIENCE]))["sub"] == "alice"


def test_a_known_token_is_refused_by_another_server(desk: Desk) -> None:
    text = token()
    desk.ask(text)
    assert desk.why(text, "https://mcp.example/other") == OTHER_AUDIENCE
    assert desk.ask(text) == claims()


def test_times_count_to_the_leeway_and_no_further(desk: Desk) -> None:
    text = token(exp=NOW, nbf=NOW)
    assert desk.why(text, now=NOW + 30) == EXPIRED
    assert desk.why(text, now=NOW - 30.1) == NOT_YET
    assert desk.ask(text, now=NOW + 29.9) == desk.ask(text, now=NOW - 30)
    assert desk.why(text, now=NOW + 30) == EXPIRED, "a known token too"
    assert desk.why(text, now=NOW - 31) == NOT_YET, "and where the clock was set back"
    assert desk.ask(text, now=NOW) == claims(exp=NOW, nbf=NOW)


@pytest.mark.parametrize("exp", [NOW + 0.5, 2**53, 1e15])
def test_fractions_and_far_futures_are_times(desk: Desk, exp: float) -> None:
    assert desk.ask(token(exp=exp))["exp"] == exp


# ------------------------------------------------------------------------------------------------------------- keys


def test_without_keys_nobody_can_tell_and_keys_are_asked_for() -> None:
    desk = Desk()
    with pytest.raises(TokenBusy, match=r"^no keys of the issuer are known yet$") as caught:
        desk.ask(token())
    assert (caught.value.reason, desk.missed, desk.verifier.busy) == (Reason.BUSY, 1, 1)
    assert desk.why(token(exp=1)) == EXPIRED, "for what is wrong by all keys nobody has to wait"


def test_an_unknown_key_is_asked_for_and_counts_once_it_is_published(desk: Desk) -> None:
    new = RSAKey.generate_key(2048, {"kid": "new"})
    text = token(key=new)
    assert (desk.why(text), desk.why(text), desk.missed) == (KEY, KEY, 2)
    desk.keys.replace(key_set(RSA, new))
    assert desk.ask(text) == claims()


def test_a_key_that_is_withdrawn_takes_known_tokens_with_it(desk: Desk) -> None:
    text, other = token(), token(key=EC)
    desk.ask(text)
    desk.ask(other)
    desk.keys.replace(key_set(EC))
    assert desk.why(text) == KEY
    assert desk.ask(other) == claims()


def test_what_was_forged_may_be_good_by_another_key_of_the_same_name(desk: Desk) -> None:
    text = token(key=STRANGER)
    assert desk.why(text) == SIGNATURE
    desk.keys.replace(key_set(STRANGER))
    assert desk.ask(text) == claims()
    assert desk.why(token()) == SIGNATURE


# ----------------------------------------------------------------------------------------------------------- floods


def forged(number: int) -> str:
    return token(key=STRANGER, jti=str(number))


def test_a_sender_of_forged_tokens_uses_up_its_time_and_nobody_elses() -> None:
    desk = Desk(RSA, step=0.006)
    known = token()
    desk.ask(known, sender="evil")
    for number in range(4):
        assert desk.why(forged(number), sender="evil") == SIGNATURE
    with pytest.raises(TokenBusy, match=r"^too many forged tokens came in this second$"):
        desk.ask(forged(9), sender="evil")
    with pytest.raises(TokenBusy):
        desk.ask(token(jti="good"), sender="evil")
    assert desk.ask(known, sender="evil") == claims(), "known tokens are never too many"
    assert desk.ask(token(jti="good"), sender="good") == claims(jti="good")
    assert desk.why(forged(10), sender="evil", now=NOW + 1.1) == SIGNATURE, "a second later"


def test_many_senders_of_forged_tokens_leave_room_for_those_who_sent_none() -> None:
    desk = Desk(RSA, step=0.006)
    for number in range(10):
        desk.why(forged(number), sender=f"evil{number}")
    with pytest.raises(TokenBusy):
        desk.ask(forged(10), sender="evil0")
    assert desk.ask(token(), sender="good") == claims()
    for number in range(10, 17):
        desk.why(forged(number), sender=f"evil{number}")
    with pytest.raises(TokenBusy):
        desk.ask(token(jti="2"), sender="good")
    assert desk.ask(token(), sender="evil0") == claims(), "what is known needs no time"


def test_who_forged_lately_waits_for_those_who_did_not() -> None:
    desk = Desk(RSA, step=0.006)
    desk.why(forged(0), sender="evil")
    for second in range(1, 6):
        for number in range(9):
            desk.why(forged(100 * second + number), sender=f"s{second}.{number}", now=NOW + 10 * second)
        with pytest.raises(TokenBusy):
            desk.ask(token(jti=f"e{second}"), sender="evil", now=NOW + 10 * second)
        good = token(jti=str(second))
        assert desk.ask(good, sender="good", now=NOW + 10 * second) == claims(jti=str(second))
    later = NOW + 200
    for number in range(9):
        desk.why(forged(1000 + number), sender=f"l{number}", now=later)
    assert desk.ask(token(jti="late"), sender="evil", now=later) == claims(jti="late"), "nobody remembers"


@pytest.mark.interpreted
def test_who_forged_is_remembered_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authz.identity.forgers._SENDERS", 5)
    desk = Desk(RSA, step=0.001)
    for number in range(40):
        desk.why(forged(number), sender=f"s{number}", now=NOW + 2 * (number // 10))
    forgers = desk.verifier._forgers
    assert (len(forgers._lately), len(forgers._before)) == (5, 5)


def test_a_clock_that_is_set_back_opens_a_new_second() -> None:
    desk = Desk(RSA, step=0.05)
    desk.why(forged(1))
    with pytest.raises(TokenBusy):
        desk.ask(forged(2))
    assert desk.why(forged(2), now=NOW - 3600) == SIGNATURE


def test_what_is_refused_without_a_signature_takes_nothing_from_its_sender() -> None:
    desk = Desk(RSA, step=1.0)
    for number in range(50):
        for text in (token(exp=number), token(head={"kid": f"k{number}"}), f"{part({'alg': 'none'})}.{number}.x"):
            assert desk.why(text) in (EXPIRED, KEY, ALGORITHM)
    assert desk.ask(token()) == claims()


def test_one_forged_token_over_and_over_costs_one_signature() -> None:
    desk = Desk(RSA, step=1.0)
    text = forged(1)
    assert desk.why(text) == SIGNATURE
    assert [desk.why(text, sender=f"s{number}") for number in range(99)] == [SIGNATURE] * 99
    assert desk.verifier.refused == {"signature": 100}


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authz.identity.jwt._KNOWN_BYTES", 3_000)
    monkeypatch.setattr("authz.identity.jwt._FORGED", 3)
    desk = Desk(RSA)
    good = [token(jti=str(number)) for number in range(8)]
    for number, text in enumerate(good):
        desk.ask(text)
        desk.why(forged(number))
    known = desk.verifier._known
    assert 1 < len(known) < 8
    assert known.currsize <= 3_000
    assert len(desk.verifier._forged) == 3
    assert desk.ask(good[0]) == claims(jti="0"), "what was dropped is verified anew"


# ------------------------------------------------------------------------------------------------------- properties

GOOD = token()
ALPHABET = string.ascii_letters + string.digits + "-_=.+/ ,\t"


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(GOOD) - 1), other=st.sampled_from(ALPHABET))
def test_a_token_that_was_changed_anywhere_is_refused(at: int, other: str) -> None:
    changed = GOOD[:at] + other + GOOD[at + 1 :]
    desk = Desk(RSA)
    if changed == GOOD:
        assert desk.ask(changed) == claims()
    else:
        assert desk.why(changed) in SENTENCES


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(GOOD)), junk=st.text(ALPHABET + "!\x00\r\né", min_size=1, max_size=4))
def test_nothing_can_be_put_into_a_token(at: int, junk: str) -> None:
    assert Desk(RSA).why(GOOD[:at] + junk + GOOD[at:]) in SENTENCES


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: f"{part(raw)}.{part(raw)}.{part(raw)}"))
def test_whatever_comes_is_refused_and_never_fails(text: str) -> None:
    assert Desk(RSA, EC).why(text) in SENTENCES


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "iat"]), JSON, max_size=4))
def test_only_claims_of_their_types_count_whatever_the_issuer_signs(odd: dict[str, Any]) -> None:
    content = {**claims(), **odd}
    text = token(content)
    audience = content["aud"] if isinstance(content["aud"], list) else [content["aud"]]
    good = (
        content["iss"] == ISSUER
        and isinstance(content["sub"], str)
        and content["sub"] != ""
        and all(isinstance(one, str) for one in audience)
        and AUDIENCE in audience
        and all(_is_time(content[name]) for name in ("exp", "nbf") if name in content)
        and content["exp"] > NOW - 30
        and content.get("nbf", 0) <= NOW + 30
    )
    desk = Desk(RSA)
    if good:
        assert desk.ask(text)["sub"] == content["sub"]
    else:
        assert desk.why(text) in SENTENCES


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -(2**53) <= value <= 2**53


def test_no_other_spelling_of_a_signature_is_another_token(desk: Desk) -> None:
    head, payload, signature = token(key=EC).split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    others = [signature[:-1] + last for last in string.ascii_letters + string.digits + "-_" if last != signature[-1]]
    same = [one for one in others if base64.urlsafe_b64decode(one + "==") == raw]
    assert len(same) == 15
    assert {desk.why(f"{head}.{payload}.{one}") for one in same} == {SIGNATURE}
