"""Sysmex XN and XP series: haematology over ASTM; the device connects as TCP client.

O.4 is rack^position^specimen^attribute with the id padded on the left (attribute B: barcode read, M: entered by hand).
The test code is component 5 of R.3, component 6 the dilution. `----` is no value, R.9 `N` is final and `P` a rerun to
come. Scattergrams come as rows whose code begins with SCAT or DIST. Controls are named `QC-…` or `XbarM`.

Source: Sysmex XN-L and XP-100 ASTM messages and host interface facts, read in specs.
"""

from __future__ import annotations

from typing import Final

from connectors.analyzers.model import DeviceModel, DeviceTest
from domain.device_profile import DeviceProfile, FieldRule
from domain.observations import ObservationStatus

MODEL: Final = DeviceModel(
    key="sysmex_xn",
    title="Sysmex XN / XP series (ASTM)",
    profile=DeviceProfile(
        protocol="astm",
        specimen_fields=("O.4.3", "O.3.1"),
        test_code_fields=("R.3.5", "R.3.4"),
        replicate_fields=("R.3.6",),
        control_rules=(
            FieldRule(field="H.12.1", equals=("Q",)),
            FieldRule(field="O.4.3", pattern=r"QC-|XbarM"),
            FieldRule(field="O.3.1", pattern=r"QC-|XbarM"),
        ),
        control_name_fields=("O.4.3", "O.3.1"),
        skip_rows=(FieldRule(field="R.3.5", pattern=r"SCAT|DIST"),),
        status_overrides={"N": ObservationStatus.FINAL, "P": ObservationStatus.PENDING},
    ),
    tests=(
        DeviceTest("WBC", "White blood cells", "WBC", "10*3/uL"),
        DeviceTest("RBC", "Red blood cells", "RBC", "10*6/uL"),
        DeviceTest("HGB", "Haemoglobin", "HGB", "g/dL"),
        DeviceTest("HCT", "Haematocrit", "HCT", "%"),
        DeviceTest("MCV", "Mean cell volume", "MCV", "fL"),
        DeviceTest("MCH", "Mean cell haemoglobin", "MCH", "pg"),
        DeviceTest("MCHC", "Mean cell haemoglobin concentration", "MCHC", "g/dL"),
        DeviceTest("RDW-CV", "Red cell distribution width", "RDWCV", "%"),
        DeviceTest("PLT", "Platelets", "PLT", "10*3/uL"),
        DeviceTest("MPV", "Mean platelet volume", "MPV", "fL"),
        DeviceTest("NEUT%", "Neutrophils", "NEUT%", "%"),
        DeviceTest("LYMPH%", "Lymphocytes", "LYMPH%", "%"),
        DeviceTest("MONO%", "Monocytes", "MONO%", "%"),
        DeviceTest("EO%", "Eosinophils", "EOS%", "%"),
        DeviceTest("BASO%", "Basophils", "BASO%", "%"),
    ),
)
