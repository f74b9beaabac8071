"""What clients declared when they began, for calls that do not repeat it."""

from __future__ import annotations

from authz.state.clients import DAY, Openers

ONE = ("db", "principal\nalice", "agent/1.0")
OTHER = ("db", "principal\nbob", "agent/1.0")


def test_a_declaration_counts_for_a_day() -> None:
    openers = Openers()
    assert not openers.opens(ONE, 5.0)
    openers.note(ONE, True, 5.0)
    assert openers.opens(ONE, 5.0)
    assert openers.opens(ONE, 5.0 + DAY - 1)
    assert not openers.opens(ONE, 5.0 + DAY)
    assert not openers.opens(OTHER, 5.0)


def test_where_two_that_look_alike_differ_neither_is_asked() -> None:
    openers = Openers()
    openers.note(ONE, True, 0.0)
    openers.note(ONE, False, 10.0)
    openers.note(ONE, True, 20.0)
    assert not openers.opens(ONE, 30.0)
    openers.note(ONE, True, DAY)
    assert not openers.opens(ONE, DAY + 9.0)
    assert openers.opens(ONE, DAY + 10.0)


def test_memory_is_bounded_and_the_oldest_is_forgotten() -> None:
    openers = Openers(most=2)
    clients = [("db", str(at), "") for at in range(3)]
    for client in (*clients[:2], clients[0], clients[2]):
        openers.note(client, True, 0.0)
    assert [openers.opens(client, 1.0) for client in clients] == [True, False, True]
