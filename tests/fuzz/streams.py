"""Hostile byte streams from a seed: good messages in several dialects, and everything that can happen to them."""

import random
from collections.abc import Callable
from functools import cache

from connectors.analyzers.simulated_values import chemistry_values, haematology_values
from connectors.analyzers.simulator import ChemistryAnalyzerSimulator, HaematologyAnalyzerSimulator
from connectors.astm.framing import ACK, ENQ, EOT, NAK, encode_frame
from connectors.au.texts import framed as au_framed
from connectors.dimension.texts import framed as dimension_framed
from connectors.hl7.framing import encode_block
from domain.device_profile import AuLayout

_TOKENS = (
    b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x15", b"\x17", b"\x0b", b"\x1c", b"\x1c\r", b"\r", b"\n", b"\r\n",
    b"\x00", b"\xff", b"|", b"^", b"~", b"\\", b"&", b"`", b"@", b"\\E\\", b"\\X41", b"\\.br\\", b"&X41&", b"&F", b'""',
    b"MSH|^~\\&|", b"MSH", b"H|\\^&|", b"H|`^&", b"H|@^\\|", b"OBX|1|NM|", b"OBR|1||", b"R|1|^^^", b"L|1|N\r", b"Q|1|^",
    b"PID|", b"SPM|", b"SAC|", b"MSA|AA|", b"C|1|I|", b"P|1\r", b"O|1|", b"\xef\xbb\xbf", b"\x1b$B", b"2026112399",
    b"99999999999999999999", b"-1^0.750", b"ED|", b"FHS|", b"BTS|", b"00", b"E5",
)  # fmt: skip
_HAND_WRITTEN = (
    b"H|`^&||||||||||P|E 1394-97|20261123\rP|1\rO|1|261123000017^03||^^^ALB`^^^CRR|R\rR|1|^^^ALB|NA|g/dL||A|N\rL|1|N\r",
    b"H|@^\\|x||Lab^GeneXpert^4.8\rO|1|A1||^^^MTB\rR|1|^MTB^^MTB^^^|DETECTED^|||||F\rL|1|N\r",
    b"H|\\^&\rQ|1|^261123000017\\^261123000025||ALL||||||||O\rL|1|N\r",
    b"H|\\^&\rL|1\r",
    b"H|\\^&\rR|1|^^^WBC^1|  5.5|10*3/uL||H~A||F\rC|1|I|flag^high|I\rM|1|RR|" + b"A" * 300 + b"\rL|1|N\r",
)
_AU_TEXTS = (
    "RB", "R 000301N0095             2600133", "RH000301N0095       2600133", "DB", "DE", "RE", "S 000301", "D ",
    "D 000305N0081             2600305    E014  78.8  097 135.8  ", "DQ000305N0081             2600305001 E014  7.8",
    "DH000305 0081       2600305    0014  78.8H ", "DA0", "X?", "d 000305N0081                          014   1.1",
)  # fmt: skip
_DIMENSION_FIELDS = (
    ("P", "1", "1", "1"), ("I", "2600133"), ("I", ""), ("M", "A", "", "", "", "42"),
    ("M", "R", "7"), ("C", "1"), ("", ""),
    ("R", "0", "", "2600133", "1", "", "0", "301512231126", "1", "1", "2",
     "GLU", "5.1", "mg/dL", "", "NA", "140", "", "3"),
    ("R", "0", "", "2600133", "1", "", "0", "xx", "1", "1", "99999", "GLU"), ("Z", "9"),
)  # fmt: skip
_HL7_HAND_WRITTEN = (
    (
        b"MSH|^~\\&|a|b|c|d|20261123||OUL^R22|7|P|2.5.1|||NE|AL||UNICODE UTF-8\rSPM|1|T17&BARCODE||SER|||||||P\r"
        b"SAC|||T17\rOBR|1|||GLU^^99\rORC|SC|||||CM\rOBX|1|NM|GLU^^99||5,41|mmol/L^^99|3-6|N|||F|||20261123\r"
    ),
    b"MSH|^~\\&|||||||QRY^Q02|1|P|2.3.1\rQRD|20261123|R|D|1|||RD|T17|OTH|||T\r",
    b"MSH|^~\\&|||||||ORM^O01|1|P|2.3.1\rORC|RF||T17||IP\r",
    b"MSH|^~\\&|||||||ESU^U01||P|2.4\rEQU|1\n\nNTE|1||\\.br\\\\X0D\\C:\\dir\\\r",
    b"MSH#!@\\&#lab#####20261123##ORU!R01#9#P#2.5#####ASCII\rOBX#1#SN#K!Kalium##<!5#mmol/L###H@A###F\r",
)


@cache
def astm_messages() -> tuple[bytes, ...]:
    device = ChemistryAnalyzerSimulator("", 0)
    numbers = ("261123000017", "", "QC-1", "T" * 80)
    return (*_HAND_WRITTEN, *(device.message(name, chemistry_values(1, name), None) for name in numbers))


@cache
def hl7_messages() -> tuple[bytes, ...]:
    device = HaematologyAnalyzerSimulator("", 0)
    numbers = ("261123000017", "", "QC-1", "T" * 80)
    return (*_HL7_HAND_WRITTEN, *(device.message(name, haematology_values(1, name), None) for name in numbers))


def astm_dialogue(rng: random.Random) -> tuple[bytes, int]:
    """Return what an analyzer may send over a connection, and how many frames it began."""
    written: list[bytes] = []
    frames = 0
    for _ in range(rng.randint(1, 2)):
        message = _damaged(rng, rng.choice(astm_messages())) if rng.random() < 0.5 else rng.choice(astm_messages())
        records = [record + b"\r" for record in message.split(b"\r")[: rng.randint(1, 12)] if record]
        written.append(ENQ if rng.random() < 0.95 else b"")
        number = 1 if rng.random() < 0.95 else rng.randint(0, 7)
        for record in records:
            frame = encode_frame(number, record, is_last=rng.random() < 0.9)
            frame = _damaged(rng, frame) if rng.random() < 0.15 else frame
            written += [frame] * (1 if rng.random() < 0.95 else 2)
            number += rng.random() < 0.97
            frames += 1
            if rng.random() < 0.05:
                written.append(rng.choice((ENQ, ACK, NAK, EOT, rng.randbytes(rng.randint(1, 40)))))
        written.append(EOT if rng.random() < 0.9 else b"")
    return b"".join(written), frames


def simple_dialogue(rng: random.Random) -> tuple[bytes, int]:
    """Return what an analyzer with the simple link may send, and how many steps it took."""
    written: list[bytes] = []
    for _ in range(rng.randint(1, 3)):
        message = rng.choice(astm_messages())
        message = _damaged(rng, message) if rng.random() < 0.4 else message
        records = [record + b"\r" for record in message.split(b"\r") if record]
        texts = records if rng.random() < 0.3 else [message]
        written.append(b"\x05" if rng.random() < 0.95 else b"")
        for text in texts:
            step = b"\x02" + text + b"\x03"
            written.append(_damaged(rng, step) if rng.random() < 0.1 else step)
        written.append(EOT if rng.random() < 0.9 else b"")
    return b"".join(written), len(written)


def text_blocks(rng: random.Random) -> tuple[bytes, int]:
    """Return blocks between STX and ETX as AU and Dimension analyzers send them, and their number."""
    written: list[bytes] = []
    for _ in range(rng.randint(1, 8)):
        block = rng.choice(block_messages())
        block = _damaged(rng, block) if rng.random() < 0.4 else block
        written += [block] * (1 if rng.random() < 0.9 else 3)
        if rng.random() < 0.3:
            written.append(rng.choice((ACK, NAK, b"\x02", b"\x17", rng.randbytes(3))))
    return b"".join(written), len(written)


@cache
def block_messages() -> tuple[bytes, ...]:
    layouts = (AuLayout(), AuLayout(has_check_byte=True, specimen_width=20))
    au = [au_framed(text, layout) for text in _AU_TEXTS for layout in layouts]
    more = [block.replace(b"\x03", b"\x17") for block in au[:4]]
    return (*au, *more, *(dimension_framed(*fields) for fields in _DIMENSION_FIELDS))


def bare_astm(rng: random.Random) -> tuple[bytes, int]:
    """Return records without frames."""
    messages = [_damaged(rng, rng.choice(astm_messages())) for _ in range(rng.randint(1, 3))]
    return b"".join(messages), len(messages)


def mllp_blocks(rng: random.Random) -> tuple[bytes, int]:
    """Return blocks, broken ones among them, and their number."""
    written: list[bytes] = []
    blocks = rng.randint(1, 6)
    for _ in range(blocks):
        message = rng.choice(hl7_messages())
        message = _damaged(rng, message) if rng.random() < 0.6 else message
        block = encode_block(message)
        written.append(_damaged(rng, block) if rng.random() < 0.3 else block)
    return b"".join(written), blocks


def noise(rng: random.Random) -> tuple[bytes, int]:
    """Return bytes of any kind, or a heap of the pieces that protocols are made of."""
    if rng.random() < 0.3:
        return rng.randbytes(rng.randint(0, 600)), 1
    return b"".join(rng.choices(_TOKENS, k=rng.randint(1, 60))), 1


def _damaged(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.randint(1, 3)):
        data = rng.choice(_DAMAGES)(rng, data)
    return data


def _cut(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(len(data), start + rng.randint(0, 30))


def _overwrite(rng: random.Random, data: bytes) -> bytes:
    start, _ = _cut(rng, data)
    return data[:start] + rng.randbytes(1) + data[start + 1 :]


def _insert(rng: random.Random, data: bytes) -> bytes:
    start, _ = _cut(rng, data)
    return data[:start] + rng.choice(_TOKENS) + data[start:]


def _repeat_token(rng: random.Random, data: bytes) -> bytes:
    start, _ = _cut(rng, data)
    most = 3000 if rng.random() < 0.02 else 20
    return data[:start] + rng.choice(_TOKENS) * rng.randint(2, most) + data[start:]


def _drop(rng: random.Random, data: bytes) -> bytes:
    start, end = _cut(rng, data)
    return data[:start] + data[end:]


def _double(rng: random.Random, data: bytes) -> bytes:
    start, end = _cut(rng, data)
    return data[:end] + data[start:]


def _truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randint(0, len(data))]


_DAMAGES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _overwrite, _insert, _insert, _repeat_token, _drop, _double, _truncate,
)  # fmt: skip


def pieces(rng: random.Random, data: bytes) -> list[bytes]:
    """Cut `data` as TCP may: whole, byte by byte, or anyhow."""
    style = rng.random()
    if style < 0.4 or len(data) < 2:
        return [data]
    if style < 0.5 and len(data) < 300:
        return [data[index : index + 1] for index in range(len(data))]
    cuts = sorted(rng.randint(0, len(data)) for _ in range(rng.randint(1, 8)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
