from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.astm.codec import parse_records
from connectors.astm.queries import header_of, query_of
from connectors.astm.work import answer_message, order_message
from domain.device_orders import DeviceWork, WorkAction, WorkPriority
from domain.device_profile import DeviceProfile

NOW = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
HEAD = "H|\\^&|||SIM^1|||||LIS||P|LIS2-A2|20260901101500"
TUBE = "261123000017"
VITROS = {
    "test_form": "^^^1.0000+{code}+1.0",
    "further_test_form": "{code}+1.0",
    "code_pattern": r"(?:[\d.]+\+)?(\d+)\+[\d.]+",
}
ERBA = {"specimen_form": "{id}^03", "specimen_codes": {"serum": "SERUM"}}


def profile(**changes) -> DeviceProfile:
    work = {"style": "astm", **changes.pop("work", {})}
    return DeviceProfile(protocol="astm", work=work, **changes)


def answered(query: str, *work: DeviceWork, head: str = HEAD, device: DeviceProfile | None = None, away: bool = False):
    device = device or profile()
    asked = query_of(f"{head}\r{query}\rL|1|N\r".encode("latin-1"), device)
    message = answer_message(asked, None if away else work, device, NOW)
    return None if message is None else message.decode("latin-1").removesuffix("\r").split("\r")


def test_the_standard():
    work = DeviceWork(
        TUBE, ("GLU", "CRE"), priority=WorkPriority.STAT, collected_at=datetime(2026, 11, 23, 3, 0, tzinfo=UTC),
        patient_no="P0007", patient_name="Asha | Rao", birth_date=date(1960, 3, 15), sex="female",
    )  # fmt: skip
    assert answered(f"Q|1|^{TUBE}||ALL||||||||O", work) == [
        "H|\\^&|||LIS|||||SIM||P|LIS2-A2|20261123120000",
        "P|1||P0007||Asha &F& Rao||19600315|F",
        f"O|1|{TUBE}||^^^GLU\\^^^CRE|S||20261123083000||||N||||||||||||||Q",
        "L|1|F",
    ]


def test_siemens_centaur_says_no_work_with_the_terminator_alone():
    head = "H|\\^&|||ADVCNT_LIS|||||LIS_ID||P|1"
    assert answered("Q|1|^0504B0005S|^0504B0005S|ALL||||||||O", head=head) == [
        "H|\\^&|||LIS_ID|||||ADVCNT_LIS||P|1",
        "L|1|I",
    ]


def test_beckman_dxi_joins_its_tests_in_one_order():
    head = "H|\\^&|||ACCESS^609385|||||LIS||P|1|20240522084809"
    _, patient, order, last = answered(
        "Q|1|^26S000133||ALL||||||||O", DeviceWork("26S000133", ("TSH3", "TotT4")), head=head
    )
    assert (patient, last) == ("P|1", "L|1|F")
    assert order == "O|1|26S000133||^^^TSH3\\^^^TotT4|R||||||N||||||||||||||Q"


def test_roche_is_given_back_its_padding_and_its_place():
    query = "Q|1|^^           91101800034^3^50002^002^^S2^SC||ALL||||||||O"
    device = profile(work={"style": "roche_astm"})
    work = DeviceWork("91101800034", ("668", "421"), patient_name="is not sent")
    head = "H|\\^&|||H7600^1|||||host|TSREQ^REAL|P|1"
    assert answered(query, work, head=head, device=device) == [
        "H|\\^&|||host^1|||||H7600|TSDWN^REPLY|P|1",
        "P|1",
        "O|1|           91101800034|3^50002^002^^S2^SC|^^^668^\\^^^421^|R||||||A||||2||||||||||O",
        "L|1|N",
    ]
    assert answered(query, head=head, device=device) == ["H|\\^&|||host^1|||||H7600|TSDWN^REPLY|P|1", "L|1|I"]
    assert answered(query, head=head, device=device, away=True) is None


@pytest.mark.parametrize(
    ("specimen", "number"), [("serum", "1"), ("urine", "2"), ("csf", "3"), ("sweat", "5"), ("", "1")]
)
def test_roche_numbers_the_kinds_of_specimen(specimen, number):
    device = profile(work={"style": "roche_astm"})
    order = answered("Q|1|^^7^3^5^2", DeviceWork("7", ("1",), specimen=specimen), device=device)[2]
    assert order.split("|")[15] == number


def test_roche_results_carry_more_than_the_code():
    device = profile(work={"style": "roche_astm", "code_pattern": "([^/]+)/"})
    assert "|^^^685^\\^^^413^|" in answered("Q|1|^^7", DeviceWork("7", ("685/1/not", "413")), device=device)[2]


@pytest.mark.parametrize(
    ("rule", "expected"), [("style", "Y"), ("do_not_run", "X"), ("no_patient", "Z"), ("no_order", "Y")]
)
def test_sysmex_echoes_rack_and_place_and_is_told_what_to_do_without_an_order(rule, expected):
    device = profile(work={"style": "sysmex", "no_work": rule})
    head = "H|\\^&|||    XN-550^00-24||||||||E1394-97"
    place = "2^1^                  A-12^B"
    order = answered(f"Q|1|{place}||20260905", DeviceWork("A-12", ("WBC", "RBC")), head=head, device=device)[2]
    assert order == f"O|1|{place}|{place}|^^^^WBC\\^^^^RBC|R||||||N||||||||||||||Q"
    unknown = answered(f"Q|1|{place}||20260905", head=head, device=device)
    assert unknown[1:] == ["P|1", f"O|1|{place}|{place}||||||||||||||||||||||{expected}", "L|1|N"]


def test_a_tube_that_could_not_be_read_is_told_its_place_and_never_given_work():
    device = profile(work={"style": "sysmex", "no_work": "do_not_run"})
    place = "2^1^                      ^B"
    lines = answered(f"Q|1|{place}", DeviceWork("", ("WBC",)), DeviceWork("7", ("WBC",)), device=device)
    assert lines[2] == f"O|1|{place}|{place}||||||||||||||||||||||X"


def test_vitros_names_the_dilution_once():
    order = answered("Q|1|^1068687||ALL||||||||O", DeviceWork("1068687", ("1.0000+950+1.0", "951+1.0", "952")),
                     device=profile(work=VITROS))[2]  # fmt: skip
    assert order.split("|")[4] == "^^^1.0000+950+1.0\\951+1.0\\952+1.0"


def test_erba_asks_for_a_batch_in_its_own_delimiters():
    head = "H|`^&||||||||||P|E 1394-97|20200928132312"
    work = [DeviceWork("1007149", ("ALB", "CRR"), specimen="serum"), DeviceWork("1007151", ("ALB",))]
    query = "Q|1|^1007149`1007152`1007151|||S|||||||O"
    assert answered(query, *work, head=head, device=profile(work=ERBA)) == [
        "H|`^&|||LabSetu|||||||P|E 1394-97|20261123120000",
        "P|1",
        "O|1|1007149^03||^^^ALB`^^^CRR|R||||||N||||SERUM||||||||||Q",
        "P|2",
        "O|1|1007151^03||^^^ALB|R||||||N||||||||||||||Q",
        "L|1|F",
    ]
    each = answered(query, *work, head=head, device=profile(work={**ERBA, "no_work": "no_order"}))
    assert [line.split("|")[25] for line in each if line[0] == "O"] == ["Q", "Y", "Q"]


def test_mindray_bs430_has_the_tube_in_field_4():
    head = "H|\\^&|||Mindry^^|||||||RQ|1394-97|20260704000642"
    work = DeviceWork("26S000133", ("SGOT", "TP"), specimen="serum")
    assert answered("Q|221|^26S000133||||||||||O", work, head=head, device=profile(work={"style": "mindray_bs"})) == [
        "H|\\^&|||LabSetu|||||Mindry||SA|1394-97|20261123120000",
        "P|1",
        "O|1|1^1^1|26S000133|SGOT^^2^1\\TP^^2^1|R|20261123120000|20261123120000||||||||serum|||1|||||||Q",
        "L|1|N",
    ]


def test_snibe_is_spoken_to_in_its_own_name_or_not_at_all():
    device = profile(frame_style="simple")
    head = "H|\\^&||PSWD| MAGLUMI X3 |||||Lis||P|E1394-97|20180319"
    assert answered("Q|1|^26S000133", DeviceWork("26S000133", ("TSH II", "FT3 II")), head=head, device=device) == [
        "H|\\^&||PSWD| MAGLUMI X3 |||||Lis||P|E1394-97|20261123",
        "P|1",
        "O|1|26S000133||^^^TSH II\\^^^FT3 II|R",
        "L|1|N",
    ]
    assert answered("Q|1|^26S000133", head=head, device=device) is None


def test_nobody_to_ask_is_not_nothing_to_do():
    assert answered(f"Q|1|^{TUBE}", away=True)[-1] == "L|1|E"
    assert answered(f"Q|1|^{TUBE}", device=profile(work={"no_work": "silent"})) is None


def test_a_query_taken_back_is_not_answered():
    assert answered(f"Q|1|^{TUBE}||||||||||A", DeviceWork(TUBE, ("A",))) is None


def test_everything_that_waits():
    lines = answered(
        "Q|1|ALL", DeviceWork("1", ("A",)), DeviceWork("2", ("B",)), DeviceWork("1", ("C",), WorkAction.CANCEL)
    )
    orders = [line.split("|") for line in lines if line[0] == "O"]
    assert [(order[1], order[2], order[4], order[11]) for order in orders] == [
        ("1", "1", "^^^A", "N"), ("2", "1", "^^^C", "C"), ("1", "2", "^^^B", "N")
    ]  # fmt: skip
    assert [line for line in lines if line[0] == "P"] == ["P|1", "P|2"]


def test_the_lab_may_know_the_tube_by_another_name():
    assert answered("Q|1|^0007", DeviceWork(TUBE, ("A",)))[2].startswith("O|1|0007||^^^A|")


def test_one_order_for_every_test_where_repetitions_are_not_read():
    device = profile(work={"one_test_per_order": True, "actions": {"new": "A"}})
    lines = answered("Q|1|^7", DeviceWork("7", ("8687", "8685")), device=device)
    assert [line.split("|")[1:12:2] for line in lines if line[0] == "O"] == [
        ["1", "", "R", "", "", "A"], ["2", "", "R", "", "", "A"]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("action", "letter"),
    [(WorkAction.NEW, "N"), (WorkAction.CANCEL, "C"), (WorkAction.RERUN, "A"), (WorkAction.REFLEX, "G")],
)
def test_orders_nobody_asked_for(action, letter):
    device = profile(work={"actions": {"reflex": "G"}, "specimen_width": 15})
    message = order_message(DeviceWork(TUBE, ("GLU",), action), device, NOW).decode()
    assert message == (
        "H|\\^&|||LabSetu|||||||P|LIS2-A2|20261123120000\rP|1\r"
        f"O|1|   {TUBE}||^^^GLU|R||||||{letter}||||||||||||||O\rL|1|N\r"
    )


def test_orders_follow_the_header_the_device_has_sent():
    header = header_of(b"H|`^&|||H7600^1|||||host|RSUPL^REAL|P|1\r")
    device = profile(work={"style": "roche_astm", "specimen_width": 22, "pads": "right"})
    lines = order_message(DeviceWork("7", ("1", "2")), device, NOW, header).decode().split("\r")
    assert lines[0] == "H|`^&|||host^1|||||H7600|TSDWN^REAL|P|1"
    assert lines[2].startswith("O|1|7                     ||^^^1^`^^^2^|R")


MARKS = st.lists(st.sampled_from("|\\^&`@;~!$%#"), min_size=4, max_size=4, unique=True).map("".join)
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


@given(MARKS, WORDS, WORDS, st.integers(0, 8))
def test_any_delimiters_and_any_barcode_come_back_unharmed(marks, barcode, code, blanks):
    field, repeat, component, escape = marks
    device = profile()
    marked = {field: "F", component: "S", repeat: "R", escape: "E"}
    written = "".join(f"{escape}{marked[each]}{escape}" if each in marked else each for each in barcode)
    raw = f"H{field}{repeat}{component}{escape}{field * 3}X\rQ{field}1{field}{component}{' ' * blanks}{written}\r"
    query = query_of(raw.encode(), device)
    if query.wants_all:
        return
    assert query.wanted.specimen_ids == (barcode,)
    answer = answer_message(query, [DeviceWork(barcode, (code,))], device, NOW).decode()
    order = next(record for record in parse_records(answer) if record.kind == "O")
    assert order.components(3) == (" " * blanks + barcode,)
    assert order.components(5) == ("", "", "", code)


def test_rules_travel_as_json_and_forms_need_their_mark():
    device = profile(work={**VITROS, **ERBA, "actions": {"rerun": "G"}, "one_test_per_order": True})
    assert DeviceProfile.model_validate_json(device.model_dump_json()) == device
    for rule in ("test_form", "further_test_form", "specimen_form"):
        with pytest.raises(ValueError, match=rule):
            profile(work={rule: "^^^"})


def test_a_header_with_too_few_delimiters_is_answered_with_four():
    message = answered("Q;1;&7", DeviceWork("7", ("A^B;",)), head="H;^&;;;X")
    assert message[0].startswith("H;^&")
    order = next(record for record in parse_records("\r".join(message)) if record.kind == "O")
    assert order.value(3) == "7"
    assert order.components(5)[3] == "A^B;"
