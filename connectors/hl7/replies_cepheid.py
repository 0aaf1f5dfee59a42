"""The answer to the queries of a GeneXpert (QBP^Z01 for all, QBP^Z03 for one tube): RSP^Z02 with the orders inside.

A tube without orders is left out; the device takes no orders that it did not ask for.

Source: Cepheid GeneXpert LIS interface protocol, 301-2002 rev. E (HL7), read in specs.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.hl7.codec import FieldValue, field_of
from connectors.hl7.envelope import Heading, write_message
from connectors.hl7.replies import Inquiry, Reply, echo, err
from domain.device_orders import WorkPriority


def answer(inquiry: Inquiry) -> Reply:
    """Return RSP^Z02."""
    query, code = inquiry.query, inquiry.code
    status = "OK" if code == "AA" else code
    heading = Heading(("RSP", "Z02"), inquiry.new_id(), accept="NE", application="NE")
    body = [
        ("MSA", [code, query.control_id]),
        *err(code),
        ("QAK", [field_of(query.source, 2), status, field_of(query.source, 1)]),
        echo(query.source),
        *_orders(inquiry),
    ]
    return Reply((write_message(inquiry.envelope, heading, inquiry.moment, body),))


def _orders(inquiry: Inquiry) -> list[tuple[str, Sequence[FieldValue]]]:
    body: list[tuple[str, Sequence[FieldValue]]] = []
    asked_patient = inquiry.query.source.value(3, 1).strip() if not inquiry.query.asked.wants_all else ""
    stamp = inquiry.envelope.time(inquiry.moment)
    for number, work in enumerate((work for work in inquiry.works or () if work.codes), start=1):
        body.append(("PID", [str(number), "", work.patient_no or asked_patient]))
        priority = "S" if work.priority is WorkPriority.STAT else "R"
        for position, code in enumerate(work.codes, start=1):
            body += [
                ("ORC", ["NW", str(position), *[""] * 6, stamp]),
                ("OBR", [str(position), "", "", code, *[""] * 6, "A"]),
                ("TQ1", [*[""] * 8, priority]),
                ("SPM", [str(position), (work.specimen_id, ""), "", "ORH", *[""] * 6, "P"]),
            ]
    return body
