import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.astm.framing import frames_of
from connectors.astm.queries import header_of, query_of
from domain.device_profile import DeviceProfile


def asked(record: str, head: str = "H|\\^&|||X", **work):
    profile = DeviceProfile(protocol="astm", work={"style": "astm", **work})
    return query_of(f"{head}\r{record}\rL|1|N\r".encode(), profile)


@pytest.mark.parametrize(
    ("record", "ids"),
    [
        ("Q|1|^261123000017||ALL||||||||O", ["261123000017"]),
        ("Q|1|261123000017", ["261123000017"]),
        ("Q|1|PAT7^261123000017", ["261123000017"]),
        ("Q|1|^1\\^2\\^1", ["1", "2"]),
        ("Q|1|^A\\B", ["A", "B"]),
        ("Q|1|^0504B|^0504B|ALL", ["0504B"]),
        ("Q|1|^A|^B", ["A", "B"]),
        ("Q|1|^^  7", ["7"]),
        ("Q|1|^", []),
        ("Q|1", []),
    ],
)
def test_the_tubes_of_a_query(record, ids):
    query = asked(record)
    assert [tube.specimen_id for tube in query.tubes] == ids
    assert not query.wants_all
    assert not query.is_cancelled


def test_the_repeat_delimiter_is_the_devices():
    query = asked("Q|1|^1007149`1007152`1007151|||S|||||||O", head="H|`^&")
    assert query.wanted.specimen_ids == ("1007149", "1007152", "1007151")


def test_roche_names_the_tube_third_and_keeps_its_padding():
    query = asked("Q|1|^^           91101800034^3^50002^002^^S1^SC||ALL||||||||O", style="roche_astm")
    (tube,) = query.tubes
    assert tube.specimen_id == "91101800034"
    assert tube.text == "           91101800034"
    assert tube.parts[3:] == ("3", "50002", "002", "", "S1", "SC")


@pytest.mark.parametrize(
    ("style", "place"),
    [("roche_astm", "^^                      ^3^50002^002^^S1^SC"), ("sysmex", "2^1^               ^B")],
)
def test_a_position_is_never_taken_for_a_tube(style, place):
    query = asked(f"Q|1|{place}", style=style)
    (tube,) = query.tubes
    assert (tube.specimen_id, tube.text.strip()) == ("", "")
    assert tube.parts == tuple(place.split("^"))
    assert query.wanted.specimen_ids == ()
    assert not query.is_answerable


def test_sysmex_names_rack_and_position_before_the_tube():
    (tube,) = asked("Q|1|2^1^           A-12^B||20260905", style="sysmex").tubes
    assert (tube.specimen_id, tube.text) == ("A-12", "           A-12")


def test_padding_at_the_end_of_the_record_is_kept():
    (tube,) = asked("Q|1|^42   ").tubes
    assert tube.text == "42   "


def test_a_profile_may_say_where_the_tube_is():
    query = asked("Q|1|^a^b||c\\d", query_fields=("Q.4", "Q.5"))
    assert query.wanted.specimen_ids == ("c", "d")
    assert asked("Q|1|a^b", query_fields=("Q.3.2",)).wanted.specimen_ids == ("b",)
    assert asked("Q|1|a^b", query_fields=("Q.6",)).wanted.specimen_ids == ()


def test_alternatives_of_a_profile_are_tried_for_every_tube():
    query = asked("Q|1|^1007149`1007152`1007151", head="H|`^&", query_fields=("Q.3.2", "Q.3.1"))
    assert query.wanted.specimen_ids == ("1007149", "1007152", "1007151")
    assert asked("Q|1|ALL", query_fields=("Q.3.2",)).wants_all


@pytest.mark.parametrize("record", ["Q|1|ALL", "Q|1|^ALL||ALL", "Q|1|^all"])
def test_all_is_everything_that_waits(record):
    query = asked(record)
    assert query.wants_all
    assert query.wanted.specimen_ids == ()


def test_a_query_may_be_taken_back():
    query = asked("Q|1|^1068687||ALL||||||||A")
    assert query.is_cancelled
    assert query.tubes == ()


def test_taken_back_and_asked_anew_asks():
    query = asked("Q|1|^1||||||||||A\rQ|2|^2||||||||||O")
    assert not query.is_cancelled
    assert query.wanted.specimen_ids == ("2",)


def test_no_query_is_none_and_frames_do_not_matter():
    profile = DeviceProfile(protocol="astm")
    raw = b"H|\\^&\rQ|1|^7\rL|1|N\r"
    assert query_of(b"H|\\^&\rR|1|a|1\rL|1\r", profile) is None
    assert query_of(b"".join(frames_of(raw)), profile).wanted == query_of(raw, profile).wanted


def test_header_of_a_message():
    assert header_of(b"H|`^&|||XL\rP|1\r").delimiters.repeat == "`"
    assert header_of(b"P|1\r") is header_of(b"") is None


@given(st.binary(max_size=200), st.sampled_from(["astm", "roche_astm", "sysmex"]))
def test_any_q_record_is_read(raw, style):
    profile = DeviceProfile(protocol="astm", work={"style": style})
    query = query_of(b"H|\\^&\rQ|1|" + raw.replace(b"\x02", b""), profile)
    assert query is not None
    assert all(tube.specimen_id == tube.text.strip() for tube in query.tubes)
