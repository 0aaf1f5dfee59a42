"""Captures of ASTM devices: written as they were read, every field with its name, every query with its answer."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.astm.codec import build_message, parse_records
from connectors.astm.fields import named_fields
from connectors.astm.framing import Frame, FrameCollector, frames_of
from connectors.astm.queries import query_of
from connectors.astm.records import unframe
from connectors.astm.work import answer_message
from domain.device_orders import DeviceWork
from domain.device_profile import DeviceProfile

CORPUS = Path(os.environ.get("LABSETU_CORPUS", Path(__file__).parents[2] / ".." / "shared" / "data"))
ASTM = CORPUS / "instruments" / "astm"
FILES = sorted(ASTM.glob("*.astm")) if ASTM.is_dir() else []
NOW = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not FILES, reason="no public captures under LABSETU_CORPUS"),
]

# why a file is not the same once read and written again
DIFFERENT = {
    "goastm_e2e_TestIdentifyOrderAndResultWithMultiHeader.astm": "the publisher escaped the backslash twice",
    "goastm_e2e_TestIdentifyQueryWithMultiHeader.astm": "the publisher escaped the backslash twice",
    "goastm_yumizen_result.astm": "the publisher escaped the backslash twice",
    "openelis_malformed.astm": "a header without delimiters, and text that is no record",
}


def loaded(name: str):
    path = ASTM / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


SNIPPETS = {case["name"]: case for case in loaded("snippets.json")}
SHAPES = {case["name"]: case for case in (loaded("indian_field_shapes.json") or {"entries": []})["entries"]}


def snippet(name: str) -> bytes:
    case = SNIPPETS[name]
    raw = b"".join(bytes.fromhex(frame["hex"]) for frame in case.get("frames") or [])
    return raw or "\r".join([*case["records"], ""]).encode()


def lines_of(raw: bytes) -> list[bytes]:
    text = unframe(raw).replace(b"\r\n", b"\r").replace(b"\n", b"\r")
    lines = (line.lstrip(b" \0").rstrip(b"\0") for line in text.split(b"\r"))
    return [line for line in lines if line.strip()]


def written_again(raw: bytes) -> list[bytes]:
    records = parse_records(b"\r".join(lines_of(raw)).decode("latin-1"))
    return [build_message([record.written()], record.delimiters).removesuffix(b"\r") for record in records]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_read_is_written_again_as_it_was(path):
    raw = path.read_bytes()
    is_same = written_again(raw) == lines_of(raw)
    assert is_same == (path.name not in DIFFERENT), DIFFERENT.get(path.name)


@pytest.mark.parametrize("name", SNIPPETS, ids=str)
def test_what_is_read_of_a_snippet_is_written_again_as_it_was(name):
    assert written_again(snippet(name)) == lines_of(snippet(name))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_field_of_every_record_has_a_name(path):
    for record in parse_records(unframe(path.read_bytes()).decode("latin-1")):
        named = named_fields(record)
        assert [each.number for each in named] == list(range(1, record.field_count + 1))
        assert all(each.name for each in named)
        assert record.kind == "" or named[0].value.strip().upper() == record.kind


FRAMED = [
    entry
    for entry in json.loads((ASTM.parent / "manifest.json").read_text(encoding="utf-8") if FILES else "[]")
    if entry.get("frames") and (ASTM.parent / entry["file"]).suffix == ".astm"
]


@pytest.mark.parametrize("entry", FRAMED, ids=lambda entry: entry["file"])
def test_the_checksums_of_real_frames_hold(entry):
    raw = (ASTM.parent / entry["file"]).read_bytes()
    collector, position, frames = FrameCollector(), raw.find(b"\x02"), []
    while position >= 0:
        collector.open()
        frame, position = collector.take(raw, position + 1)
        frames.append(frame or collector.finish())
        position = raw.find(b"\x02", position)
    assert len(frames) == entry["frames"]
    assert sum(isinstance(frame, Frame) for frame in frames) == entry["checksum_ok"]


@pytest.mark.parametrize("path", [path for path in FILES if path.read_bytes().count(b"\x02") > 1], ids=lambda p: p.name)
def test_text_survives_frames_that_all_end_in_etx(path):
    text = b"".join(line + b"\r" for line in lines_of(path.read_bytes()))
    frames = frames_of(text, ends_every_frame=True)
    assert unframe(b"".join(frames)) == text


def answer(raw: bytes, codes: tuple[str, ...], **profile) -> list[str]:
    device = DeviceProfile(protocol="astm", **profile)
    query = query_of(raw, device)
    work = [DeviceWork(tube.specimen_id, codes, specimen="serum") for tube in query.tubes]
    return answer_message(query, work, device, NOW).decode("latin-1").removesuffix("\r").split("\r")


def test_roche_is_answered_as_in_the_snippet():
    work = {"style": "roche_astm"}
    lines = answer(snippet("roche_h7600_query"), ("668", "421", "452"), work=work)
    assert lines == SNIPPETS["roche_h7600_order_reply"]["records"]


def test_mindray_bs430_is_answered_in_the_shape_seen():
    lines = answer(bytes.fromhex(SHAPES["mindray_bs430_query"]["hex"]), ("SGOT", "TP"), work={"style": "mindray_bs"})
    expected = SHAPES["mindray_bs430_order_reply"]["text"]
    ours, theirs = lines[2].split("|"), expected[2].rstrip("|").split("|")
    assert ours[:6] + ours[8:] == theirs[:6] + theirs[8:]  # but for the times
    assert lines[0].split("|")[11:13] == expected[0].split("|")[11:13]
    assert (lines[1], lines[3]) == (expected[1], expected[3])


def test_maglumi_is_answered_in_the_shape_seen():
    expected = next(step for step in SHAPES["maglumi_x3_host_download"]["text"] if step.startswith("H|"))
    expected = expected.split("<CR>")[:4]
    raw = "\r".join([expected[0], "Q|1|^26S000133||ALL||||||||O", "L|1|N", ""]).encode()
    lines = answer(raw, ("TSH II", "FT3 II"), frame_style="simple", work={"style": "snibe"})
    assert lines[1:] == expected[1:]
    assert lines[0].split("|")[:13] == expected[0].split("|")[:13]


def test_dxi_is_answered_in_the_shape_seen():
    lines = answer(snippet("beckman_dxi_query"), ("TSH3", "TotT4"), work={"style": "astm"})
    theirs = SHAPES["beckman_dxi_order_reply"]["text"][2][1:].split("|")
    ours = lines[2].split("|")
    assert [ours[number] for number in (4, 11, 25)] == [theirs[number] for number in (4, 11, 25)]


@pytest.mark.parametrize("name", ["erba_xl_query", "meril_autoquant_query"])
def test_a_batch_is_answered_tube_by_tube(name):
    lines = answer(snippet(name), ("ALB", "CRR"), work={"style": "astm", "specimen_form": "{id}^03"})
    orders = [line for line in lines if line.startswith("O|")]
    asked = query_of(snippet(name), DeviceProfile(protocol="astm")).tubes
    assert [order.split("|")[2] for order in orders] == [f"{tube.specimen_id}^03" for tube in asked]
    assert all("^^^ALB`^^^CRR" in order for order in orders)
    assert len(asked) >= 3


def test_vitros_asks_and_takes_back():
    device = DeviceProfile(protocol="astm", work={"style": "astm"})
    queries = [query_of(path.read_bytes(), device) for path in FILES if "vitros3600" in path.name]
    found = [(query.wanted.specimen_ids, query.is_cancelled) for query in queries if query is not None]
    assert (("1068687",), False) in found
    assert ((), True) in found
