"""A device's document: written and read back, and what is none."""

import json
from decimal import Decimal

import pytest
import yaml

from api.device_documents import MAX_BYTES, document_of, read_document, read_profile, written
from api.errors import BadRequestError
from domain.device_profile import DeviceProfile, FieldRule
from store.profiles import MappingRow

PROFILE = DeviceProfile(
    protocol="astm", specimen_fields=("O.4.3",), skip_rows=(FieldRule(field="R.3.5", pattern=r"SCAT|DIST"),)
)
MAPPINGS = [
    MappingRow(device_code="12", test_code="GLU", unit="mg/dL", factor=None),
    MappingRow(device_code="HB", test_code="HGB", unit="g/L", factor=Decimal("0.1")),
]
DOCUMENT = document_of("other", {"kind": "serial", "device": "/dev/ttyS0", "baud": 9600}, PROFILE, MAPPINGS)


@pytest.mark.parametrize("as_yaml", [True, False])
def test_what_is_written_is_read_back(as_yaml):
    text = written(DOCUMENT, as_yaml=as_yaml)
    assert read_document(text) == DOCUMENT
    assert (yaml.safe_load if as_yaml else json.loads)(text)["mappings"][1]["factor"] == "0.1"


def test_a_document_names_no_place():
    assert DOCUMENT.transport == {"kind": "serial", "baud": 9600}


def test_a_profile_is_taken_as_members_or_text():
    content = PROFILE.model_dump(mode="json")
    assert (
        read_profile(content) == read_profile(json.dumps(content)) == read_profile(yaml.safe_dump(content)) == PROFILE
    )


@pytest.mark.parametrize(
    "text",
    [
        "", "just words", "[1, 2]", "{}", "profile: {protocol: telepathy}", "profile: {protocol: astm}\nmore: 1",
        "kind: something.else\nprofile: {protocol: astm}", "profile: {protocol: astm, specimen_fields: [O]}",
        "profile: {protocol: astm}\nmappings: [{device_code: '1'}]", "a: &a [*a]", "x: !!python/object:os.system {}",
        "profile: {protocol: astm}\nmappings: [{device_code: '1', test: GLU, factor: '1e9'}]",
        "\x00", "[" * 3000, "- " * 3000, "x" * (MAX_BYTES + 1), "key: 'unclosed",
    ],
)  # fmt: skip
def test_what_is_no_document_is_refused_with_a_place(text):
    with pytest.raises(BadRequestError) as caught:
        read_document(text)
    assert caught.value.code == "DEVICE_DOCUMENT_INVALID"
    assert caught.value.action


def test_a_refusal_does_not_repeat_what_was_given():
    with pytest.raises(BadRequestError) as caught:
        read_document("profile: {protocol: astm, charset: Secret-Value}")
    assert "Secret-Value" not in caught.value.message
