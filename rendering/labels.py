"""Headings of the report in English and, beside it, in the language of the patient. Reviewed texts; never results."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from domain.report import ReportLanguage

ENGLISH: Final = MappingProxyType(
    {
        "title": "Laboratory Report",
        "patient": "Patient",
        "age_sex": "Age / Sex",
        "patient_no": "Patient no.",
        "order_no": "Order no.",
        "report_no": "Report no.",
        "referred_by": "Referred by",
        "collected": "Collected",
        "received": "Received",
        "reported": "Reported",
        "specimen": "Specimen",
        "test": "Test",
        "result": "Result",
        "unit": "Unit",
        "reference": "Reference interval",
        "notes": "Notes",
        "end": "End of report",
        "scan": "Scan to check that this report is genuine",
        "preliminary": "PRELIMINARY REPORT: the final report may differ",
        "amended": "AMENDED REPORT",
        "rejected": "Specimens not examined",
    },
)
_HINDI: Final = MappingProxyType(
    {
        "title": "प्रयोगशाला रिपोर्ट",
        "patient": "रोगी",
        "age_sex": "आयु / लिंग",
        "patient_no": "रोगी सं.",
        "order_no": "ऑर्डर सं.",
        "report_no": "रिपोर्ट सं.",
        "referred_by": "चिकित्सक",
        "collected": "नमूना लिया",
        "received": "नमूना प्राप्त",
        "reported": "रिपोर्ट समय",
        "specimen": "नमूना",
        "test": "जाँच",
        "result": "परिणाम",
        "unit": "इकाई",
        "reference": "संदर्भ सीमा",
        "notes": "टिप्पणियाँ",
        "end": "रिपोर्ट समाप्त",
        "scan": "रिपोर्ट की सत्यता जाँचने के लिए स्कैन करें",
        "preliminary": "प्रारंभिक रिपोर्ट",
        "amended": "संशोधित रिपोर्ट",
        "rejected": "जिन नमूनों की जाँच नहीं हुई",
    },
)


def labels_for(language: ReportLanguage) -> Mapping[str, str]:
    """Return heading texts by key: English, followed by the other language where there is one."""
    if language is ReportLanguage.ENGLISH:
        return ENGLISH
    return {key: f"{text} / {_HINDI[key]}" if key in _HINDI else text for key, text in ENGLISH.items()}
