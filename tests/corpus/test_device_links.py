"""Shapes of Beckman AU frames from live laboratories: read and answered byte by byte."""

import json
import os
from pathlib import Path

import pytest

from connectors.au.messages import read_message
from connectors.au.texts import answer, framed
from domain.clock import IST
from domain.device_orders import DeviceWork
from domain.device_profile import DeviceProfile
from domain.observations import MessageKind

DATA = Path(os.environ.get("LABSETU_CORPUS", Path(__file__).parents[2] / ".." / "shared" / "data"))
SHAPES = DATA / "instruments" / "astm" / "indian_field_shapes.json"

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not SHAPES.exists(), reason="no field shapes under LABSETU_CORPUS"),
]


def _shape(name: str) -> dict:
    return next(one for one in json.loads(SHAPES.read_bytes())["entries"] if one["name"] == name)


def _profile(**layout) -> DeviceProfile:
    return DeviceProfile.model_validate({"protocol": "au", "au": layout})


def test_a_request():
    shape = _shape("beckman_au_request")
    message = read_message(shape["text"].encode(), _profile())
    assert (message.kind, message.queried_specimens) == (MessageKind.QUERY, (shape["expect"]["specimen"],))


@pytest.mark.parametrize("layout", [{"specimen_width": 20, "results_offset": 46}, {"specimen_width": 20}, {}])
def test_a_result(layout: dict):
    shape = _shape("beckman_au_result")
    message = read_message(framed(shape["text"], _profile(**layout).au), _profile(**layout))
    (report,) = message.specimens
    assert report.specimen_id == shape["expect"]["specimen"]
    assert {row.code: row.value for row in report.observations} == shape["expect"]["results"]
    assert f"{message.sent_at.astimezone(IST):%Y%m%d%H%M%S}" == shape["expect"]["run_at"]


@pytest.mark.parametrize(
    ("name", "layout", "patient"),
    [
        ("beckman_au_reply_no_demographics", {}, ""),
        ("beckman_au_reply_with_demographics", {"has_name_block": True}, "TEST"),
    ],
)
def test_an_answer(name: str, layout: dict, patient: str):
    shape = _shape(name)
    request = f"R {shape['text'][2:8]}N{shape['text'][9:33]}"
    codes = tuple(str(number) for number in shape["expect"]["tests"])
    work = DeviceWork(specimen_id="x", codes=codes, patient_name=patient)
    assert answer(request, work, _profile(**layout).au) == shape["text"]
