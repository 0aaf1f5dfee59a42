"""What a partner's webhook or callback tells us, reduced to ids."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PartnerEvent:
    """One fact reported by a partner. It carries ids only; the workflow fetches what it needs.

    Attributes:
        event_id: Stable id of this event at the partner; the inbox is unique on (source, event_id).
        kind: The partner's own event name, e.g. `payment_link.paid`.
        reference: Our business key found in it (invoice number, notification id, ABDM request id), or `""`.
        entity_id: The partner's id of the thing it is about, or `""`.
        code: The partner's error code when the event reports a failure, or `""`.
    """

    event_id: str
    kind: str
    reference: str = ""
    entity_id: str = ""
    code: str = ""
