"""MLLP servers of the libraries that people would otherwise take; they store nothing and say AA.

`python -m bench.other_servers <library> <port>` serves until it is stopped.
"""

from __future__ import annotations

import asyncio
import sys

import hl7
from hl7.mllp import HL7StreamReader, HL7StreamWriter, start_hl7_server
from hl7apy.mllp import AbstractHandler, MLLPServer
from hl7apy.parser import parse_message

_LIMIT = 1 << 20


async def serve_python_hl7(port: int) -> None:
    """Answer with python-hl7: it parses each message and builds the answer."""

    async def answer(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        try:
            while True:
                message = await reader.readmessage()
                writer.writemessage(message.create_ack("AA"))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await start_hl7_server(answer, "127.0.0.1", port, limit=_LIMIT, encoding="utf-8")
    await server.serve_forever()


class _Answer(AbstractHandler):
    """Parses the message, as a server must that is to do anything with it, and echoes its number."""

    def reply(self) -> str:
        message = parse_message(self.incoming_message, find_groups=False)
        number = message.msh.msh_10.value
        return f"\x0bMSH|^~\\&|||||||ACK|{number}|P|2.3.1\rMSA|AA|{number}\r\x1c\r"


def serve_hl7apy(port: int) -> None:
    """Answer with hl7apy: it closes the connection after each message."""
    MLLPServer("127.0.0.1", port, {"ORU^R01": (_Answer,)}).serve_forever()


def main() -> None:
    """Serve with the library that is named."""
    library, port = sys.argv[1], int(sys.argv[2])
    if library == "hl7":
        print(f"python-hl7 {hl7.__version__}")
        asyncio.run(serve_python_hl7(port))
    else:
        serve_hl7apy(port)


if __name__ == "__main__":
    main()
