from hypothesis import given
from hypothesis import strategies as st

from connectors.astm.codec import parse_records
from connectors.astm.repeats import without_repeats


def kept(*records: str) -> tuple[list[str], int]:
    found, left_out = without_repeats(parse_records("\r".join(("H|\\^&", *records, "L|1"))))
    return [record.text for record in found][1:-1], left_out


def test_an_order_said_again_counts_once_in_its_last_place():
    first = ("P|1||7", "O|1|A", "C|1|I|old|G", "R|1|^^^X|1", "C|1|I|low|I", "M|1|x", "R|2|^^^Y|2")
    again = ("P|1||7", "O|1|A", "C|1|I|old|G", "R|1|^^^X|1", "C|1|I|low|I", "R|2|^^^Y|2", "R|3|^^^Z|3")
    assert kept(*first, *again) == (["P|1||7", "O|1|A", *again], 2)


def test_results_without_an_order_are_told_apart_by_their_patient():
    assert kept("P|1||7", "R|1|^^^X|1", "P|1||7", "R|1|^^^X|1") == (["P|1||7", "P|1||7", "R|1|^^^X|1"], 1)
    assert kept("P|1||7", "R|1|^^^X|1", "P|1||8", "R|1|^^^X|1")[1] == 0


def test_the_same_value_of_another_order_or_twice_in_one_order_is_no_repeat():
    different = ("P|1", "O|1|A", "R|1|^^^X|1", "O|2|A", "R|1|^^^X|1")
    assert kept(*different) == (list(different), 0)
    replicates = ("P|1", "O|1|A", "R|1|^^^X|1", "R|1|^^^X|1")
    assert kept(*replicates) == (list(replicates), 0)


def test_another_value_is_no_repeat():
    rerun = ("P|1", "O|1|A", "R|1|^^^X|1", "P|1", "O|1|A", "R|1|^^^X|2")
    assert kept(*rerun) == (list(rerun), 0)


@given(
    st.lists(
        st.sampled_from(["P|1", "P|2", "O|1|A", "O|2|B", "R|1|1", "R|2|2", "C|1|I|x", "M|1|y", "Q|1|7"]), max_size=20
    )
)
def test_no_result_is_lost(lines):
    records = parse_records("\r".join(lines))
    found, left_out = without_repeats(records)
    texts = {record.text for record in records if record.kind == "R"}
    assert {record.text for record in found if record.kind == "R"} == texts
    assert sum(record.kind == "R" for record in found) + left_out == sum(record.kind == "R" for record in records)
