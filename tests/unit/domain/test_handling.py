import re

from domain.handling import REJECTION_REASONS


def test_every_rejection_reason_can_be_sent_as_a_code():
    assert all(re.fullmatch(r"[a-z_]{3,40}", code) for code in REJECTION_REASONS)
    assert "other" in REJECTION_REASONS
    assert len(set(REJECTION_REASONS.values())) == len(REJECTION_REASONS)
