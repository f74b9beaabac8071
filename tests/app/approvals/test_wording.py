"""How times and wishes are worded."""

import pytest
from approval_office import asked

from authz.app.approvals.wording import duration, scope
from authz.model import ApprovalRecord, ApprovalStatus


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3660, "1 h 01 min"),
        (90_000, "1 d 01 h"),
    ],
)
def test_a_duration_has_two_units(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("uses", "remember", "said"),
    [
        (1, 0.0, "a yes allows exactly this call once"),
        (3, 0.0, "a yes allows exactly this call 3 times"),
        (0, 3600.0, "a yes allows exactly this call for 1 h 00 min, any number of times"),
    ],
)
def test_what_a_yes_allows_is_said(uses, remember, said):
    request = asked(uses=uses, remember=remember)
    assert scope(ApprovalRecord("1", request, ApprovalStatus.PENDING, 0.0, 1.0)) == said
