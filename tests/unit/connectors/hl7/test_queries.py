import pytest

from connectors.hl7.codec import parse_message
from connectors.hl7.queries import read_query
from domain.device_orders import WorkQuery
from tests.unit.connectors.hl7.work import cepheid_query, display_query, law_query, profile, worklist_query

LAW = profile("law")


def asked(text: str, rules=LAW):
    return read_query(parse_message(text.encode()), rules)


@pytest.mark.parametrize(
    ("text", "form", "query"),
    [
        (law_query(), "parameters", WorkQuery(("261123000017",))),
        (law_query(rest="A~B~A~ "), "parameters", WorkQuery(("A", "B"))),
        (law_query("WOS_ALL^Work Order Step All^IHELAW", ""), "parameters", WorkQuery(wants_all=True)),
        (law_query("INIBAR^^99ROC", "123^BARCODE|50001|1"), "parameters", WorkQuery(("123",))),
        (law_query("WOS_ROCHE^x^ROCHE", "sample123|S54|14"), "parameters", WorkQuery(("sample123",))),
        (cepheid_query(), "cepheid", WorkQuery(("261123000017",))),
        (cepheid_query("Z01^REQUEST TEST ORDERS", "ALL"), "cepheid", WorkQuery(wants_all=True)),
        (display_query(), "display", WorkQuery(("261123000017",))),
        (display_query(""), "display", WorkQuery(wants_all=True)),
        (display_query(what="CAN"), "display", WorkQuery(is_cancelled=True)),
        (worklist_query(), "order", WorkQuery(("261123000017",))),
        ("MSH|^~\\&|G||L||2026||QCN^J01|1|P|2.5\rQID|tag|N/D\r", "cancel", WorkQuery(is_cancelled=True)),
    ],
)
def test_what_is_asked(text, form, query):
    found = asked(text)
    assert found is not None
    assert (found.form, found.asked, found.is_by_place) == (form, query, False)


@pytest.mark.parametrize("name", ["WOS_BY_RACK^Work Order Step By Rack^IHELAW", "WOS_BY_TRAY^x^IHELAW", "WOS"])
def test_a_rack_without_a_tube_is_a_place(name):
    found = asked(law_query(name, "|R1|3"))
    assert found is not None
    assert found.is_by_place


@pytest.mark.parametrize(
    "text",
    [
        "MSH|^~\\&|A|B|||2026||ORM^O01|1|P|2.3.1\rORC|NW|1\rOBR|1\r",
        "MSH|^~\\&|A|B|||2026||RSP^K11|1|P|2.5.1\rMSA|AA|1\rQPD|WOS|T|S\r",
        "MSH|^~\\&|A|B|||2026||ESU^U01|1|P|2.4\rEQU|1\r",
        "MSH|^~\\&|A|B|||2026||QRY^A19|1|P|2.4\rQRD|2026|R|I|Q1|||1^RD|P0001|DEM\r",
    ],
)
def test_what_is_no_query(text):
    assert asked(text) is None


def test_the_profile_says_where_the_tube_is_named():
    rules = profile("mindray_bs", query_fields=("QRD.10.1", "QRF.1"))
    text = display_query("IGNORED").replace("|OTH|||T|", "|OTH|S77||T|")
    found = asked(text, rules)
    assert found is not None
    assert found.asked.specimen_ids == ("S77",)
    rules = profile("mindray_bc", query_fields=("ORC.4.1",))
    found = asked("MSH|^~\\&|||||2026||ORM^O01|1|P|2.3.1\rORC|RF|A|B|C^x\r", rules)
    assert found is not None
    assert found.asked.specimen_ids == ("C",)
