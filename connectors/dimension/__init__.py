"""Siemens Dimension chemistry analyzers (EXL, RxL, Xpand) on their own protocol.

Fields between STX and ETX with a checksum; the analyzer polls for work, asks for single tubes and sends results, the
host answers. It is not ASTM.

Source: Dimension Clinical Chemistry Systems Interface Specification Guide as implemented by RosieLIS (MIT), read in
specs.
"""

from connectors.dimension.conversation import converse
from connectors.dimension.messages import read_message

__all__ = ["converse", "read_message"]
