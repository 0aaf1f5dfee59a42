"""Tells a message that is sent again from a new one.

MSH-10 alone is no key: devices leave it empty, send a constant, or start again at 1 with every power-up.

Source: HL7 2.5.1, 2.9.2.1 (sequence of messages); device facts read in specs.
"""

from __future__ import annotations

import hashlib
import re

_STAMP_FIELD, _CONTROL_FIELD = 7, 10


def transport_key(raw: bytes) -> str:
    """Return 64 hex characters that are the same for two arrivals of one message of one device.

    The key is made of MSH-10, MSH-7 and everything else; the device is for the caller to add. Line ends and blanks
    around the message do not count, so that a message is the same with and without its last CR.
    """
    text = raw.strip(b"\x00\x0b\x1c\r\n ")
    end = re.search(rb"[\r\n]", text)
    head, body = (text[: end.start()], text[end.start() :]) if end else (text, b"")
    mark = head[3:4]
    fields = head.split(mark) if mark and head[:3].upper() == b"MSH" else [head]
    marks = []
    for number in (_CONTROL_FIELD, _STAMP_FIELD):
        position = number - 1  # MSH-1 is the delimiter itself
        marks.append(fields[position] if position < len(fields) else b"")
        fields[position : position + 1] = [b""] if position < len(fields) else []
    rest = hashlib.sha256((mark or b"|").join(fields) + body).digest()
    sizes = b",".join(str(len(mark)).encode() for mark in marks)
    return hashlib.sha256(b"\x1e".join((sizes, *marks, rest))).hexdigest()
