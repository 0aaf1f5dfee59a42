"""Tells a message that is sent again from a new one.

MSH-10 alone is no key: devices leave it empty, send a constant, or start again at 1 with every power-up. A message is
the same when MSH-10, MSH-7 and everything else are: all of it, but for the line ends and marks around and between its
segments, which change with the way it came. A used control id with other content is a new message; a measurement that
comes again in a message of its own is known by its own key.

Source: HL7 2.5.1, 2.9.2.1 (sequence of messages); device facts read in specs.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

_AROUND: Final = b"\x00\x0b\x1c\r\n "
_LINE_ENDS: Final = (b"\r", b"\n", b"\r\n")
_LINE_END = re.compile(rb"[\r\n]+")


def resent_digests(raw: bytes) -> tuple[str, ...]:
    """Return the SHA-256, hex, of every form in which the same message may have come before; its own is the first.

    The forms differ in what ends the segments (CR, LF or both) and in whether the last one is ended.
    """
    found = {hashlib.sha256(raw).hexdigest(): None}
    segments = _LINE_END.split(raw.strip(_AROUND))
    for end in _LINE_ENDS:
        text = end.join(segments)
        for form in (text, text + end):
            found[hashlib.sha256(form).hexdigest()] = None
    return tuple(found)
