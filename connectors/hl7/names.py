"""Names of segments and fields, to show a message side by side with what its parts mean.

Source: HL7 2.5.1, chapters 2 to 5, 7 and 13 (segment definitions); OBX-26 to 30 from 2.8.2, because IHE LAW uses
OBX-29 in messages that call themselves 2.5.1.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from connectors.hl7.codec import Segment

_DEFINITIONS: Final = {
    "MSH": (
        "Message header: Field separator; Encoding characters; Sending application; Sending facility; Receiving "
        "application; Receiving facility; Date time of message; Security; Message type; Message control ID; "
        "Processing ID; Version ID; Sequence number; Continuation pointer; Accept acknowledgment type; "
        "Application acknowledgment type; Country code; Character set; Principal language of message; Alternate "
        "character set handling scheme; Message profile identifier"
    ),
    "MSA": (
        "Message acknowledgement: Acknowledgment code; Message control ID; Text message; Expected sequence "
        "number; Delayed acknowledgment type; Error condition"
    ),
    "ERR": (
        "Error: Error code and location; Error location; HL7 error code; Severity; Application error code; "
        "Application error parameter; Diagnostic information; User message; Inform person indicator; Override "
        "type; Override reason code; Help desk contact point"
    ),
    "EVN": (
        "Event type: Event type code; Recorded date time; Date time planned event; Event reason code; Operator "
        "ID; Event occurred; Event facility"
    ),
    "PID": (
        "Patient identification: Set ID; Patient ID; Patient identifier list; Alternate patient ID; Patient name; "
        "Mother's maiden name; Date time of birth; Administrative sex; Patient alias; Race; Patient address; "
        "County code; Phone number home; Phone number business; Primary language; Marital status; Religion; "
        "Patient account number; SSN number patient; Driver's license number patient; Mother's identifier; Ethnic "
        "group; Birth place; Multiple birth indicator; Birth order; Citizenship; Veterans military status; "
        "Nationality; Patient death date and time; Patient death indicator; Identity unknown indicator; Identity "
        "reliability code; Last update date time; Last update facility; Species code; Breed code; Strain; "
        "Production class code; Tribal citizenship"
    ),
    "MRG": (
        "Merge patient information: Prior patient identifier list; Prior alternate patient ID; Prior patient "
        "account number; Prior patient ID; Prior visit number; Prior alternate visit ID; Prior patient name"
    ),
    "PV1": (
        "Patient visit: Set ID; Patient class; Assigned patient location; Admission type; Preadmit number; Prior "
        "patient location; Attending doctor; Referring doctor; Consulting doctor; Hospital service; Temporary "
        "location; Preadmit test indicator; Re admission indicator; Admit source; Ambulatory status; VIP "
        "indicator; Admitting doctor; Patient type; Visit number; Financial class; Charge price indicator; "
        "Courtesy code; Credit rating; Contract code; Contract effective date; Contract amount; Contract period; "
        "Interest code; Transfer to bad debt code; Transfer to bad debt date; Bad debt agency code; Bad debt "
        "transfer amount; Bad debt recovery amount; Delete account indicator; Delete account date; Discharge "
        "disposition; Discharged to location; Diet type; Servicing facility; Bed status; Account status; Pending "
        "location; Prior temporary location; Admit date time; Discharge date time; Current patient balance; Total "
        "charges; Total adjustments; Total payments; Alternate visit ID; Visit indicator; Other healthcare "
        "provider"
    ),
    "NTE": "Notes and comments: Set ID; Source of comment; Comment; Comment type",
    "ORC": (
        "Common order: Order control; Placer order number; Filler order number; Placer group number; Order "
        "status; Response flag; Quantity timing; Parent; Date time of transaction; Entered by; Verified by; "
        "Ordering provider; Enterer's location; Call back phone number; Order effective date time; Order control "
        "code reason; Entering organization; Entering device; Action by; Advanced beneficiary notice code; "
        "Ordering facility name; Ordering facility address; Ordering facility phone number; Ordering provider "
        "address; Order status modifier; Advanced beneficiary notice override reason; Filler's expected "
        "availability date time; Confidentiality code; Order type; Enterer authorization mode; Parent universal "
        "service identifier"
    ),
    "OBR": (
        "Observation request: Set ID; Placer order number; Filler order number; Universal service identifier; "
        "Priority; Requested date time; Observation date time; Observation end date time; Collection volume; "
        "Collector identifier; Specimen action code; Danger code; Relevant clinical information; Specimen "
        "received date time; Specimen source; Ordering provider; Order callback phone number; Placer field 1; "
        "Placer field 2; Filler field 1; Filler field 2; Results rpt status chng date time; Charge to practice; "
        "Diagnostic serv sect ID; Result status; Parent result; Quantity timing; Result copies to; Parent; "
        "Transportation mode; Reason for study; Principal result interpreter; Assistant result interpreter; "
        "Technician; Transcriptionist; Scheduled date time; Number of sample containers; Transport logistics of "
        "collected sample; Collector's comment; Transport arrangement responsibility; Transport arranged; Escort "
        "required; Planned patient transport comment; Procedure code; Procedure code modifier; Placer "
        "supplemental service information; Filler supplemental service information; Medically necessary duplicate "
        "procedure reason; Result handling; Parent universal service identifier"
    ),
    "OBX": (
        "Observation result: Set ID; Value type; Observation identifier; Observation sub ID; Observation value; "
        "Units; References range; Abnormal flags; Probability; Nature of abnormal test; Observation result "
        "status; Effective date of reference range values; User defined access checks; Date time of the "
        "observation; Producer s reference; Responsible observer; Observation method; Equipment instance "
        "identifier; Date time of the analysis; Performing organization name; Performing organization address; "
        "Performing organization medical director; Performing organization name; Performing organization address; "
        "Performing organization medical director; Patient results release category; Root cause; Local process "
        "control; Observation type; Observation sub-type"
    ),
    "SPM": (
        "Specimen: Set ID; Specimen ID; Specimen parent ids; Specimen type; Specimen type modifier; Specimen "
        "additives; Specimen collection method; Specimen source site; Specimen source site modifier; Specimen "
        "collection site; Specimen role; Specimen collection amount; Grouped specimen count; Specimen "
        "description; Specimen handling code; Specimen risk code; Specimen collection date time; Specimen "
        "received date time; Specimen expiration date time; Specimen availability; Specimen reject reason; "
        "Specimen quality; Specimen appropriateness; Specimen condition; Specimen current quantity; Number of "
        "specimen containers; Container type; Container condition; Specimen child role"
    ),
    "SAC": (
        "Specimen container: External accession identifier; Accession identifier; Container identifier; Primary "
        "parent container identifier; Equipment container identifier; Specimen source; Registration date time; "
        "Container status; Carrier type; Carrier identifier; Position in carrier; Tray type; Tray identifier; "
        "Position in tray; Location; Container height; Container diameter; Barrier delta; Bottom delta; Container "
        "height diameter delta units; Container volume; Available specimen volume; Initial specimen volume; "
        "Volume units; Separator type; Cap type; Additive; Specimen component; Dilution factor; Treatment; "
        "Temperature; Hemolysis index; Hemolysis index units; Lipemia index; Lipemia index units; Icterus index; "
        "Icterus index units; Fibrin index; Fibrin index units; System induced contaminants; Drug interference; "
        "Artificial blood; Special handling code; Other environmental factors"
    ),
    "TQ1": (
        "Timing and quantity: Set ID; Quantity; Repeat pattern; Explicit time; Relative time and units; Service "
        "duration; Start date time; End date time; Priority; Condition text; Text instruction; Conjunction; "
        "Occurrence duration; Total occurrences"
    ),
    "TCD": (
        "Test code detail: Universal service identifier; Auto dilution factor; Rerun dilution factor; Pre "
        "dilution factor; Endogenous content of pre dilution diluent; Automatic repeat allowed; Reflex allowed; "
        "Analyte repeat status"
    ),
    "INV": (
        "Inventory detail: Substance identifier; Substance status; Substance type; Inventory container "
        "identifier; Container carrier identifier; Position on carrier; Initial quantity; Current quantity; "
        "Available quantity; Consumption quantity; Quantity units; Expiration date time; First used date time; On "
        "board stability duration; Test fluid identifiers; Manufacturer lot number; Manufacturer identifier; "
        "Supplier identifier; On board stability time; Target value"
    ),
    "EQU": (
        "Equipment detail: Equipment instance identifier; Event date time; Equipment state; Local remote control "
        "state; Alert level"
    ),
    "SID": (
        "Substance identifier: Application method identifier; Substance lot number; Substance container "
        "identifier; Substance manufacturer identifier"
    ),
    "QPD": "Query parameters: Message query name; Query tag; User parameters in successive fields",
    "RCP": (
        "Response control: Query priority; Quantity limited request; Response modality; Execution and delivery "
        "time; Modify indicator; Sort by field; Segment group inclusion"
    ),
    "QAK": (
        "Query acknowledgement: Query tag; Query response status; Message query name; Hit count; This payload; "
        "Hits remaining"
    ),
    "QRD": (
        "Original query definition: Query date time; Query format code; Query priority; Query ID; Deferred "
        "response type; Deferred response date time; Quantity limited request; Who subject filter; What subject "
        "filter; What department data code; What data code value qual; Query results level"
    ),
    "QRF": (
        "Original query filter: Where subject filter; When data start date time; When data end date time; What "
        "user qualifier; Other qry subject filter; Which date time qualifier; Which date time status qualifier; "
        "Date time selection qualifier; When quantity timing qualifier; Search confidence threshold"
    ),
    "QID": "Query identification: Query tag; Message query name",
    "DSP": "Display data: Set ID; Display level; Data line; Logical break point; Result ID",
    "DSC": "Continuation pointer: Continuation pointer; Continuation style",
    "FHS": (
        "File header: File field separator; File encoding characters; File sending application; File sending "
        "facility; File receiving application; File receiving facility; File creation date time; File security; "
        "File name ID; File header comment; File control ID; Reference file control ID"
    ),
    "BHS": (
        "Batch header: Batch field separator; Batch encoding characters; Batch sending application; Batch sending "
        "facility; Batch receiving application; Batch receiving facility; Batch creation date time; Batch "
        "security; Batch name ID type; Batch comment; Batch control ID; Reference batch control ID"
    ),
    "BTS": "Batch trailer: Batch message count; Batch comment; Batch totals",
    "FTS": "File trailer: File batch count; File trailer comment",
}
"""Title: field names, numbered from 1, separated by semicolons."""


class NamedField(NamedTuple):
    """One field as a person reads it.

    Attributes:
        path: `OBX-5`, or `OBX-5[2]` for the second repetition.
        name: From the standard; "" where it has none.
        value: As sent, still escaped: a person compares it with the raw text.
        shown: Unescaped.
    """

    path: str
    name: str
    value: str
    shown: str


def segment_title(name: str) -> str:
    """Return what a segment is, or "" for segments of the device's own."""
    return _DEFINITIONS.get(name, "").partition(": ")[0]


def field_name(segment: str, number: int) -> str:
    """Return the name of a field, or "" where the standard has none."""
    names = _field_names(segment)
    return names[number - 1] if 0 < number <= len(names) else ""


@lru_cache(maxsize=64)
def _field_names(segment: str) -> tuple[str, ...]:
    names = _DEFINITIONS.get(segment, "").partition(": ")[2]
    return tuple(names.split("; ")) if names else ()


def named_fields(segment: Segment) -> tuple[NamedField, ...]:
    """Return the fields of `segment` that hold something, in their order, each repetition by itself.

    Raises:
        MessageError: A field repeats too often.
    """
    found = []
    for number in range(1, segment.size + 1):
        values, shown = segment.repetitions(number), segment.values(number)
        for position, value in enumerate(values):
            if value:
                index = f"[{position + 1}]" if len(values) > 1 else ""
                path = f"{segment.name}-{number}{index}"
                found.append(NamedField(path, field_name(segment.name, number), value, shown[position]))
    return tuple(found)
