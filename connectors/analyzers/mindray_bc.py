"""Mindray BC series (BC-5000, BC-5300, BC-5380, BC-6000 …): haematology over HL7 2.3.1.

The barcode is in OBR-3. OBX-3 is `code^name^LN` or `code^name^99MRC`: the name is what counts, codes sent by devices
are not always right. IS rows are run modes and morphology alarms (`T`), ED rows are images, and some NM and ST rows
describe the patient (age, reference group). MSH-18 says UNICODE and means UTF-8. MSH-10 starts again at every
power-up and names nothing for long.
Control runs: MSH-11 = Q, OBR-4 one of 00003 to 00008 of 99MRC (00003 is a Levey-Jennings run), OBR-3 the number of
the control file, PID-3 the lot.

Source: Mindray BC-5300 Auto Hematology Analyzer, Operator's Manual v1.5, appendix C "Communication" (tables 4 to 9),
read in specs.
"""

from __future__ import annotations

from typing import Final

from connectors.analyzers.model import DeviceModel, DeviceTest
from domain.device_profile import DeviceProfile, FieldRule

AGE = "30525-0"
REMARK = "01001"
REFERENCE_GROUP = "01002"

MODEL: Final = DeviceModel(
    key="mindray_bc",
    title="Mindray BC series (HL7 2.3.1)",
    profile=DeviceProfile(
        protocol="hl7",
        specimen_fields=("OBR.3.1",),
        test_code_fields=("OBX.3.2", "OBX.3.1"),
        control_rules=(
            FieldRule(field="MSH.11.1", equals=("Q",)),
            FieldRule(field="OBR.4.1", pattern=r"0000[3-8]$"),
        ),
        control_name_fields=("PID.3.1", "OBR.3.1"),
        skip_rows=(
            FieldRule(field="OBX.2", equals=("ED",)),
            FieldRule(field="OBX.3.1", equals=(AGE, REMARK, REFERENCE_GROUP)),
        ),
        comment_rows=(FieldRule(field="OBX.2", equals=("IS",)),),
    ),
    tests=(
        DeviceTest("WBC", "White blood cells", "WBC", "10*3/uL"),
        DeviceTest("NEU%", "Neutrophils", "NEUT%", "%"),
        DeviceTest("LYM%", "Lymphocytes", "LYMPH%", "%"),
        DeviceTest("MON%", "Monocytes", "MONO%", "%"),
        DeviceTest("EOS%", "Eosinophils", "EOS%", "%"),
        DeviceTest("BAS%", "Basophils", "BASO%", "%"),
        DeviceTest("RBC", "Red blood cells", "RBC", "10*6/uL"),
        DeviceTest("HGB", "Haemoglobin", "HGB", "g/dL"),
        DeviceTest("HCT", "Haematocrit", "HCT", "%"),
        DeviceTest("MCV", "Mean cell volume", "MCV", "fL"),
        DeviceTest("MCH", "Mean cell haemoglobin", "MCH", "pg"),
        DeviceTest("MCHC", "Mean cell haemoglobin concentration", "MCHC", "g/dL"),
        DeviceTest("RDW-CV", "Red cell distribution width", "RDWCV", "%"),
        DeviceTest("PLT", "Platelets", "PLT", "10*3/uL"),
        DeviceTest("MPV", "Mean platelet volume", "MPV", "fL"),
    ),
)
