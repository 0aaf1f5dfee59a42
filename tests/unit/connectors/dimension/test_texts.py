"""Blocks of the Dimension protocol."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.blocks import Arrived, BlockLink, Broken
from connectors.dimension.texts import (
    checksum,
    fields_of,
    framed,
    no_request,
    result_answer,
    rules,
    sample_request,
)
from domain.device_orders import DeviceWork, WorkAction, WorkPriority
from domain.errors import FrameError, MessageError


def test_the_checksum_is_the_sum_after_stx():
    assert checksum(b"N\x1c") == b"6A"
    assert no_request() == b"\x02N\x1c6A\x03"
    assert checksum(b"\xff\xff\x02") == b"00"


def test_results_are_taken_or_refused():
    assert result_answer(is_accepted=True) == b"\x02M\x1cA\x1c\x1cE2\x03"
    assert result_answer(is_accepted=False) == b"\x02M\x1cR\x1c1\x1c24\x03"


def test_a_block_is_opened_when_its_sum_is_right():
    opened = rules().open
    assert opened(b"N\x1c6A", 3, b"") == b"N\x1c"
    assert opened(b"N\x1c6a", 3, b"") == b"N\x1c"
    with pytest.raises(FrameError) as caught:
        opened(b"N\x1c6B", 3, b"")
    assert caught.value.code == "DIMENSION_CHECKSUM"
    assert rules(check=False).open(b"N\x1c6B", 3, b"") == b"N\x1c"
    with pytest.raises(FrameError):
        opened(b"6A", 3, b"")


def test_fields_are_stripped_and_the_last_mark_ends_them():
    assert fields_of("R\x1c 1 \x1c\x1c") == ["R", "1", ""]
    assert fields_of("") == [""]


def test_work_on_a_tube():
    work = DeviceWork(
        specimen_id="261123000017", codes=("glu", "CREA"), specimen="urine", priority=WorkPriority.STAT,
        patient_no="P\x1c7",
    )  # fmt: skip
    fields = fields_of(sample_request(work)[1:-3].decode())
    assert fields == [
        "D", "0", "0", "A", "P7", "261123000017", "3", "", "1", "1", "**", "1", "2", "GLU", "CREA",
    ]  # fmt: skip
    gone = DeviceWork(specimen_id="261123000017", codes=("GLU",), action=WorkAction.CANCEL)
    assert fields_of(sample_request(gone)[1:-3].decode())[3] == "D"


@pytest.mark.parametrize("codes", [(), ("",), ("GL\x1cU",), ("ग्लू",)], ids=["none", "empty", "mark", "letters"])
def test_work_that_cannot_be_sent(codes: tuple[str, ...]):
    with pytest.raises(MessageError) as caught:
        sample_request(DeviceWork(specimen_id="261123000017", codes=codes))
    assert caught.value.code == "DIMENSION_WORK"


def test_a_block_is_framed():
    assert framed("P", "1") == b"\x02P\x1c1\x1c" + checksum(b"P\x1c1\x1c") + b"\x03"


@pytest.mark.parametrize("check", [False, True])
@given(places=st.lists(st.integers(0, 80), max_size=15), noise=st.binary(max_size=20))
def test_two_machines_whose_bytes_are_cut_anywhere(check: bool, places: list[int], noise: bytes):
    messages = [framed("P", "1"), framed("R", "0", "", "26", "x" * 20), framed("M", "A"), framed("P", "1")]
    stream = noise.replace(b"\x02", b"") + b"\x06".join(messages)
    ends = sorted({min(place, len(stream)) for place in places} | {len(stream)})
    link = BlockLink(rules(check=check), max_message_bytes=1000)
    found = []
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        events = link.feed(stream[start:end])
        while events:
            event = events.pop(0)
            assert not isinstance(event, Broken)
            if isinstance(event, Arrived):
                found.append(event.message)
                events += link.settle(is_durable=True)
    assert found == [message[1:-3] for message in messages]
