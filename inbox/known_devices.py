"""The registered devices by what a connection shows of them: built anew when their list is read, looked up at each one.

A laboratory has some hundred devices and a reconnecting one comes many times a minute; a search through all rows for
each connection and each message would be paid on the event loop that acknowledges everybody's messages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from store.tables.results import Analyzer

SHARED = "listener"
"""Kind of the transport of devices that are known by their address."""


class KnownDevices:
    """Devices by code, by their own port, and by the addresses from which they come to a shared one.

    Attributes:
        rows: All of them, in the order given.
    """

    def __init__(self, rows: Iterable[Analyzer] = ()) -> None:
        self.rows = tuple(rows)
        self._by_code = {row.code: row for row in self.rows}
        self._by_port: defaultdict[tuple[str, int], list[Analyzer]] = defaultdict(list)
        self._by_address: defaultdict[tuple[str, str], list[Analyzer]] = defaultdict(list)
        for row in self.rows:
            port = _own_port(row)
            if port is not None:
                self._by_port[row.protocol, port].append(row)
            if row.transport.get("kind", SHARED) == SHARED:
                for address in set(row.peers):
                    self._by_address[row.protocol, address].append(row)

    def coded(self, code: str) -> Analyzer | None:
        """Return the device with a code."""
        return self._by_code.get(code)

    def on_port(self, protocol: str, port: int) -> list[Analyzer]:
        """Return the devices that have a port for themselves; more than one where the list contradicts itself."""
        return self._by_port.get((protocol, port), [])

    def at_address(self, protocol: str, address: str) -> list[Analyzer]:
        """Return the devices that come from an address to the shared ports."""
        return self._by_address.get((protocol, address), [])


def _own_port(row: Analyzer) -> int | None:
    port = row.transport.get("port")
    return port if row.transport.get("kind") == "tcp_server" and isinstance(port, int) else None
