"""Links to reports: what opens, what does not, and for how long."""

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.report_links import LINK_LIFE, ReportLinkError, ReportLinks

REPORT = UUID("0192d1a0-0000-7000-8000-000000000001")
KEY = b"a key of thirty-two bytes or more"


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 10, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def links(clock: Clock) -> ReportLinks:
    return ReportLinks(KEY, "https://lab.example", now=clock)


def test_a_link_opens_its_report_until_its_end(links: ReportLinks, clock: Clock):
    url = links.url(REPORT)
    token = url.removeprefix("https://lab.example/r/")
    assert len(token) == 48
    clock.now += LINK_LIFE - timedelta(seconds=1)
    assert links.report_of(token) == REPORT
    clock.now += timedelta(seconds=1)
    with pytest.raises(ReportLinkError) as caught:
        links.report_of(token)
    assert caught.value.code == "REPORT_LINK_EXPIRED"


def test_a_link_of_another_key_does_not_open(links: ReportLinks, clock: Clock):
    with pytest.raises(ReportLinkError):
        ReportLinks(KEY[::-1], "https://lab.example", now=clock).report_of(links.token(REPORT))


def test_no_bit_of_a_link_can_be_changed(links: ReportLinks):
    raw = base64.urlsafe_b64decode(links.token(REPORT))
    for place in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(ReportLinkError):
            links.report_of(base64.urlsafe_b64encode(bytes(changed)).decode())


@given(st.text(max_size=80))
def test_anything_else_is_refused_calmly(text: str):
    with pytest.raises(ReportLinkError):
        ReportLinks(KEY, "https://lab.example").report_of(text)


def test_the_key_is_not_shown(links: ReportLinks):
    assert "thirty-two" not in repr(links)
