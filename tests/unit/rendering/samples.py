"""A report and a bill as a small Indian laboratory issues them; invented people."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO

from pypdf import PdfReader

from domain.invoice_paper import InvoiceContent, PaperLine, PaperParty
from domain.report import (
    LabHeader,
    ReportContent,
    ReportLine,
    ReportPatient,
    ReportSection,
    ReportSpecimen,
    ReportStatus,
    Signatory,
)
from domain.results import ResultFlag

COLLECTED = datetime(2026, 11, 23, 3, 10, tzinfo=UTC)
URL = "https://reports.setu.example/check/3fQ9w0VnJx2Kp7LmTzR4cA"

HAEMOGLOBIN = ReportLine(
    test_name="Haemoglobin",
    result="6.4",
    unit="g/dL",
    flag=ResultFlag.CRITICAL_LOW,
    reference="12.0 – 15.1",
    method="Photometry",
    loinc="718-7",
    comments=("Called to Dr A. Rao at 10:05; read back.",),
)
REPORT = ReportContent(
    lab=LabHeader(
        name="Setu Diagnostics",
        address=("14 Ring Road", "New Delhi 110024"),
        contact="Tel. 011-4000 1234",
        registration="Registration DL/CE/417",
    ),
    patient=ReportPatient(name="Asha Verma", patient_no="P-0001742", age="34 years", sex="Female"),
    order_no="DEL-261123-0042",
    report_no="R-DEL-2627-000917",
    version=1,
    status=ReportStatus.FINAL,
    specimens=(
        ReportSpecimen("Whole blood (EDTA)", "261123000425", COLLECTED, COLLECTED + timedelta(minutes=42)),
        ReportSpecimen("Serum, left arm", "261123000433", COLLECTED, remark="slightly haemolysed"),
    ),
    sections=(
        ReportSection("Haematology", (HAEMOGLOBIN,), "Complete blood count (CBC)", "Whole blood (EDTA)"),
        ReportSection(
            "Biochemistry",
            (
                ReportLine("Creatinine", "0.82", "mg/dL", ResultFlag.NORMAL, "0.55 – 1.10", "Enzymatic", "2160-0"),
                ReportLine("Sodium", "148", "mmol/L", ResultFlag.HIGH, "136 – 145", performed_by="Metro Reference Lab"),
                ReportLine("Marker X", "12", is_research=True),
            ),
            comments=("Please repeat fasting.",),
        ),
    ),
    signatories=(
        Signatory(
            "Dr Meera Krishnan", "MD (Pathology)", "Authorised by", COLLECTED + timedelta(hours=4), "DMC/R/12345"
        ),
    ),
    reported_at=COLLECTED + timedelta(hours=4, minutes=5),
    verification_url=URL,
    referring_doctor="Dr A. Rao, Sunrise Clinic",
    notes=("Results relate only to the specimens received.",),
    rejected_specimens=("Plasma (fluoride) 261123000441: clotted",),
)

BILL = InvoiceContent(
    title="Bill of Supply",
    number="D1-2627-000123",
    document_date=date(2026, 11, 23),
    issued_at=COLLECTED,
    supplier=PaperParty("Setu Diagnostics Private Limited", ("14 Ring Road",), "07AABCS1429B1ZB", "Delhi (07)"),
    buyer=PaperParty("Asha Verma", ("22 Green Park",)),
    lines=(
        PaperLine("Complete blood count (CBC)", "999316", 30000, 3000),
        PaperLine("Fever panel", "999316", 15_000_000),
    ),
    irn_note="IRN not required: exempt supply.",
    total_in_words="Rupees one lakh fifty thousand two hundred seventy only",
)
TAX_INVOICE = replace(
    BILL,
    title="Tax Invoice",
    lines=(PaperLine("Research assay", "998111", 1_000_000, gst_rate=Decimal(18), tax_paise=180_000),),
    cgst_paise=90_000,
    sgst_paise=90_000,
    irn="ab" * 32,
    signed_qr="eyJhbGciOiJSUzI1NiJ9." + "Ab0-_" * 180,
    irn_note="",
    total_in_words="",
)


def pages_of(pdf: bytes) -> list[str]:
    """Return the text of each page, with runs of blanks and break hints taken out."""
    pages = [page.extract_text() for page in PdfReader(BytesIO(pdf)).pages]
    return [" ".join(text.replace("\u200b", "").split()) for text in pages]


def letters_of(text: str) -> str:
    """Return the text without any blanks, for what may be broken over lines."""
    return "".join(text.replace("\u200b", "").split())
