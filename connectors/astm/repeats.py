"""What a sender says twice in one message.

A sender that was interrupted repeats from the highest level it had not finished: the patient, the order and its results
come again under the same numbers. What was said again is taken from its last place, where it is complete.

Source: CLSI LIS02-A2, 5.2 (levels, storage) and 5.3 (recovery), read in specs.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.astm.codec import Record

_Said = tuple[str, str, str]


def without_repeats(records: Sequence[Record]) -> tuple[list[Record], int]:
    """Leave out results and comments of an order that the same order says again later in the message.

    Returns:
        The records that count, and how many results were left out.
    """
    orders, said = _places(records)
    last = {key: orders[index] for index, key in said.items()}
    is_left_out = [index in said and last[said[index]] != orders[index] for index in range(len(records))]
    kept: list[Record] = []
    left_out = 0
    follows_left_out = False
    for record, is_repeated in zip(records, is_left_out, strict=True):
        # C and M belong to the record before them
        follows_left_out = is_repeated or (follows_left_out and record.kind in {"C", "M"})
        if follows_left_out:
            left_out += record.kind == "R"
        else:
            kept.append(record)
    return kept, left_out


def _places(records: Sequence[Record]) -> tuple[list[int], dict[int, _Said]]:
    """Return the order each record belongs to, and of results and comments on orders what they say."""
    orders: list[int] = []
    said: dict[int, _Said] = {}
    order, last_kind = -1, ""
    texts = {"P": "", "O": ""}
    for index, record in enumerate(records):
        if record.kind in {"H", "P", "O"}:
            order = index
            texts["O"] = record.text if record.kind == "O" else ""
            if record.kind != "O":
                texts["P"] = record.text if record.kind == "P" else ""
        if record.kind == "R" or (record.kind == "C" and last_kind == "O"):
            said[index] = (texts["P"], texts["O"], record.text)
        orders.append(order)
        last_kind = last_kind if record.kind == "C" else record.kind
    return orders, said
