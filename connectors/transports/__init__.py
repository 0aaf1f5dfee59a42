"""How the bytes of one device get here: a port of its own, a connection we make, a serial port, a watched folder.

Each is a `Channel` that runs until it is cancelled and puts the device's conversation on a `connectors.line.Line`.
The shared HL7 and ASTM ports are `connectors.listener`; HTTP is the API's.
"""

from connectors.transports.channel import Channel, ChannelSetup, Device
from connectors.transports.opening import channel_for, endpoint_of

__all__ = ["Channel", "ChannelSetup", "Device", "channel_for", "endpoint_of"]
