"""`-k` chooses cases as pytest's does."""

from __future__ import annotations

import pytest

from authz.app.testing import choosing
from authz.app.testing.choosing import SelectionError

IDS = ["bank_test.yaml::Reads are allowed", "bank_test.yaml::a limit [two]", "shop_test.yaml::a limit"]


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("limit", [1, 2]),
        ("LIMIT and bank", [1]),
        ("not limit", [0]),
        ("reads or shop", [0, 2]),
        ("not (reads or shop)", [1]),
        ("limit and not bank or reads", [0, 2]),
        ('"are allowed"', [0]),
        ("'a limit' and bank_test.yaml::a", [1]),
        ("'a limit'and shop", [2]),
        ("[two]", [1]),
        ("not not shop", [2]),
        ('"and"', []),
    ],
)
def test_words_are_looked_for_and_combined(expression, chosen):
    takes = choosing.parse(expression)
    assert [at for at, id_ in enumerate(IDS) if takes(id_)] == chosen


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("are allowed", "-k: expected and, or, or the end, got 'allowed': quote text with spaces"),
        ("a and", "-k: expected a word, got the end in 'a and'"),
        ("or a", "-k: expected a word, got 'or' in 'or a'"),
        ("(a or b", "-k: a parenthesis is not closed in '(a or b'"),
        ("a)", "-k: expected and, or, or the end, got ')': quote text with spaces"),
        ('"a', "-k: a quote is not closed in '\"a'"),
    ],
)
def test_what_cannot_be_read_is_refused(expression, said):
    with pytest.raises(SelectionError) as caught:
        choosing.parse(expression)
    assert str(caught.value) == said
