"""Mindray BS-430 and relatives in ASTM mode: clinical chemistry.

Header H.12 is the kind of message (`PR` result, `RQ` query, `SA` order), not a processing id. The barcode is in O.4;
O.3 is the device's own sequence^rack^position. Test code and value are the first component of R.3 and R.4; values
carry six decimals. The codes are set on each device: this table is that of the demonstration device.

Source: messages of a BS-430 with ASTM E1394-97 output, software 01.03.07, July 2026, read in specs. They show no
control; control material is marked by O.12 = Q (CLSI LIS02-A2, 8.4.12) or by its barcode.
"""

from __future__ import annotations

from typing import Final

from connectors.analyzers.model import DeviceModel, DeviceTest
from domain.device_profile import DeviceProfile, FieldRule

MODEL: Final = DeviceModel(
    key="mindray_bs",
    title="Mindray BS-430 (ASTM mode)",
    profile=DeviceProfile(
        protocol="astm",
        specimen_fields=("O.4.1",),
        test_code_fields=("R.3.1",),
        value_fields=("R.4.1",),
        control_rules=(
            FieldRule(field="O.12", equals=("Q",)),
            FieldRule(field="O.4.1", pattern=r"(?i)QC[-_ ]"),
        ),
        control_name_fields=("O.4.1",),
    ),
    tests=(
        DeviceTest("GLU", "Glucose", "GLU", "mg/dL"),
        DeviceTest("UREA", "Urea", "UREA", "mg/dL"),
        DeviceTest("CREA", "Creatinine", "CREA", "mg/dL"),
        DeviceTest("UA", "Uric Acid", "UA", "mg/dL"),
        DeviceTest("BIT", "T.BILL H", "TBIL", "mg/dL"),
        DeviceTest("BID", "D.BILL H", "DBIL", "mg/dL"),
        DeviceTest("SGOT", "Aspartate Aminotransferase", "AST", "U/L"),
        DeviceTest("SGPT", "SGPT", "ALT", "U/L"),
        DeviceTest("ALP", "ALKALINE", "ALP", "U/L"),
        DeviceTest("GGT", "Gamma GT", "GGT", "U/L"),
        DeviceTest("TP", "Total Protein", "TP", "g/dL"),
        DeviceTest("ALB", "ALBUMIN", "ALB", "g/dL"),
        DeviceTest("CHOL", "Cholesterol", "CHOL", "mg/dL"),
        DeviceTest("TG", "Triglycerides", "TRIG", "mg/dL"),
        DeviceTest("HDL", "HDL Cholesterol", "HDL", "mg/dL"),
        DeviceTest("CA", "Calcium", "CA", "mg/dL"),
        DeviceTest("PHOS", "Phosphorus", "PHOS", "mg/dL"),
    ),
)
