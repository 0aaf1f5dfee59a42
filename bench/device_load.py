"""Analyzers that send as fast as they are answered: one process, one outstanding message for each connection.

`python -m bench.device_load hl7|astm|hl7-reconnect host port connections seconds` prints one line of JSON. Bytes are
made before the clock starts and sent by epoll, so that the sender takes as little of the machine as it can.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from connectors.astm.framing import ENQ, EOT, frames_of
from connectors.hl7.framing import encode_block

SPECIMEN = "261123000425"

_ORU_HEAD = (
    "MSH|^~\\&|Analyzer|BC-1|LIS||20261123101500||ORU^R01|{number}|P|2.3.1||||||UNICODE\r"
    "PID|1||4711^^^^MR||Doe^Jane||19800101|F\r"
    "OBR|1||{specimen}|00001^Automated Count^99MRC||20261123101000|20261123101100\r"
)
_ORU_ROW = "OBX|{row}|NM|{code}^{name}^LN||{value}|{unit}|{low}-{high}|N|||F|||20261123101400||operator\r"
_CBC_HEAD = "H|\\^&|||XN-550^00-24^22723|||||||P|1|20261123101500\rP|1|||4711|Doe^Jane||19800101|F\r"
_CBC_ROW = "R|{row}|^^^^{name}^1|{value}|{unit}||N||F||operator||20261123101400\r"


def oru(number: int, rows: int = 20) -> bytes:
    """Return an ORU^R01 of `rows` OBX, about 1.6 kB."""
    head = _ORU_HEAD.format(number=number, specimen=SPECIMEN)
    body = [
        _ORU_ROW.format(row=row, code=f"{6690 + row}-2", name=f"T{row:02d}", value=f"{row}.{number % 100:02d}",
                        unit="10*3/uL", low="4.0", high="11.0")
        for row in range(1, rows + 1)
    ]  # fmt: skip
    return (head + "".join(body)).encode()


def cbc(number: int, rows: int = 20) -> bytes:
    """Return an ASTM message of `rows` results, about 1 kB."""
    order = f"O|1|{SPECIMEN}||^^^^WBC|R||||||N||||||||||||||F\r"
    body = [
        _CBC_ROW.format(row=row, name=f"T{row:02d}", value=f"{row}.{number % 100:02d}", unit="10*3/uL")
        for row in range(1, rows + 1)
    ]
    return (_CBC_HEAD + order + "".join(body) + "L|1|N\r").encode()


@dataclass
class Device:
    """One connection and where it stands in its script."""

    steps: Callable[[int], list[bytes]]
    is_answer: Callable[[bytes], bool]
    connection: socket.socket
    number: int = 0
    script: list[bytes] = field(default_factory=list)
    begun: float = 0.0
    seen: bytes = b""

    def begin(self) -> None:
        """Send the first piece of the next message."""
        self.number += 1
        self.script = self.steps(self.number)
        self.begun = time.perf_counter()
        self.connection.sendall(self.script.pop(0))

    def on_data(self, data: bytes) -> bool:
        """Send the next piece when the last was answered; True when the message is done."""
        self.seen += data
        if not self.is_answer(self.seen):
            return False
        self.seen = b""
        piece = self.script.pop(0) if self.script else b""
        if piece == EOT:
            self.connection.sendall(EOT)
            piece = b""
        if piece:
            self.connection.sendall(piece)
        return not piece


def _hl7_steps(number: int) -> list[bytes]:
    return [encode_block(_ORU)] if number else []


def _astm_steps(_number: int) -> list[bytes]:
    return [ENQ, *_FRAMES, EOT]


_ORU = oru(1)
_FRAMES = frames_of(cbc(1), max_text=63_000, packed=True)
PROTOCOLS: dict[str, tuple[Callable[[int], list[bytes]], Callable[[bytes], bool]]] = {
    "hl7": (_hl7_steps, lambda seen: seen.endswith(b"\x1c\r")),
    "astm": (_astm_steps, lambda seen: seen in {b"\x06", b"\x15"}),
}


def run(kind: str, host: str, port: int, connections: int, seconds: float) -> dict[str, object]:
    """Send for so long; return how many messages were answered, and the seconds each took."""
    protocol, _, mode = kind.partition("-")
    steps, is_answer = PROTOCOLS[protocol]
    poll = select.epoll()
    devices: dict[int, Device] = {}

    def connect() -> Device:
        connection = socket.create_connection((host, port), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        device = Device(steps, is_answer, connection)
        devices[connection.fileno()] = device
        poll.register(connection.fileno(), select.EPOLLIN)
        return device

    took: list[float] = []
    for _ in range(connections):
        connect().begin()
    begun = time.perf_counter()
    until = begun + seconds
    while time.perf_counter() < until:
        for number, _ in poll.poll(1.0):
            device = devices[number]
            data = device.connection.recv(65_536)
            if data and not device.on_data(data):
                continue
            if data:
                took.append(time.perf_counter() - device.begun)
            if mode == "reconnect" or not data:  # the server closes after each message
                poll.unregister(number)
                del devices[number]
                device.connection.close()
                device = connect()
            device.begin()
    wall = time.perf_counter() - begun
    for device in devices.values():
        device.connection.close()
    return {"messages": len(took), "wall_s": wall, "took": sorted(took)}


if __name__ == "__main__":
    kind, host, port, connections, seconds = sys.argv[1:]
    sys.stdout.write(json.dumps(run(kind, host, int(port), int(connections), float(seconds))))
