"""The units a result may carry: an allow-list of UCUM codes with how each is printed.

A list and not a parser: `K/uL` or `mg%` are grammatical UCUM, and mean kelvin per microlitre and a percentage of a
milligram. What is not listed here is refused when the catalogue is loaded.
Source: The Unified Code for Units of Measure (UCUM), ucum.org, table of example codes, read from specs.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

UCUM_DISPLAY: Final = MappingProxyType(
    {
        "%": "%",
        "g/dL": "g/dL",
        "mg/dL": "mg/dL",
        "ug/dL": "µg/dL",
        "ng/dL": "ng/dL",
        "mg/L": "mg/L",
        "ng/mL": "ng/mL",
        "pg/mL": "pg/mL",
        "ng/L": "ng/L",
        "mmol/L": "mmol/L",
        "mmol/mol": "mmol/mol",
        "U/L": "U/L",
        "u[IU]/mL": "µIU/mL",
        "m[IU]/mL": "mIU/mL",
        "[IU]/mL": "IU/mL",
        "10*3/uL": "10³/µL",
        "10*6/uL": "10⁶/µL",
        "fL": "fL",
        "pg": "pg",
        "mm/h": "mm/h",
        "s": "s",
        "{INR}": "INR",
        "{ratio}": "ratio",
        "{titer}": "titre",
        "{s.g.}": "",
        "[pH]": "",
        "/[HPF]": "/HPF",
        "mg/g{creat}": "mg/g creatinine",
        "mL/min/{1.73_m2}": "mL/min/1.73 m²",
        "ng/mL{FEU}": "ng/mL FEU",
    },
)
"""UCUM code to what is printed. Some quantities have no unit on paper."""
