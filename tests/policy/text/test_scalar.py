"""Plain YAML text -> one value, or a sentence that says what to write instead."""

# ruff: noqa: E501 - messages are tested whole and stand on one line

from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from authz.policy.text.scalar import Surprise, resolve

# not text to PyYAML, and never plain in a file: `=`, `<<`, and the indicators that begin no plain scalar
PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "value", "merge", "yaml")}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("0", 0),
        ("-0", 0),
        ("60", 60),
        ("-7", -7),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("1.5", 1.5),
        ("-0.25", -0.25),
        ("1.0", 1.0),
        ("1d", "1d"),
        ("10/minute", "10/minute"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("1.2.3", "1.2.3"),
        ("2024-11", "2024-11"),
        ("-x", "-x"),
        (".hidden", ".hidden"),
        ("none", "none"),
        ("yesterday", "yesterday"),
        ("no one", "no one"),
    ],
)
def test_what_everybody_reads_alike_is_read(text: str, value: object) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("yes", "'yes' is a boolean to YAML 1.1 and text to 1.2: write true, or \"yes\" for the text"),
        ("On", "'On' is a boolean to YAML 1.1 and text to 1.2: write true, or \"On\" for the text"),
        ("y", "'y' is a boolean to YAML 1.1 and text to 1.2: write true, or \"y\" for the text"),
        ("no", "'no' is a boolean to YAML 1.1 and text to 1.2: write false, or \"no\" for the text"),
        ("OFF", "'OFF' is a boolean to YAML 1.1 and text to 1.2: write false, or \"OFF\" for the text"),
        ("n", "'n' is a boolean to YAML 1.1 and text to 1.2: write false, or \"n\" for the text"),
        ("True", "'True' is not how booleans are written here: write true, or \"True\" for the text"),
        ("~", "'~' is nothing, which is allowed nowhere: write a value, or \"~\" for the text"),
        ("Null", "'Null' is nothing, which is allowed nowhere: write a value, or \"Null\" for the text"),
        ("0777", "'0777' is octal to YAML 1.1 and decimal to 1.2: write 511 or 777, or \"0777\" for the text"),
        ("-010", "'-010' is octal to YAML 1.1 and decimal to 1.2: write -8 or -10, or \"-010\" for the text"),
        ("089", "'089' is a number to some YAML and text to other YAML: write 89, or \"089\" for the text"),
        ("0o17", "'0o17' is octal to YAML 1.2 and text to 1.1: write 15, or \"0o17\" for the text"),
        ("0x1F", "'0x1F' is a hexadecimal number to YAML: write 31, or \"0x1F\" for the text"),
        ("0b101", "'0b101' is binary to YAML 1.1 and text to 1.2: write 5, or \"0b101\" for the text"),
        ("12:30:45", "'12:30:45' is a base 60 number to YAML 1.1: write 45045, or \"12:30:45\" for the text"),
        ("1:30.5", "'1:30.5' is a base 60 number to YAML 1.1: write 90.5, or \"1:30.5\" for the text"),
        ("1_000", "'1_000' is a number to YAML 1.1 and text to 1.2: write 1000, or \"1_000\" for the text"),
        ("1e3", "'1e3' is a number to some YAML and text to other YAML: write 1000, or \"1e3\" for the text"),
        (
            "1e999",
            "'1e999' is a number to some YAML and text to other YAML: write all its digits, or \"1e999\" for the text",
        ),
        (".inf", "'.inf' is no finite number: write \".inf\" for the text"),
        ("-.INF", "'-.INF' is no finite number: write \"-.INF\" for the text"),
        (".nan", "'.nan' is no finite number: write \".nan\" for the text"),
        ("2001-01-01", "'2001-01-01' is a date to YAML 1.1: write \"2001-01-01\" for the text"),
        ("+5", "'+5' is not how numbers are written here: write 5, or \"+5\" for the text"),
        (".5", "'.5' is not how numbers are written here: write 0.5, or \".5\" for the text"),
        (
            "9223372036854775808",
            "'9223372036854775808' does not fit into 64 bits: write a smaller number, or \"9223372036854775808\" for the text",
        ),
    ],
)
def test_what_is_read_in_two_ways_is_refused_with_what_to_write(text: str, sentence: str) -> None:
    with pytest.raises(Surprise) as caught:
        resolve(text)
    assert caught.value.as_value() == sentence


def test_a_number_of_a_million_digits_is_refused_without_being_computed() -> None:
    with pytest.raises(Surprise, match="has more than 40 digits") as caught:
        resolve("1" * 1_000_000)
    assert len(str(caught.value)) < 200
    with pytest.raises(Surprise) as caught:
        resolve("0x" + "f" * 1_000_000)
    assert caught.value.instead == "a shorter number"


NUMBERS = st.text(alphabet="0123456789+-._:eExXoObBaAfFtTzZ infa", max_size=12)


@given(NUMBERS | st.text(max_size=12))
@example("1_0:30")
@example("0_")
@example("._")
@example("+.Inf")
@example("2001-1-1 10:00:00")
def test_what_yaml_1_1_does_not_take_for_text_is_refused_or_is_the_same_value(text: str) -> None:
    try:
        value = resolve(text)
    except Surprise:
        return
    resolver = yaml.SafeLoader("")
    tag = resolver.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    if tag in PLAIN or text == "":
        assert value == text
    else:
        node = yaml.ScalarNode(tag, text)
        assert value == resolver.construct_object(node)
