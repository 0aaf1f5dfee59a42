"""JSON with decimals kept digit by digit: `9.80` is a measurement with two decimals, `9.8` is another statement.

Source: HL7 FHIR R4, "Datatypes: decimal" ("the precision of the decimal value has significance").
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal

from domain.errors import MessageError

MAX_DEPTH = 64


def dumps(value: object, *, depth: int = MAX_DEPTH) -> str:
    """Return `value` as compact JSON; a Decimal keeps its digits, a float is refused because it has lost them.

    Raises:
        TypeError: It holds something that is not JSON, a float, or is nested too deeply.
    """
    match value:
        case None | bool() | int() | str():
            return json.dumps(value, ensure_ascii=False)
        case Decimal() if value.is_finite():
            return str(value)
        case Mapping() if depth:
            pairs = (
                f"{json.dumps(str(key), ensure_ascii=False)}:{dumps(item, depth=depth - 1)}"
                for key, item in value.items()
            )
            return "{" + ",".join(pairs) + "}"
        case Sequence() if depth and not isinstance(value, bytes | bytearray):
            return "[" + ",".join(dumps(item, depth=depth - 1) for item in value) + "]"
        case _:
            raise TypeError(f"{type(value).__name__} is not written to a health record")


def loads(text: bytes | str) -> object:
    """Return parsed JSON with every fraction as a Decimal.

    Raises:
        MessageError: It is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError, ArithmeticError):
        raise MessageError("the record is not JSON", code="NOT_JSON") from None


def _refuse(name: str) -> object:
    raise ValueError(name)
