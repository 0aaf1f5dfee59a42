"""Public HL7 captures and vectors, where they are at hand: read, written anew, asked, answered."""

import contextlib
import json
import os
import re
import time
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from connectors.hl7.ack import acknowledgements, commit_acknowledgements
from connectors.hl7.answering import answer_query
from connectors.hl7.codec import encode_message, parse_message
from connectors.hl7.envelope import envelope_for
from connectors.hl7.framing import split_batch
from connectors.hl7.identity import resent_digests
from connectors.hl7.messages import read_message
from connectors.hl7.names import named_fields, segment_title
from connectors.hl7.orders_in import read_orders
from connectors.hl7.patients import read_patient_event
from connectors.hl7.queries import read_query
from connectors.hl7.replies import Inquiry
from connectors.hl7.verdicts import read_verdict
from domain.device_orders import DeviceWork, DownloadResult
from domain.device_profile import DeviceProfile, WorkRules
from domain.errors import MessageError
from domain.observations import StoreOutcome

CORPUS = Path(os.environ.get("LABSETU_CORPUS", Path(__file__).parents[2] / ".." / "shared" / "data"))
HL7 = CORPUS / "instruments" / "hl7"
STANDARD = DeviceProfile(protocol="hl7")
MOMENT = datetime(2026, 1, 10, 11, 37, 7, tzinfo=UTC)

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not HL7.is_dir(), reason="no public captures under LABSETU_CORPUS"),
]


def loaded(name: str) -> list[dict]:
    path = HL7 / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


SNIPPETS = {case["name"]: "\r".join(case["records"]) + "\r" for case in loaded("snippets.json")}
LAW = {case["name"]: case for case in loaded("law_synthetic.json")}
FILES = (
    [
        path
        for path in sorted(HL7.iterdir())
        if path.suffix in {".hl7", ".bin"} or path.name.startswith(("oie_", "hapi_"))
    ]
    if HL7.is_dir()
    else []
)

WRITTEN_OTHERWISE = {
    r"\\(?!E\\)": "a lone escape character is escaped",
    r"\\[HN]\\|\\Z\w*\\|\\\.\w+[+-]?\d*\\": "highlighting, local and formatting sequences are resolved",
    r"\\X[0-9A-Fa-f]+\\": "hexadecimal sequences become characters",
    r"[\x00-\x1f\x7f]": "control characters are escaped",
}
"""Why a field may differ when it is written anew; anything else has to come out as it went in."""


def texts() -> list[tuple[str, bytes]]:
    found = [(name, text.encode()) for name, text in SNIPPETS.items()]
    found += [(name, case["message"].encode()) for name, case in LAW.items()]
    for path in FILES:
        raw = path.read_bytes()
        found += [(f"{path.name}-{n}", part) for n, part in enumerate(split_batch(raw) or [raw])]
    return found


@pytest.mark.parametrize(("name", "raw"), texts(), ids=[name for name, _ in texts()])
def test_what_is_written_anew_is_the_same_or_differs_as_listed(name, raw):
    try:
        message = parse_message(raw)
        written = encode_message(message).removesuffix("\r").split("\r")
    except MessageError:
        return
    assert len(written) == len(message.segments)
    for segment, again in zip(message.segments, written, strict=True):
        if again != segment.text:
            assert any(re.search(pattern, segment.text) for pattern in WRITTEN_OTHERWISE), (segment.text, again)
    once_more = encode_message(parse_message("\r".join(written).encode()))
    assert once_more.removesuffix("\r").split("\r") == written


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_reader_is_total_and_quick_on_every_file(path):
    raw = path.read_bytes()
    began = time.perf_counter()
    assert set(resent_digests(raw.rstrip(b"\r\n"))) & set(resent_digests(raw))
    for part in split_batch(raw) or [raw]:
        commit_acknowledgements(part, StoreOutcome(accepted=True))
        assert isinstance(acknowledgements(part, StoreOutcome(accepted=True)), list)
        with contextlib.suppress(MessageError):
            read_message(part, STANDARD)
        with contextlib.suppress(MessageError):
            message = parse_message(part)
            read_verdict(message)
            read_query(message, STANDARD)
            for segment in message.segments:
                assert all(field.value for field in named_fields(segment))
        for reader in (read_orders, read_patient_event):
            with contextlib.suppress(MessageError):
                reader(parse_message(part))
    assert time.perf_counter() - began < 10


def test_the_segments_of_device_messages_have_names():
    unnamed = {
        segment.name
        for text in SNIPPETS.values()
        for segment in parse_message(text.encode()).segments
        if not segment_title(segment.name)
    }
    assert unnamed == set()


def asked(text: str, style: str, *works: DeviceWork):
    profile = DeviceProfile(protocol="hl7", work=WorkRules(style=style, answers_queries=True))
    message = parse_message(text.encode())
    query = read_query(message, profile)
    assert query is not None
    envelope = envelope_for(profile, message.header)
    reply = answer_query(Inquiry(query, works, profile, envelope, MOMENT, lambda: "1"))
    assert reply is not None
    return query, [answer.decode() for answer in reply.at_once], [sent.message.decode() for sent in reply.then]


@pytest.mark.parametrize(
    ("name", "style", "specimen", "kind"),
    [
        ("mindray_bs_qry", "mindray_bs", "S0000002", "QCK^Q02"),
        ("mindray_bc_orm_query", "mindray_bc", "122", "ORR^O02"),
        ("cobas_pro_qbp", "roche_law", "123", "RSP^K11^RSP_K11"),
        ("x800_qbp", "roche_law", "sample123", "RSP^K11^RSP_K11"),
        ("genexpert_hl7_query", "cepheid", "SpecimenID-888", "RSP^Z02"),
        ("cobas4800_oul", "law", "VL0001", "RSP^K11^RSP_K11"),
    ],
)
def test_queries_of_devices_are_read_and_answered(name, style, specimen, kind):
    query, at_once, _ = asked(SNIPPETS[name], style, DeviceWork(specimen, ("1",)))
    assert query.asked.specimen_ids == (specimen,)
    assert at_once[0].split("|")[8] == kind


def test_the_display_answer_is_that_of_the_vendor_s_example():
    """All but the sample number (DSP-22), which the vendor's LIS gives and we do not, and what time it is."""
    work = DeviceWork(
        "S0000002",
        ("1", "2"),
        specimen="serum",
        collected_at=datetime(2026, 1, 10, 5, 0, tzinfo=UTC),
        patient_no="854",
        patient_name="Test",
        birth_date=date(1988, 9, 22),
        sex="female",
    )
    _, _, (sent,) = asked(SNIPPETS["mindray_bs_qry"], "mindray_bs", work)
    wanted = SNIPPETS["mindray_bs_dsr"].replace("DSP|22||2|||", "DSP|22|||||")
    assert sent == wanted


def test_the_response_is_that_of_a_cobas():
    _, (said,), _ = asked(SNIPPETS["cobas_pro_qbp"], "roche_law")
    wanted = SNIPPETS["cobas_pure_rsp"].split("\r")
    assert said.split("\r")[1:] == wanted[1:]
    assert said.split("\r")[0].endswith("|P|2.5.1||||||UNICODE UTF-8|||LAB-27R^ROCHE")


def test_a_law_order_has_the_segments_of_the_example():
    wanted = LAW["law_oml_order"]["message"].removesuffix("\r").split("\r")
    work = DeviceWork("26S000123", ("GLU", "CRE"), specimen="serum", patient_no="P0001")
    _, _, (sent,) = asked(LAW["law_qbp_wos"]["message"], "law", work)
    ours = sent.removesuffix("\r").split("\r")
    assert [line[:3] for line in ours] == [line[:3] for line in wanted if line[:3] != "PV1"]
    assert ours[0].split("|")[14:] == wanted[0].split("|")[14:]
    steps = [line.split("|")[2] for line in ours if line.startswith("OBR")]
    assert steps == LAW["law_oml_order"]["expect"]["awos"]
    _, _, (nothing,) = asked(LAW["law_qbp_wos"]["message"], "law")
    empty = LAW["law_oml_negative"]["message"].removesuffix("\r").split("\r")
    assert [line.split("|")[:2] for line in nothing.removesuffix("\r").split("\r")[1:]] == [
        line.split("|")[:2] for line in empty[1:]
    ]


def test_orders_and_verdicts_of_the_law_examples():
    lines = read_orders(parse_message(LAW["law_oml_order"]["message"].encode())).lines
    expect = LAW["law_oml_order"]["expect"]
    assert [line.placer_no for line in lines] == expect["awos"]
    assert {line.specimen_id for line in lines} == {expect["specimen"]}
    verdict = read_verdict(parse_message(LAW["law_orl_ok"]["message"].encode()))
    assert verdict is not None
    assert (verdict.control_id, verdict.result) == ("O0001", DownloadResult.REFUSED)
    assert verdict.note == "1 of 2 refused: UA"


def test_device_messages_that_are_no_results_are_acknowledged():
    (answer,) = acknowledgements(SNIPPETS["wondfo_esu"].encode(), StoreOutcome(accepted=True))
    assert b"\rMSA|AA|1" in answer


def test_a_batch_file_is_all_of_its_messages():
    raw = (HL7 / "oie_test-hl7-batch-input.txt").read_bytes()
    parts = split_batch(raw)
    assert len(parts) == len(re.findall(rb"(?m)^MSH", raw.replace(b"\r", b"\n")))
    assert all(parse_message(part).header.name == "MSH" for part in parts)
