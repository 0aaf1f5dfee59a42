"""A serial line, opened for us alone. Ports that vanish (USB adapters) are opened again when they are back.

Source of the defaults: ASTM E1381-95, 4 (8 data bits, no parity, 1 stop bit, 9600 preferred), read in specs.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, Final

import serial
from serial_asyncio_fast import connection_for_serial

from connectors.line import Sink, Source
from connectors.listener import close
from connectors.transports.channel import ChannelSetup, Device, OneConnection
from connectors.transports.paths import allowed_path
from domain.device_transport import SerialPort

_LONGEST_PAUSE_SECONDS = 10.0
_PARITY: Final = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}


class SerialLine(OneConnection):
    """One serial port and the device at its end."""

    transport: ClassVar[str] = "serial"

    def __init__(self, device: Device, setup: ChannelSetup, transport: SerialPort) -> None:
        super().__init__(device, setup, peer=transport.device, longest_pause=_LONGEST_PAUSE_SECONDS)
        self._transport = transport

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[Source, Sink]]:
        loop = asyncio.get_running_loop()
        port = await loop.run_in_executor(None, self._open)
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await connection_for_serial(loop, lambda: protocol, port)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            yield reader, writer
        finally:
            transport.abort()  # what a device that reads nothing has not taken is thrown away
            await close(writer)

    def _open(self) -> serial.Serial:
        """Open the port; only ports of this machine: pyserial's addresses of other kinds are not understood.

        Raises:
            OSError: It is not there, not allowed, no serial port, or somebody else has it.
        """
        path = allowed_path(Path(self._transport.device), self._setup.serial_roots)
        if not stat.S_ISCHR(path.stat().st_mode):
            raise OSError(0, "it is no serial port")
        own = self._transport
        try:
            return serial.Serial(
                str(path),
                baudrate=own.baud,
                bytesize=own.bits,
                parity=_PARITY[own.parity],
                stopbits=own.stop_bits,
                xonxoff=own.flow == "xonxoff",
                rtscts=own.flow == "rtscts",
                exclusive=True,
            )
        except ValueError as error:
            raise OSError(0, "the port does not take these settings") from error
