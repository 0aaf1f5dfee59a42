from connectors.hl7.codec import parse_message
from connectors.hl7.envelope import Heading, envelope_for, write_message
from domain.device_profile import DeviceProfile
from tests.unit.connectors.hl7.work import MOMENT, lines, profile

HEAD = "MSH|^~\\&|ICU^GeneXpert^1.0|X|LIS|HOST|20260901||QBP^Z03|7|D|2.5||||||8859/1"


def header(text: str = HEAD):
    return parse_message(text.encode()).header


def test_sender_and_receiver_change_places():
    raw = write_message(envelope_for(profile("cepheid"), header()), Heading(("RSP", "Z02"), "9"), MOMENT, [])
    assert lines(raw) == ["MSH|^~\\&|LIS|HOST|ICU^GeneXpert^1.0|X|20260901101500||RSP^Z02|9|D|2.5||||||8859/1"]


def test_without_a_header_it_is_hl7_2_5_1_in_utf_8():
    (head,) = lines(write_message(envelope_for(profile("law")), Heading(("OML", "O33"), "9"), MOMENT, []))
    assert head == "MSH|^~\\&|LABSETU||||20260901101500||OML^O33|9|P|2.5.1||||||UNICODE UTF-8"


def test_the_device_s_own_delimiters_are_used_when_it_declares_all():
    odd = parse_message(b"MSH$*%!@$A$B$$$$$X$1$P$2.4").header
    assert write_message(envelope_for(profile("law"), odd), Heading(("A", "B"), "9"), MOMENT, []).startswith(
        b"MSH$*%!@$"
    )
    short = parse_message(b"MSH|^|A|B|||||X|1|P|2.4").header
    assert write_message(envelope_for(profile("law"), short), Heading(("A",), "9"), MOMENT, []).startswith(
        b"MSH|^~\\&|"
    )


def test_characters_the_device_does_not_have_do_not_stop_the_message():
    body = [("PID", ["1", "", "", "", "आशा Müller"])]
    latin = write_message(envelope_for(profile("law"), header()), Heading(("A",), "9"), MOMENT, body)
    assert latin.endswith(b"??? M\xfcller\r")
    wide = DeviceProfile(protocol="hl7", charset="utf-8")
    assert "आशा Müller".encode() in write_message(envelope_for(wide, header()), Heading(("A",), "9"), MOMENT, body)


def test_time_is_that_of_the_device():
    utc = DeviceProfile(protocol="hl7", utc_offset_minutes=0)
    assert envelope_for(utc).time(MOMENT, has_zone=True) == "20260901044500+0000"
