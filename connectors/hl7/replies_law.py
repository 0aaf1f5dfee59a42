"""The answer to a LAB-27 query: RSP^K11 acknowledges it, then LAB-28 brings the work or says that there is none.

Roche analyzers ask as `LAB-27R^ROCHE` with `INISEQ` or `INIBAR` and want rack, position, type and container back.

Source: IHE LAW, LAB-27 and LAB-28; Roche cobas pro host interface examples, read in specs.
"""

from __future__ import annotations

from connectors.hl7.codec import FieldValue, field_of
from connectors.hl7.envelope import Heading, write_message
from connectors.hl7.orders_out import NO_PLACE, Place, nothing_to_do, order_message
from connectors.hl7.replies import Inquiry, Outgoing, Reply, echo, err
from domain.device_orders import DeviceWork


def answer(inquiry: Inquiry) -> Reply:
    """Return RSP^K11 and the messages with the work, one per tube."""
    return Reply((_response(inquiry),), () if inquiry.code != "AA" else _work(inquiry))


def _response(inquiry: Inquiry) -> bytes:
    query, envelope = inquiry.query, inquiry.envelope
    heading = Heading(
        ("RSP", "K11", "RSP_K11"),
        inquiry.new_id(),
        profiles=field_of(query.message.header, 21),
        has_zone=True,
    )
    status = "OK" if inquiry.code == "AA" else inquiry.code
    name, tag = field_of(query.source, 1), field_of(query.source, 2)
    body = [
        ("MSA", [inquiry.code, query.control_id]),
        *err(inquiry.code),
        ("QAK", [tag, status, name]),
        echo(query.source),
    ]
    return write_message(envelope, heading, inquiry.moment, body)


def _work(inquiry: Inquiry) -> tuple[Outgoing, ...]:
    works = inquiry.works or ()
    place = _place(inquiry) if len(inquiry.query.asked.specimen_ids) == 1 else NO_PLACE
    found = {work.specimen_id for work in works if work.codes}
    asked = inquiry.query.asked.specimen_ids
    missing: tuple[str, ...] = tuple(name for name in asked if name not in found)
    if found and len(asked) == 1:
        missing = ()  # the lab may write the number differently from the device
    elif not found and not asked:
        missing = ("",)  # everything was asked for, and there is nothing
    return tuple(
        [_order(inquiry, work, place) for work in works if work.codes] + [_nothing(inquiry, name) for name in missing]
    )


def _order(inquiry: Inquiry, work: DeviceWork, place: Place) -> Outgoing:
    control_id = inquiry.new_id()
    message = order_message(
        work, inquiry.profile, inquiry.envelope, control_id=control_id, moment=inquiry.moment, place=place
    )
    return Outgoing(control_id, message)


def _nothing(inquiry: Inquiry, specimen_id: str) -> Outgoing:
    control_id = inquiry.new_id()
    message = nothing_to_do(
        specimen_id, inquiry.profile, inquiry.envelope, control_id=control_id, moment=inquiry.moment
    )
    return Outgoing(control_id, message)


def _place(inquiry: Inquiry) -> Place:
    """Read where the tube stands: QPD-4 rack, 5 position, 6 tray, 7 position; Roche adds 10 type and 11 container."""
    source = inquiry.query.source

    def echoed(number: int) -> FieldValue:
        return field_of(source, number)

    return Place(echoed(4), echoed(5), echoed(6), echoed(7), echoed(10), echoed(11))
