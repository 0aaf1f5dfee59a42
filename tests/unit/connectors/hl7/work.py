"""What the tests of work for analyzers share: a tube of work, a query, an inquiry."""

from datetime import UTC, date, datetime

from connectors.hl7.codec import Hl7Message, parse_message
from connectors.hl7.envelope import envelope_for
from connectors.hl7.queries import read_query
from connectors.hl7.replies import Inquiry
from domain.device_orders import DeviceWork
from domain.device_profile import DeviceProfile, WorkRules

MOMENT = datetime(2026, 9, 1, 4, 45, tzinfo=UTC)


def tube(specimen_id: str = "261123000017", *codes: str, **more) -> DeviceWork:
    known = {
        "specimen": "serum",
        "collected_at": datetime(2026, 9, 1, 4, 20, tzinfo=UTC),
        "patient_no": "P0001",
        "patient_name": "SHARMA ASHA",
        "birth_date": date(1980, 1, 2),
        "sex": "female",
    }
    return DeviceWork(specimen_id, codes or ("1067", "1043"), **{**known, **more})


def profile(style: str, **rules) -> DeviceProfile:
    return DeviceProfile(protocol="hl7", work=WorkRules(style=style, answers_queries=True, **rules))


def law_query(
    name: str = "WOS^Work Order Step^IHELAW", rest: str = "261123000017", *, profile_id: str = "LAB-27^IHE"
) -> str:
    return (
        "MSH|^~\\&|ALN|LAB1|LIS|LAB1|20260901101500+0530||QBP^Q11^QBP_Q11|Q0001|P|2.5.1|||NE|AL||UNICODE UTF-8|||"
        f"{profile_id}\rQPD|{name}|QT1|{rest}\rRCP|I||R^Real Time^HL70394\r"
    )


def display_query(barcode: str = "261123000017", what: str = "OTH") -> str:
    return (
        "MSH|^~\\&|Mindray|BS-200E|||20260901101500||QRY^Q02|7|P|2.3.1||||||ASCII|||\r"
        f"QRD|20260901101500|R|D|1|||RD|{barcode}|{what}|||T|\r"
        "QRF|BS-200E|20260901000000|20260901101500|||RCT|COR|ALL||\r"
    )


def worklist_query(barcode: str = "261123000017") -> str:
    return f"MSH|^~\\&|||||20260901101500||ORM^O01|389|P|2.3.1||||||UNICODE\rORC|RF||{barcode}||IP\r"


def cepheid_query(name: str = "Z03^HOST QUERY", rest: str = "PAT-1|261123000017") -> str:
    return (
        f"MSH|^~\\&|ICU^GeneXpert^1.0||LIS||20260901101500||QBP^{name[:3]}^QBP_{name[:3]}|abc|P|2.5\r"
        f"QPD|{name}|tag1|{rest}\rRCP|I\r"
    )


def inquiry(text: str, works, rules: DeviceProfile) -> Inquiry:
    message = parse_message(text.encode())
    query = read_query(message, rules)
    assert query is not None
    numbers = iter(range(1, 1000))
    envelope = envelope_for(rules, message.header)
    return Inquiry(query, works, rules, envelope, MOMENT, lambda: f"OUR{next(numbers)}")


def lines(raw: bytes) -> list[str]:
    return raw.decode().removesuffix("\r").split("\r")


def read(raw: bytes) -> Hl7Message:
    return parse_message(raw)
