"""What a benchmark of the listener needs around it: analyzers that only send, bare inserts, other libraries' servers.

`python -m bench.standins <what> …` runs one of them as a process of its own; senders and inserts print one line of JSON
when they end. Senders know nothing of asyncio and check as little as they can: what they cost is not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import select
import socket
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator

import asyncpg

from connectors.astm.framing import ACK, ENQ, EOT, LARGE_FRAME_TEXT, frames_of
from domain.clock import utc_now
from domain.ids import new_id

MARK = b"@@@@@@@@@@@@"
"""Where each message gets a number of its own."""
LONGEST_WAIT_S = 30.0

_TESTS = ("WBC", "RBC", "HGB", "HCT", "MCV", "MCH", "MCHC", "PLT", "RDW-CV", "RDW-SD", "MPV", "PDW", "PCT", "NEUT%",
          "LYMPH%", "MONO%", "EO%", "BASO%", "NEUT#", "LYMPH#")  # fmt: skip


def oru() -> bytes:
    """Return an ORU^R01 with 20 OBX of about 2 kB, its number left open."""
    head = (
        b"MSH|^~\\&|BC-5300|Mindray|LABSETU|LAB1|20261123101500||ORU^R01|" + MARK + b"|P|2.3.1||||||UNICODE\r"
        b"PID|1||PATIENT-17^^^^MR||^||19700101|F\rPV1|1|Outpatient|OPD^1^2\r"
        b"OBR|1||" + MARK + b"|00001^Automated Count^99MRC||20261123101000|20261123101100|||Draw|||||||||||||||HM\r"
    )
    rows = (
        f"OBX|{number}|NM|{6690 + number}-2^{name}^LN||{number * 1.37:.2f}|10*9/L|{number:.2f}-{number * 2:.2f}|N~A|||F"
        "|||20261123101300||operator 7||XN-550^1234\r"
        for number, name in enumerate(_TESTS, start=1)
    )
    return head + "".join(rows).encode()


def cbc() -> bytes:
    """Return a CBC of 20 results in ASTM records, its number left open."""
    head = (
        b"H|\\^&|||    XN-550^00-24^22723^^^^BD634545||||||||E1394-97\rP|1|||PATIENT-17\r"
        b"O|1||^^          " + MARK + b"^B|" + b"\\".join(b"^^^^" + name.encode() for name in _TESTS) + b"|||||||N\r"
    )
    rows = (
        f"R|{number}|^^^^{name}^1|{number * 1.37:.2f}|10*3/uL||N||F||||20261123101300\r"
        for number, name in enumerate(_TESTS, start=1)
    )
    return head + "".join(rows).encode() + b"L|1|N\r"


class _Device(ABC):
    """One connection; sends the next message when the one before is answered."""

    def __init__(self, port: int, numbers: Iterator[int]) -> None:
        self._port = port
        self.socket = self.connect()
        self.taken = self.refused = 0
        self.spent: list[float] = []
        self.is_idle = False
        self._numbers = numbers
        self._sent_at = 0.0

    def connect(self) -> socket.socket:
        """Return a new connection."""
        opened = socket.create_connection(("127.0.0.1", self._port))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    @abstractmethod
    def begin(self) -> None:
        """Send the next message, or the beginning of it."""

    @abstractmethod
    def hear(self, data: bytes, *, go_on: bool) -> None:
        """Take what the listener says; begin the next message if one is to follow."""

    def _settle(self, is_taken: bool, go_on: bool) -> None:
        self.spent.append(time.perf_counter() - self._sent_at)
        self.taken += is_taken
        self.refused += not is_taken
        self.is_idle = not go_on

    def _number(self) -> bytes:
        return b"%012d" % next(self._numbers)


class _Hl7Device(_Device):
    def __init__(self, port: int, numbers: Iterator[int]) -> None:
        super().__init__(port, numbers)
        self._pieces = (b"\x0b" + oru() + b"\x1c\r").split(MARK)
        self._heard = b""

    def begin(self) -> None:
        block = self._number().join(self._pieces)
        self._sent_at = time.perf_counter()
        self.socket.sendall(block)

    def hear(self, data: bytes, *, go_on: bool) -> None:
        self._heard += data
        if not self._heard.endswith(b"\x1c\r"):
            return
        self._settle(b"MSA|AA|" in self._heard, go_on)
        self._heard = b""
        if go_on:
            self._go_on()

    def _go_on(self) -> None:
        self.begin()


class _ReconnectingHl7Device(_Hl7Device):
    """For a server that hangs up after each message."""

    def _go_on(self) -> None:
        self.socket.close()
        self.socket = self.connect()
        self.begin()


class _AstmDevice(_Device):
    """Latency is that of the frame that ends the message: the one whose ACK means "kept"."""

    packed = False

    def __init__(self, port: int, numbers: Iterator[int]) -> None:
        super().__init__(port, numbers)
        self._frames: tuple[bytes, ...] = ()
        self._next = 0

    def begin(self) -> None:
        self._prepare()
        self.socket.sendall(ENQ)

    def hear(self, data: bytes, *, go_on: bool) -> None:
        if data == ACK and self._next < len(self._frames):
            frame = self._frames[self._next]
            self._next += 1
            self._sent_at = time.perf_counter()
            self.socket.sendall(frame)
            return
        self._settle(data == ACK, go_on)
        if go_on:
            self._prepare()
        self.socket.sendall(EOT + ENQ if go_on else EOT)

    def _prepare(self) -> None:
        message = cbc().replace(MARK, self._number())
        self._frames = frames_of(message, max_text=LARGE_FRAME_TEXT if self.packed else 240, packed=self.packed)
        self._next = 0


class _PackedAstmDevice(_AstmDevice):
    packed = True


DEVICES: dict[str, type[_Device]] = {
    "hl7": _Hl7Device,
    "hl7-reconnect": _ReconnectingHl7Device,
    "astm": _AstmDevice,
    "astm-packed": _PackedAstmDevice,
}


def send(kind: str, port: int, connections: int, seconds: float, first: int) -> dict[str, object]:
    """Send for so long over so many connections and return what was heard."""
    numbers = iter(range(first, sys.maxsize))
    devices = [DEVICES[kind](port, numbers) for _ in range(connections)]
    poll = select.epoll()
    waiting: dict[int, _Device] = {}

    def wait_for(device: _Device) -> None:
        waiting[device.socket.fileno()] = device
        poll.register(device.socket, select.EPOLLIN)

    begun = time.perf_counter()
    until = begun + seconds
    for device in devices:
        wait_for(device)
        device.begin()
    ended = begun
    while waiting and time.perf_counter() < until + LONGEST_WAIT_S:
        for number, _ in poll.poll(1.0):
            device, before = waiting[number], waiting[number].socket
            data = before.recv(65_536)
            ended = time.perf_counter()
            if not data:
                raise ConnectionError("the listener hung up")
            device.hear(data, go_on=ended < until)
            if device.is_idle:
                poll.unregister(number)
                del waiting[number]
            elif device.socket is not before:  # closing took the old one out of the poll
                del waiting[number]
                wait_for(device)
    for device in devices:
        device.socket.close()
    spent = [each for device in devices for each in device.spent]
    taken, refused = sum(device.taken for device in devices), sum(device.refused for device in devices)
    return {"taken": taken, "refused": refused, "seconds": ended - begun, "spent": spent, "unanswered": len(waiting)}


_ONE = (
    "insert into instrument_messages (id, created_at, analyzer_id, protocol, transport, peer, raw, sha256, received_at,"
    " framing_error, state, reason, control_id, specimen_ids, readings)"
    " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
)
_NAMES = ("id", "created_at", "analyzer_id", "protocol", "transport", "peer", "raw", "sha256", "received_at",
          "framing_error", "state", "reason", "control_id", "specimen_ids", "readings")  # fmt: skip


def _row(number: int, pieces: list[bytes]) -> tuple[object, ...]:
    raw, now = (b"%012d" % number).join(pieces), utc_now()
    digest = hashlib.sha256(raw).hexdigest()
    return (
        new_id(), now, None, "hl7", "tcp", "127.0.0.1:1", raw, digest, now, "", "received", "", "", [], 0,
    )  # fmt: skip


async def insert(dsn: str, connections: int, seconds: float, group: int) -> dict[str, object]:
    """Insert for so long over so many connections, `group` rows in a transaction; 1 is autocommit."""
    numbers = iter(range(sys.maxsize))
    pieces = oru().split(MARK)
    spent: list[float] = []
    opened = [await asyncpg.connect(dsn, server_settings={"plan_cache_mode": "force_generic_plan"})
              for _ in range(connections)]  # fmt: skip
    begun = time.perf_counter()
    until = begun + seconds

    async def work(connection: asyncpg.Connection) -> None:
        while (at := time.perf_counter()) < until:
            rows = [_row(next(numbers), pieces) for _ in range(group)]
            if group == 1:
                await connection.execute(_ONE, *rows[0])
            else:
                await connection.copy_records_to_table("instrument_messages", records=rows, columns=_NAMES)
            spent.append(time.perf_counter() - at)

    async with asyncio.TaskGroup() as tasks:
        for connection in opened:
            tasks.create_task(work(connection))
    ended = time.perf_counter()
    for connection in opened:
        await connection.close()
    return {"taken": len(spent) * group, "refused": 0, "seconds": ended - begun, "spent": spent, "unanswered": 0}


def main() -> None:
    """Run what the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m bench.standins", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="what")
    sender = commands.add_parser("send")
    sender.add_argument("kind", choices=DEVICES)
    sender.add_argument("port", type=int)
    sender.add_argument("--first", type=int, default=0)
    inserter = commands.add_parser("insert")
    inserter.add_argument("dsn")
    inserter.add_argument("--group", type=int, default=1)
    for command in (sender, inserter):
        command.add_argument("--connections", type=int, default=1)
        command.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    if given.what == "send":
        found = send(given.kind, given.port, given.connections, given.seconds, given.first)
    else:
        found = asyncio.run(insert(given.dsn, given.connections, given.seconds, given.group))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
