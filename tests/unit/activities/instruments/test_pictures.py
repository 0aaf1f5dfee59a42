"""Images and histograms in messages: found by the profile's rules, known by their bytes, bounded."""

import base64
import zlib

import pytest

from activities.instruments.pictures import MAX_FILE_BYTES, MAX_FILES, pictures_in
from connectors.astm.codec import build_message
from domain.device_profile import DeviceProfile, FieldRule
from domain.errors import MessageError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
BMP = b"BM" + bytes(range(64))
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(64))
HL7 = DeviceProfile(
    protocol="hl7", specimen_fields=("OBR.3.1",), image_rows=(FieldRule(field="OBX.2", equals=("ED",)),)
)
ASTM = DeviceProfile(protocol="astm", image_rows=(FieldRule(field="M.3", pattern="HISTOGRAM"),))


def oru(*rows: str) -> bytes:
    head = "MSH|^~\\&|BC|LAB|||20261123100000||ORU^R01|42|P|2.3.1\rPID|1\rOBR|1||261123000017\r"
    return (head + "".join(f"{row}\r" for row in rows)).encode()


def ed(content: bytes, name: str = "WBC Histogram", encoding: str = "Base64") -> str:
    text = content.hex() if encoding == "Hex" else base64.b64encode(content).decode()
    return f"OBX|9|ED|15000^{name}^99MRC||^Image^BMP^{encoding}^{text}||||||F"


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(PNG, "image/png"), (BMP, "image/bmp"), (JPEG, "image/jpeg"), (b"\x00" * 70, "application/octet-stream")],
)
@pytest.mark.parametrize("encoding", ["Base64", "Hex"])
def test_an_image_in_hl7(content, media_type, encoding):
    (found,) = pictures_in(oru("OBX|1|NM|WBC^WBC||7.1|K/uL|||||F", ed(content, encoding=encoding)), HL7)
    assert (found.content, found.media_type, found.position) == (content, media_type, 0)
    assert (found.specimen_id, found.code) == ("261123000017", "15000")
    assert len(found.sha256) == 64


def test_a_compressed_histogram_in_astm_stays_compressed():
    packed = zlib.compress(bytes(range(200)))
    message = build_message(
        [
            ["H", "", "", "", "ABX"], ["P", "1"], ["O", "1", "261123000017"], ["R", "1", ("", "", "", "WBC"), "7.1"],
            ["M", "1", "HISTOGRAM", "RBC", base64.b64encode(packed).decode()], ["L", "1", "N"],
        ]
    )  # fmt: skip
    (found,) = pictures_in(message, ASTM)
    assert (found.content, found.media_type, found.specimen_id) == (packed, "application/octet-stream", "261123000017")


@pytest.mark.parametrize(
    "row",
    [
        "OBX|9|ED|1||^Image^BMP^Base64^not base64 at all, and long enough to be looked at|||||F",
        "OBX|9|ED|1||^Image^BMP^Base64^|||||F", "OBX|9|ED|1", "OBX|9|ED|1||PNG&R&20261123&R&1234.png|||||F",
        "OBX|9|ED|1||^Image^BMP^Hex^zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz|||||F",
    ],
)  # fmt: skip
def test_what_holds_no_bytes_is_no_file(row):
    assert pictures_in(oru(row), HL7) == []


def test_there_are_bounds():
    assert len(pictures_in(oru(*[ed(BMP)] * (MAX_FILES + 5)), HL7)) == MAX_FILES
    assert pictures_in(oru(ed(b"\x00" * (MAX_FILE_BYTES + 1))), HL7) == []


def test_without_rules_nothing_is_looked_at():
    assert pictures_in(b"anything", DeviceProfile(protocol="hl7", image_rows=())) == []


def test_bytes_that_are_no_message():
    with pytest.raises(MessageError):
        pictures_in(b"\x00\xff", HL7)
