"""How numbers and failures are worded."""

import errno
import socket

import pytest

from authz.app.phrases import counted, reason


def test_numbers_go_with_their_nouns():
    assert [counted(1, "policy", "policies"), counted(2, "policy", "policies"), counted(0, "problem")] == [
        "1 policy",
        "2 policies",
        "0 problems",
    ]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            OSError(errno.EADDRINUSE, "while attempting to bind on ('::1', 1): …"),
            "address already in use",
        ),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name or service not known"),
        (OSError("Cut off"), "cut off"),
    ],
)
def test_a_failure_is_told_in_the_words_of_the_system(error, text):
    assert reason(error) == text
