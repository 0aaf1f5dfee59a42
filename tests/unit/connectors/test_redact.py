import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.redact import MASK, masked_body, masked_digits, masked_headers, masked_json


def test_secret_headers_are_masked_in_any_case():
    headers = {"AUTHORIZATION": "Basic x", "X-Api-Key": "k", "X-Mine": "m", "Accept": "application/json"}
    assert masked_headers(headers, ["x-mine"]) == {
        "AUTHORIZATION": MASK,
        "X-Api-Key": MASK,
        "X-Mine": MASK,
        "Accept": "application/json",
    }


def test_fields_are_masked_wherever_they_are():
    value = {"id": 1, "Name": "Asha", "items": [{"phone": "98", "n": 1}], "deep": {"own": "x"}}
    assert masked_json(value, frozenset({"own"})) == {
        "id": 1,
        "Name": MASK,
        "items": [{"phone": MASK, "n": 1}],
        "deep": {"own": MASK},
    }


def test_what_is_too_deep_or_too_long_is_cut():
    deep = {"a": {"a": {"a": {"a": "end"}}}}
    assert masked_json(deep, depth=2) == {"a": {"a": MASK}}
    assert len(masked_json(list(range(1000)))) == 200


@pytest.mark.parametrize(
    ("raw", "shown"),
    [(b"", ""), (b"<html>Asha</html>", "<17 bytes, not JSON>"), (b'{"a":' * 5000, "<25000 bytes, not JSON>")],
)
def test_what_is_not_json_is_only_measured(raw, shown):
    assert masked_body(raw) == shown


@given(st.dictionaries(st.sampled_from(["name", "to", "password", "x"]), st.text(min_size=30), max_size=4))
def test_no_masked_value_ever_shows(fields):
    shown = json.loads(masked_body(json.dumps(fields).encode(), limit=10**6))
    assert {key: value for key, value in shown.items() if key != "x"} == {key: MASK for key in fields if key != "x"}


def test_a_body_is_shown_up_to_the_limit():
    assert len(masked_body(json.dumps({"x": "y" * 10_000}).encode())) == 8192


@pytest.mark.parametrize(
    ("text", "shown"),
    [("call 919810012345 now", "call ***45 now"), ("order 123456789", "order 123456789"), ("", "")],
)
def test_long_numbers_are_masked(text, shown):
    assert masked_digits(text) == shown
