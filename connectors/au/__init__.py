"""Beckman Coulter AU chemistry analyzers (AU480, AU680, AU5800, DxC 700 AU) on their own "Online" protocol.

Texts of fixed-width fields between STX and ETX or ETB, each block answered by ACK. Widths are settings of the site
(`domain.device_profile.AuLayout`). The analyzer sends results and asks for the work on a tube.

Source: field facts from live sites citing the AU680/AU480 Instrument Online Specification, January 2011 v9, read in
specs.
"""

from connectors.au.conversation import converse
from connectors.au.messages import read_message

__all__ = ["converse", "read_message"]
