import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.abdm import fhir_json
from domain.errors import MessageError


@pytest.mark.parametrize("digits", ["9.80", "0.010", "1E+3", "-0.00", "140", "12345678901234567.123456789"])
def test_decimals_keep_their_digits(digits):
    assert fhir_json.dumps({"value": Decimal(digits)}) == f'{{"value":{digits}}}'


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_comes_back_as_it_was(value):
    back = fhir_json.loads(fhir_json.dumps([value]))
    assert [Decimal(one) for one in back] == [value]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_everything_else_is_what_json_writes(value):
    assert json.loads(fhir_json.dumps(value)) == value


def _nested(depth: int):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [1.5, float("nan"), Decimal("NaN"), Decimal("Infinity"), b"x", {1}, object(), _nested(65)]
)
def test_what_has_lost_its_digits_or_is_no_json_is_refused(value):
    with pytest.raises(TypeError):
        fhir_json.dumps({"value": value})


@pytest.mark.parametrize("text", ["", "{", "NaN", "Infinity", b"\xff", "[" * 100_000, "1e99999999999999999999"])
def test_what_is_not_json_is_a_message_error(text):
    with pytest.raises(MessageError):
        fhir_json.loads(text)
