"""The answer to the worklist query of Mindray BC analyzers: ORR^O02 with the patient and the mode to run in.

The device asks with ORM^O01 `ORC|RF||<barcode>||IP`; work is `ORC|AF|<barcode>`, an OBR and the modes as OBX; a tube
that is not known is `MSA|AR`. A haematology analyzer measures in modes, not tests: a code that begins with CBC is
taken as the mode itself, otherwise any test that a plain count does not give asks for the differential.

Source: Mindray BC-5300 Operator's Manual v1.5, appendix C; field facts, read in specs.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.hl7.codec import FieldValue
from connectors.hl7.envelope import Heading, write_message
from connectors.hl7.replies import Inquiry, Reply, birth_day
from domain.device_orders import DeviceWork

_PLAIN_COUNT = frozenset(
    {"WBC", "RBC", "HGB", "HCT", "MCV", "MCH", "MCHC", "RDW-CV", "RDW-SD", "PLT", "MPV", "PDW", "PCT"}
)
_SEX = {"male": "Male", "female": "Female"}


def answer(inquiry: Inquiry) -> Reply:
    """Return ORR^O02: the work on one tube, AR where there is none, AE where the store is away."""
    works = [work for work in inquiry.works or () if work.codes]
    code = inquiry.code
    if code == "AA" and not works:
        code = "AR"
    body: list[tuple[str, Sequence[FieldValue]]] = [("MSA", [code, inquiry.query.control_id])]
    if works:
        body += _work(inquiry, works[0])
    message = write_message(inquiry.envelope, Heading(("ORR", "O02"), inquiry.echoed_id), inquiry.moment, body)
    return Reply((message,))


def _work(inquiry: Inquiry, work: DeviceWork) -> list[tuple[str, Sequence[FieldValue]]]:
    birth = birth_day(work)
    collected = inquiry.envelope.time(work.collected_at) if work.collected_at is not None else ""
    ordered = inquiry.envelope.time(inquiry.moment)
    number = (work.patient_no, "", "", "", "MR")
    return [
        (
            "PID",
            ["1", "", number, "", work.patient_name, "", f"{birth}000000" if birth else "", _SEX.get(work.sex, "")],
        ),
        ("PV1", ["1"]),
        ("ORC", ["AF", work.specimen_id, "", "", ""]),
        (
            "OBR",
            [
                *("1", work.specimen_id, "", ("00001", "Automated Count", "99MRC"), "", ordered),
                *[""] * 7,
                collected,
                *[""] * 9,
                "HM",
            ],
        ),
        _mode(1, ("08001", "Take Mode", "99MRC"), "A"),
        _mode(2, ("08002", "Blood Mode", "99MRC"), "W"),
        _mode(3, ("08003", "Test Mode", "99MRC"), _test_mode(work)),
    ]


def _mode(number: int, code: tuple[str, str, str], value: str) -> tuple[str, Sequence[FieldValue]]:
    return "OBX", [str(number), "IS", code, "", value, "", "", "", "", "", "F"]


def _test_mode(work: DeviceWork) -> str:
    named = [code for code in work.codes if code.upper().startswith("CBC")]
    if named:
        return max(named, key=len)
    return "CBC" if _PLAIN_COUNT.issuperset(work.codes) else "CBC+DIFF"
