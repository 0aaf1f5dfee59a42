"""A recording of a device's lines as a capture, and as text that `read_capture` reads back to the byte."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from connectors.onboarding.capture import LEFT_OUT, RECORDING, Capture, Form, Piece, Side, bounded
from domain.control_names import readable
from domain.line_recordings import LinePiece

_RECORDS: Final = re.compile(rb"[^\r\n]*[\r\n]+|[^\r\n]+")


def capture_of(pieces: Iterable[LinePiece], *, left_out: int = 0) -> Capture:
    """Return what was heard as a capture, as far as one is looked at.

    Args:
        pieces: Connection by connection, each in order.
        left_out: Bytes that were heard and not kept.
    """
    sided = (Piece(Side.HOST if piece.is_sent else Side.DEVICE, piece.data) for piece in pieces)
    return bounded(Form.TEXT, sided, left_out=left_out)


def text_of(pieces: Iterable[LinePiece], form: Form, *, left_out: int = 0, shows_bytes: bool = True) -> str:
    """Return what was heard as text: a line for each piece, with its time (UTC) and RX or TX.

    Args:
        pieces: Connection by connection, each in order.
        form: `text`, with control characters by name, or `hex`.
        left_out: Bytes that were heard and not kept, said in the text.
        shows_bytes: Otherwise only their number stands there.
    """
    lines = [f"{RECORDING}; {Form.HEX.value if form is Form.HEX else Form.TEXT.value}"]
    if left_out:
        lines.append(f"# {left_out} {LEFT_OUT}: the database was too slow")
    connection: tuple[datetime, str] | None = None
    for piece in pieces:
        if connection != (piece.connected_at, piece.peer):
            connection = piece.connected_at, piece.peer
            lines.append(f"# connection with {readable(piece.peer.encode())} since {piece.connected_at.isoformat()}")
        mark = f"{piece.at.isoformat(timespec='milliseconds')} {'TX' if piece.is_sent else 'RX'}"
        if shows_bytes:
            lines += (f"{mark} {part}" for part in _parts(piece.data, form))
        else:
            lines.append(f"# {mark} {len(piece.data)} bytes")
    return "\n".join([*lines, ""])


def _parts(data: bytes, form: Form) -> Iterator[str]:
    if form is Form.HEX:
        yield data.hex(" ")
        return
    for record in _RECORDS.findall(data):
        # a written `<CR>` is no carriage return, and blanks at an end would get lost on the way
        yield re.sub(r" (?=$)|^ ", "<0x20>", "<0x3C>".join(readable(part) for part in record.split(b"<")))
