"""States of what is done with tubes apart from measuring them, and why a tube is refused."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class LabelForm(StrEnum):
    """What a label is printed as."""

    ZPL = "zpl"
    """For label printers."""
    PDF = "pdf"


class ManifestState(StrEnum):
    """How far a transport has come."""

    PACKED = "packed"
    DISPATCHED = "dispatched"
    ARRIVED = "arrived"
    """Something of it was scanned at the other end."""
    CLOSED = "closed"


REJECTION_REASONS: Final = MappingProxyType(
    {
        "no_order": "no order came with the sample",
        "no_form": "no request form came with the sample",
        "wrong_form": "wrong request form",
        "duplicate_request": "asked for twice",
        "collector_unknown": "collector not named",
        "collection_time_missing": "collection time not given",
        "consent_missing": "consent form missing",
        "unlabelled": "not labelled or poorly labelled",
        "mislabelled": "wrongly labelled",
        "identity_mismatch": "label and form disagree",
        "haemolysed": "haemolysed",
        "clotted": "clotted",
        "lipaemic": "lipaemic",
        "icteric": "icteric",
        "contaminated": "contaminated",
        "iv_contamination": "contaminated by intravenous fluid",
        "insufficient_volume": "not enough",
        "inadequate": "not adequate for the examination",
        "underfilled_citrate": "citrate tube under-filled",
        "overfilled": "over-filled",
        "wrong_container": "wrong container or additive",
        "leaking": "container broken or leaking",
        "delayed_transport": "too old when it arrived",
        "wrong_temperature": "arrived at the wrong temperature",
        "not_fasting": "patient was not fasting",
        "other": "see the note",
    }
)
"""Coded reasons with their words; `other` needs a note. Source: rejection lists of open laboratory systems and ISO
15189:2022, 7.2.6.2, read in specs."""
