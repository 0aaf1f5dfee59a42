"""The listener of the product over a given database, for `bench.instruments`: `python -m bench.device_listener url`.

Prints its ports as JSON and serves until it is told to stop. With `hl7apy` instead of an URL it serves that library's
MLLP server, which parses each message, stores nothing and answers.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import Any

from connectors.line import ListenerLimits
from inbox.listener import Door, listeners
from store.session import open_database

LIMITS = ListenerLimits(max_connections=200, max_connections_per_source=200)


async def serve(url: str) -> None:
    """Serve both protocols until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    database = open_database(url, audit_key=b"only for a benchmark", seal_key=bytes(32))
    door = Door(database)
    await door.reload()
    running = listeners(door, "127.0.0.1", {"hl7": 0, "astm": 0}, LIMITS)
    for listener in running:
        await listener.start()
    sys.stdout.write(json.dumps({listener.protocol: listener.port for listener in running}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    for listener in running:
        await listener.stop()
    await door.close()
    await database.close()


def serve_hl7apy() -> None:
    """Serve hl7apy's own server, parsing as its documentation shows."""
    from hl7apy.mllp import AbstractHandler, MLLPServer
    from hl7apy.parser import parse_message

    class Handler(AbstractHandler):  # type: ignore[misc]
        """Parses and answers AA."""

        def reply(self) -> str:
            """Answer one message."""
            message: Any = parse_message(self.incoming_message)
            number = message.msh.msh_10.value
            return f"\x0bMSH|^~\\&|||||||ACK|{number}|P|2.3.1\rMSA|AA|{number}\r\x1c\r"

    server = MLLPServer("127.0.0.1", 0, {"ORU^R01": (Handler,), "ORU^R01^ORU_R01": (Handler,)})
    sys.stdout.write(json.dumps({"hl7": server.server_address[1]}) + "\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "hl7apy":
        serve_hl7apy()
    else:
        asyncio.run(serve(sys.argv[1]))
