"""Public captures and vectors of analyzers, where they are at hand: nothing crashes and no result is lost."""

import json
import os
import re
from pathlib import Path

import pytest

from connectors.analyzers.driver import MODELS
from connectors.astm.framing import frames_of
from connectors.astm.messages import read_message as read_astm
from connectors.astm.records import unframe
from connectors.astm.sender import AstmSender, Finished, SenderRole
from connectors.astm.session import Arrived, AstmReceiver, Broken, Reply
from connectors.hl7.ack import acknowledgements
from connectors.hl7.codec import DEFAULT_DELIMITERS, parse_message, unescape
from connectors.hl7.framing import Block, MllpDecoder, encode_block, split_http_body
from connectors.hl7.messages import read_message as read_hl7
from domain.accession import damm_check_digit
from domain.device_profile import DeviceProfile
from domain.errors import MessageError
from domain.observations import MessageKind, StoreOutcome

CORPUS = Path(os.environ.get("LABSETU_CORPUS", Path(__file__).parents[2] / ".." / "shared" / "data"))
INSTRUMENTS = CORPUS / "instruments"
ASTM, HL7 = DeviceProfile(protocol="astm"), DeviceProfile(protocol="hl7")

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not (INSTRUMENTS / "astm").is_dir(), reason="no public captures under LABSETU_CORPUS"),
]


def loaded(name: str):
    path = INSTRUMENTS / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def named(cases, key: str = "name"):
    return {"argvalues": cases, "ids": [case[key] for case in cases]}


LINK = loaded("astm/link_vectors.json")
MLLP = loaded("hl7/mllp_vectors.json")


class Receiver:
    """Plays the `in`, `out`, `timer` and `deliver` steps of a vector against a receiver."""

    def __init__(self) -> None:
        self.session = AstmReceiver()
        self.out = b""
        self.delivered: list[bytes] = []
        self.flags: list[str] = []

    def take(self, events) -> None:
        for event in events:
            if isinstance(event, Reply):
                self.out += event.data
            else:
                if isinstance(event, Arrived):
                    self.delivered += event.messages
                    self.flags.append(event.flag)
                self.take(self.session.settle(is_durable=True))

    def said(self) -> str:
        out, self.out = self.out, b""
        return out.hex()

    def records(self) -> list[list[str]]:
        delivered, self.delivered = self.delivered, []
        return [message.decode("latin-1").removesuffix("\r").split("\r") for message in delivered]


def play_receiver(player: Receiver, step) -> None:
    if "in" in step:
        player.take(player.session.feed(bytes.fromhex(step["in"])))
    if "out" in step:
        assert player.said() == step["out"]
    if "timer" in step:
        player.take(player.session.expire())
    if "deliver" in step:
        assert player.records() == step["deliver"]
    if "flag" in step:
        assert step["flag"] in player.flags


@pytest.mark.parametrize("case", **named(LINK.get("receiver", [])))
def test_receiver_vectors(case):
    player = Receiver()
    player.session.is_accepting = not case["name"].startswith("receiver not ready")
    for step in case["steps"]:
        play_receiver(player, step)


@pytest.mark.parametrize("case", **named(LINK.get("sender", [])))
def test_sender_vectors(case):
    # the frames to send are those the longest dialogue shows
    frames = [step["out"] for step in LINK["sender"][0]["steps"] if len(step.get("out", "")) > 2]
    sender = AstmSender([bytes.fromhex(frame) for frame in frames], role=SenderRole(case.get("role", "instrument")))
    receiver = Receiver()
    events = sender.start()
    results = []
    for step in case["steps"]:
        if "out" in step:
            said = [event.data for event in events if isinstance(event, Reply)] or [bytes.fromhex(receiver.said())]
            assert said[0].hex() == step["out"]
            events = [event for event in events if isinstance(event, Finished)] or events[1:]
        elif "timer" in step:
            assert sender.timer.seconds == step["timer"]
            events += sender.expire()
        elif "in" in step:
            if sender.timer is None:
                receiver.take(receiver.session.feed(bytes.fromhex(step["in"])))
            else:
                events += sender.feed(bytes.fromhex(step["in"]))
        results += [event.result for event in events if isinstance(event, Finished)]
        if "result" in step:
            assert step["result"] in results


@pytest.mark.parametrize("case", **named(LINK.get("frames", [])))
def test_frame_vectors(case):
    expected = case["hex"] if isinstance(case["hex"], list) else [case["hex"]]
    raws = [bytes.fromhex(raw) for raw in expected]
    receiver = Receiver()
    receiver.take(receiver.session.feed(b"\x05"))
    receiver.session._expected = int(raws[0][1:2])
    for raw in raws:
        receiver.take(receiver.session.feed(raw))
        assert receiver.said()[-2:] == "06"


ASTM_FILES = sorted((INSTRUMENTS / "astm").glob("*.astm")) if INSTRUMENTS.is_dir() else []


@pytest.mark.parametrize("path", ASTM_FILES, ids=lambda path: path.name)
def test_no_result_of_an_astm_capture_is_lost(path):
    raw = path.read_bytes()
    if path.name == "senaite_spotchem_el.astm":  # not ASTM: the device's own text
        with pytest.raises(MessageError):
            read_astm(raw, ASTM)
        return
    read = read_astm(raw, ASTM)
    text = unframe(raw).replace(b"\r", b"\n")
    sent = len(re.findall(rb"(?m)^ *R[|;]", text))
    assert sum(len(specimen.observations) for specimen in read.specimens) + read.skipped_rows == sent
    assert (read.kind is MessageKind.RESULTS) == bool(sent)


@pytest.mark.parametrize(
    "path",
    [path for path in ASTM_FILES if path.name.startswith("gmcs_") and path.read_bytes().startswith(b"\x05")],
    ids=lambda path: path.name,
)
def test_real_transmissions_pass_the_receiver_without_a_refusal(path):
    raw = path.read_bytes()
    player = Receiver()
    player.take(player.session.feed(raw))
    player.take(player.session.close())
    frames = raw.count(b"\x02")
    assert player.said() == "06" * (frames + 1)
    assert b"".join(player.delivered) == unframe(raw)


def test_erba_xl_captures_name_specimen_test_and_value():
    profile = MODELS["erba_xl"].profile
    for path in [path for path in ASTM_FILES if path.name.startswith("gmcs_erba_xl")]:
        (specimen,) = read_astm(path.read_bytes(), profile).specimens
        (row,) = specimen.observations
        assert re.fullmatch(r"\d{7}", specimen.specimen_id)
        assert row.code.isalpha()
        assert row.value
        assert row.observed_at is not None
        assert row.comments


@pytest.mark.parametrize("case", **named(loaded("astm/snippets.json") or []))
def test_astm_snippets(case):
    raw = "\r".join(case["records"] or []).encode() or b"".join(bytes.fromhex(f["hex"]) for f in case["frames"])
    read = read_astm(raw, ASTM)
    sent = len(re.findall(rb"(?m)^R\|", unframe(raw).replace(b"\r", b"\n")))
    assert sum(len(specimen.observations) for specimen in read.specimens) + read.skipped_rows == sent


def test_mindray_bs430_shapes():
    shapes = {entry["name"]: entry for entry in loaded("astm/indian_field_shapes.json")["entries"]}
    profile = MODELS["mindray_bs"].profile
    result = read_astm(bytes.fromhex(shapes["mindray_bs430_result"]["hex"]), profile)
    (specimen,) = result.specimens
    expected = shapes["mindray_bs430_result"]["expect"]
    assert specimen.specimen_id == expected["specimen"]
    assert not specimen.is_control
    assert [{"code": r.code, "value": r.value, "unit": r.unit} for r in specimen.observations] == expected["results"]
    query = read_astm(bytes.fromhex(shapes["mindray_bs430_query"]["hex"]), profile)
    assert query.queried_specimens == (shapes["mindray_bs430_query"]["expect"]["specimen"],)


def test_sysmex_capture():
    path = INSTRUMENTS / "astm" / "senaite_sysmex_xp100.astm"
    (specimen,) = read_astm(path.read_bytes(), MODELS["sysmex_xn"].profile).specimens
    assert specimen.specimen_id == "113"
    assert {row.code: row.value for row in specimen.observations}["WBC"] == "5.5"
    assert {row.replicate for row in specimen.observations} == {"1"}


@pytest.mark.parametrize("case", **named(MLLP.get("mllp", [])))
def test_mllp_vectors(case):
    decoder = MllpDecoder()
    blocks = [block for chunk in case["chunks"] for block in decoder.feed(bytes.fromhex(chunk))]
    blocks += decoder.give_up("end of stream")
    messages, rejected, flags = [], 0, set()
    for block in blocks:
        if not isinstance(block, Block):
            continue
        try:
            message = parse_message(block.message)
        except MessageError:
            rejected += 1
            (answer,) = acknowledgements(block.message, StoreOutcome(accepted=True, readable=False))
            assert b"MSA|AR" in answer
            continue
        messages.append([segment.text for segment in message.segments])
        flags |= {"charset_fallback"} if message.charset_fallback else set()
    assert messages == case["messages"]
    assert rejected == case.get("rejected", 0)
    assert sum(not isinstance(block, Block) for block in blocks) == case.get("discarded", 0)
    assert {case["flag"]} <= flags if "flag" in case else True


@pytest.mark.parametrize("case", **named(MLLP.get("escapes", []), "raw"))
def test_hl7_escape_vectors(case):
    assert unescape(case["raw"], DEFAULT_DELIMITERS) == case["decoded"]


@pytest.mark.parametrize("case", **named(loaded("hl7/law_synthetic.json") or []))
def test_law_messages(case):
    read = read_hl7(case["message"].encode(), HL7)
    expect = case["expect"]
    rows = [row for specimen in read.specimens for row in specimen.observations]
    for wanted, row in zip(expect.get("results", []), rows, strict=bool(expect.get("results"))):
        assert (row.code, row.value, row.unit) == (wanted["code"], wanted["value"], wanted["unit"])
        assert (row.reference_range, row.abnormal_flags) == (wanted["range"], (wanted["flag"],))
        assert row.observed_at == HL7.instant(wanted["at"])
    if "note" in expect:
        assert read.specimens[0].comments == (expect["note"],)
    if "mode" in expect:
        assert read.queried_specimens == (expect["specimen"],)
    if "results" in expect:
        assert read.specimens[0].specimen_id == expect["specimen"]
    if expect.get("qc"):
        assert read.specimens[0].is_control
        assert rows[0].value == expect["value"]
    if "msa2" in expect:
        assert read.kind is MessageKind.ACKNOWLEDGEMENT


@pytest.mark.parametrize("case", **named(loaded("hl7/snippets.json") or []))
def test_hl7_snippets(case):
    raw = "\r".join(case["records"]).encode()
    read = read_hl7(raw, HL7)
    sent = sum(record.startswith("OBX") for record in case["records"])
    assert sum(len(specimen.observations) for specimen in read.specimens) + read.skipped_rows == sent


def test_mindray_bc_snippet():
    (case,) = [case for case in loaded("hl7/snippets.json") if case["name"] == "mindray_bc_oru"]
    (specimen,) = read_hl7("\r".join(case["records"]).encode(), MODELS["mindray_bc"].profile).specimens
    assert specimen.specimen_id == "S0000123"
    assert [row.code for row in specimen.observations] == ["WBC", "LYM#", "RBC", "HGB"]
    assert specimen.observations[-1].abnormal_flags == ("H", "A")


HL7_FILES = [
    path
    for path in (sorted((INSTRUMENTS / "hl7").iterdir()) if INSTRUMENTS.is_dir() else [])
    if path.suffix in {".hl7", ".bin"} or path.name.startswith(("oie_", "hapi_"))
]


@pytest.mark.parametrize("path", HL7_FILES, ids=lambda path: path.name)
def test_hl7_files_are_read_or_refused_and_always_answered(path):
    raw = path.read_bytes()
    for part in split_http_body(raw) or [raw]:
        is_readable = True
        try:
            read = read_hl7(part, HL7)
        except MessageError:
            is_readable = False
        else:
            sent = len(re.findall(rb"(?m)^OBX", part.replace(b"\r", b"\n")))
            found = sum(len(specimen.observations) for specimen in read.specimens) + read.skipped_rows
            assert found == (sent if read.kind is MessageKind.RESULTS else 0)
        for answer in acknowledgements(part, StoreOutcome(accepted=True, readable=is_readable)):
            assert parse_message(answer).segments[1].name == "MSA"


def test_a_capture_survives_the_way_over_our_own_frames():
    for path in ASTM_FILES:
        text = unframe(path.read_bytes())
        records = [record for record in text.split(b"\r") if record]
        player = Receiver()
        for frame in (b"\x05", *frames_of(b"".join(record + b"\r" for record in records)), b"\x04"):
            player.take(player.session.feed(frame))
        sent = [record for record in b"".join(player.delivered).split(b"\r") if record.strip(b"\n ")]
        if b"\n" not in text:  # LF may not stand in a frame; files with LF are bare record dumps
            assert sent == records


def test_image_of_300_kb():
    head = bytes.fromhex(MLLP["mllp"][0]["chunks"][0])[1:-2]
    message = head + b"OBX|2|ED|IMG||^Image^PNG^Base64^" + b"A" * 300_000 + b"\r"
    (block,) = MllpDecoder().feed(encode_block(message))
    assert read_hl7(block.message, HL7).skipped_rows == 1
    assert b"MSA|AA|1" in acknowledgements(message, StoreOutcome(accepted=True))[0]


def test_damm_vectors():
    vectors = json.loads((CORPUS / "lis" / "check_digit_vectors.json").read_text(encoding="utf-8"))["vectors"]
    damm = [vector for vector in vectors if vector["alg"] == "damm"]
    assert damm
    for vector in damm:
        assert str(damm_check_digit(vector["body"])) == vector["check"]


def test_broken_is_never_delivered_as_a_message():
    for case in LINK["receiver"]:
        session = AstmReceiver()
        for step in case["steps"]:
            for event in session.feed(bytes.fromhex(step.get("in", ""))):
                assert isinstance(event, Reply | Arrived | Broken)
            while not session.is_settled:
                session.settle(is_durable=True)
