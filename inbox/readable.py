"""A quick proof that a message can be read, for the moment between its commit and its acknowledgement.

Reading a message wholly costs a hundred times what receiving it costs, and the reader does it later anyway. The proof
holds or it does not: where it does not, the caller reads the message wholly. It never says yes to a message that
the reader refuses, whatever the device's profile.
"""

from __future__ import annotations

import re

from connectors.astm import codec as astm
from connectors.astm import messages as astm_messages
from connectors.hl7 import codec as hl7

_MARK = rb"[!-/:-@\[-`{-~]"
"""ASCII punctuation: what both standards' delimiters are made of."""
_HL7_START = re.compile(rb"[ \x00\x1c\r\n]*MSH" + _MARK)
_ASTM_START = re.compile(rb"H" + _MARK)
_STX = b"\x02"


def is_surely_readable(protocol: str, raw: bytes) -> bool:
    """Return True where the reader of `protocol` cannot refuse `raw`; False says nothing."""
    match protocol:
        case "hl7":
            return _is_readable_hl7(raw)
        case "astm":
            return _is_readable_astm(raw)
    return False


def _is_readable_hl7(raw: bytes) -> bool:
    start = _HL7_START.match(raw)
    if start is None or len(raw) > hl7.MAX_MESSAGE_BYTES or _line_ends(raw) >= hl7.MAX_SEGMENTS:
        return False
    # the repetition delimiter is the second after the field delimiter, if there is one
    mark = raw[start.end() + 1 : start.end() + 2]
    return bool(mark) and raw.count(mark) < hl7.MAX_REPETITIONS


def _is_readable_astm(raw: bytes) -> bool:
    if _ASTM_START.match(raw) is None or _STX in raw or len(raw) > astm_messages.MAX_MESSAGE_BYTES:
        return False
    if _line_ends(raw) >= astm.MAX_RECORDS:
        return False
    # any H may declare other delimiters, but a record this short has no room for too many repetitions
    return max(map(len, raw.split(b"\r"))) < astm.MAX_REPETITIONS


def _line_ends(raw: bytes) -> int:
    return raw.count(b"\r") + raw.count(b"\n")
