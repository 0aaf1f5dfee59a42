import pytest

from connectors.hl7.charsets import codec_named, declared_charset, text_of, wide_charset
from connectors.hl7.codec import parse_message


def message(charset: str, text: bytes) -> bytes:
    head = f"MSH|^~\\&|A|B|||20260901||ORU^R01|1|P|2.5.1||||||{charset}".encode()
    return head + b"\rOBX|1|ST|X||" + text + b"\r"


def shown(raw: bytes) -> str:
    return parse_message(raw).segments[1].value(5)


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("ASCII", "ascii"),
        ("8859/1", "latin-1"),
        ("8859/15", "iso8859-15"),
        ("ISO-8859-1", "latin-1"),
        ("UNICODE", "utf-8"),
        ("UNICODE UTF-8", "utf-8"),
        ("UTF8", "utf-8"),
        ("utf-8", "utf-8"),
        ("", "utf-8"),
        ("GB 18030-2000", "gb18030"),
        ("BIG-5", "big5"),
        ("KS X 1001", "euc_kr"),
        ("ISO IR14", "shift_jis"),
        ("GBK", "gb18030"),
        ("GB2312", "gb18030"),
        ("8859-1", "latin-1"),
        ("iso8859-1", "latin-1"),
        ("ISO 8859-15", "iso8859-15"),
        ("BIG5", "big5"),
    ],
)
def test_declared_sets(declared, codec):
    text = {"ascii": "abc", "gb18030": "中文", "big5": "中文", "euc_kr": "한글", "shift_jis": "カ|ナ".replace("|", "")}
    expected = text.get(codec, "37 µmol")
    raw = message(declared, expected.encode(codec))
    assert shown(raw) == expected
    assert not parse_message(raw).charset_fallback


def test_a_second_byte_that_looks_like_a_delimiter_is_none():
    raw = message("ISO IR14", "ソ表".encode("shift_jis"))  # both end in 0x5C
    assert shown(raw) == "ソ表"


def test_sets_reached_by_escape_sequences():
    raw = message("~ISO IR87", "Hb 高い".encode("iso2022_jp"))
    assert declared_charset(raw) == "iso2022_jp_1"
    assert shown(raw) == "Hb 高い"
    assert declared_charset(message("~ISO IR87", b"low")) == ""


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_wide_characters(codec):
    raw = message("UNICODE UTF-16", "37 µmol".encode()).decode().encode(codec)
    assert wide_charset(raw)
    assert shown(raw) == "37 µmol"


def test_what_does_not_fit_is_read_anyway_and_flagged():
    for declared in ("ASCII", "UNICODE UTF-8"):
        assert text_of(message(declared, b"37 \xb5mol"))[1]
        assert shown(message(declared, b"37 \xb5mol")) == "37 µmol"
    assert codec_named("CNS 11643-1992") == codec_named("KLINGON") == ""
