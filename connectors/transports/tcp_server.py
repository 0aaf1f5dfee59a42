"""A port that only one device connects to: the device is known by the port, whatever its address."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from connectors.conversations import speech_of
from connectors.line import ConnectionState, Line
from connectors.listener import Listener
from connectors.transports.channel import ChannelSetup, Device, Pauses
from connectors.transports.tls import server_context
from domain.device_profile import DeviceProfile
from domain.device_transport import OwnListener

_LONGEST_PAUSE_SECONDS = 30.0


class DevicePort(Listener):
    """The listener of one device."""

    def __init__(self, device: Device, setup: ChannelSetup, transport: OwnListener) -> None:
        self._device = device
        self.protocol = device.profile.protocol
        self.device = device.code
        self.answer_seconds = speech_of(device.profile).answer_seconds
        super().__init__(
            setup.host,
            transport.port,
            setup.store,
            limits=setup.limits,
            profile_for=lambda _peer: device.profile,
            desk_for=lambda _peer: device.new_desk(),
            point_for=lambda _peer: device.tap_point,
            tls=server_context(setup.tls) if transport.tls else None,
        )

    async def converse(self, line: Line, profile: DeviceProfile) -> None:
        """Speak the device's protocol until it closes the connection."""
        await self._device.converse(line, profile, self.limits)

    def refusal(self, source: str) -> str:
        """Return why an address is not let in, or ""."""
        if self._device.peers and source not in self._device.peers:
            return f"it is no address of {self._device.code}"
        return super().refusal(source)


class OwnPort:
    """Listens on the device's port; where it cannot be bound, tries again."""

    transport: ClassVar[str] = "tcp"

    def __init__(self, device: Device, setup: ChannelSetup, transport: OwnListener) -> None:
        self._device = device
        self._setup = setup
        self._transport = transport
        self._port: DevicePort | None = None
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why the port is not open, or ""."""
        return self._trouble

    def connections(self) -> list[ConnectionState]:
        """Return the state of every open connection, oldest first."""
        return self._port.connections() if self._port is not None else []

    async def run(self) -> None:
        """Listen until cancelled."""
        pauses = Pauses(_LONGEST_PAUSE_SECONDS)
        while True:
            try:
                # reading certificates and binding may both fail, and both may be put right while we run
                port = DevicePort(self._device, self._setup, self._transport)
                await port.start()
            except OSError as error:
                self._trouble = f"cannot listen on port {self._transport.port}: {error.strerror or error}"
                await pauses.wait()
                continue
            self._port, self._trouble = port, ""
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._port = None
                await port.stop()
