import uuid

import pytest

from inbox.known_devices import KnownDevices
from inbox.listener import Door
from store.session import open_database
from store.tables.results import Analyzer

LISTENER = {"kind": "listener"}


def device(code: str, *peers: str, protocol: str = "astm", transport: dict | None = None) -> Analyzer:
    return Analyzer(
        branch_id=uuid.uuid4(), code=code, name=code, model="other", protocol=protocol, peers=list(peers),
        transport=LISTENER if transport is None else transport,
    )  # fmt: skip


ROWS = [
    device("A", "10.0.0.1", "10.0.0.2", "10.0.0.1"),
    device("B", "10.0.0.1", protocol="hl7"),
    device("C", "10.0.0.3"),
    device("D", "10.0.0.3"),
    device("E", "10.0.0.2", transport={"kind": "tcp_server", "port": 7001}),
    device("F", "10.0.0.9", transport={}),
    device("G", "fe80::1"),
    device("H", "10.0.0.8", transport={"kind": "tcp_client", "host": "10.0.0.8", "port": 7001}),
]


@pytest.fixture
async def door():
    database = open_database("postgresql+asyncpg://x:x@127.0.0.1:1/x", audit_key=b"k" * 32, seal_key=b"s" * 32)
    door = Door(database, KnownDevices(ROWS), shared_ports={6661, 6662})
    yield door
    await door.close()
    await database.close()


@pytest.mark.parametrize(
    ("protocol", "peer", "port", "code"),
    [
        ("astm", "10.0.0.1:50000", 6662, "A"),
        ("astm", "10.0.0.2:50000", 6662, "A"),
        ("hl7", "10.0.0.1:50000", 6661, "B"),
        ("astm", "10.0.0.3:50000", 6662, None),  # two claim it: results are never read with a guessed mapping
        ("astm", "10.0.0.2:50000", 7001, "E"),
        ("hl7", "10.0.0.2:50000", 7001, None),
        ("astm", "10.0.0.9:50000", 6662, "F"),
        ("astm", "fe80::1:50000", 0, "G"),
        ("astm", "10.0.0.8:50000", 6662, None),
        ("astm", "10.0.0.1:50000", 7002, None),  # no shared port: nobody's
        ("astm", "10.0.0.77:1", 6662, None),
    ],
)
async def test_a_connection_is_the_one_device_that_it_can_be(door: Door, protocol, peer, port, code):
    found = door.analyzer_at(protocol, peer, port)
    assert (found.code if found else None) == code


async def test_what_is_read_anew_replaces_everything(door: Door):
    door.known = KnownDevices([device("A", "10.0.0.4"), device("D", "10.0.0.3")])
    assert door.analyzer_at("astm", "10.0.0.1:1", 6662) is None
    assert door.analyzer_at("astm", "10.0.0.3:1", 6662).code == "D"
    assert door.known.coded("C") is None
    assert [row.code for row in door.analyzers] == ["A", "D"]
