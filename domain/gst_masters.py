"""Code lists of the e-invoice system that our checks and the simulated portal share: states, PIN codes, units, rates.

Source: NIC e-invoice master codes (states, UQC, rates, pincode-state mapping), read 2026-09-18; rates of the 56th GST
Council meeting, in force from 22 September 2025.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

OTHER_COUNTRIES = "96"
OTHER_TERRITORY = "97"
FOREIGN_PIN = 999999

STATES = {
    "01": "Jammu and Kashmir", "02": "Himachal Pradesh", "03": "Punjab", "04": "Chandigarh", "05": "Uttarakhand",
    "06": "Haryana", "07": "Delhi", "08": "Rajasthan", "09": "Uttar Pradesh", "10": "Bihar", "11": "Sikkim",
    "12": "Arunachal Pradesh", "13": "Nagaland", "14": "Manipur", "15": "Mizoram", "16": "Tripura", "17": "Meghalaya",
    "18": "Assam", "19": "West Bengal", "20": "Jharkhand", "21": "Odisha", "22": "Chhattisgarh",
    "23": "Madhya Pradesh", "24": "Gujarat", "26": "Dadra and Nagar Haveli and Daman and Diu", "27": "Maharashtra",
    "29": "Karnataka", "30": "Goa", "31": "Lakshadweep", "32": "Kerala", "33": "Tamil Nadu", "34": "Puducherry",
    "35": "Andaman and Nicobar Islands", "36": "Telangana", "37": "Andhra Pradesh", "38": "Ladakh",
    "96": "Other Countries", "97": "Other Territory", "99": "Centre Jurisdiction",
}  # fmt: skip
"""GST state codes; 25 (Daman and Diu) is withdrawn, 26 covers both."""

_PIN_AREAS = {
    "01": ((180, 194),), "02": ((171, 177),), "03": ((140, 160),), "04": ((140, 140), (160, 160)),
    "05": ((244, 263),), "06": ((121, 136),), "07": ((110, 110),), "08": ((301, 345),), "09": ((201, 285),),
    "10": ((800, 855),), "11": ((737, 737),), "12": ((790, 792),), "13": ((797, 798),), "14": ((795, 795),),
    "15": ((796, 796),), "16": ((799, 799),), "17": ((793, 794),), "18": ((781, 788),), "19": ((700, 743),),
    "20": ((813, 835),), "21": ((751, 770),), "22": ((490, 497),), "23": ((450, 488),), "24": ((360, 396),),
    "26": ((362, 362), (396, 396)), "27": ((400, 445),), "29": ((560, 591),), "30": ((403, 403),),
    "31": ((682, 682),), "32": ((670, 695),), "33": ((600, 643),),
    "34": ((533, 533), (605, 605), (607, 607), (609, 609), (673, 673)), "35": ((744, 744),), "36": ((500, 509),),
    "37": ((500, 535),), "38": ((194, 194),),
}  # fmt: skip
"""First three digits of a PIN code by state, first and last of each run."""

UNIT_CODES = frozenset(
    {
        "BAG", "BAL", "BDL", "BKL", "BOU", "BOX", "BTL", "BUN", "CAN", "CBM", "CCM", "CMS", "CTN", "DOZ", "DRM",
        "GGK", "GMS", "GRS", "GYD", "KGS", "KLR", "KME", "LTR", "MLT", "MTR", "MTS", "NOS", "OTH", "PAC", "PCS",
        "PRS", "QTL", "ROL", "SET", "SQF", "SQM", "SQY", "TBS", "TGM", "THD", "TON", "TUB", "UGS", "UNT", "YDS",
    }
)  # fmt: skip
"""Unit Quantity Codes."""

_GST_2_0_FROM = date(2025, 9, 22)
_RATES = frozenset(Decimal(rate) for rate in ("0", "0.1", "0.25", "1", "1.5", "3", "5", "6", "7.5", "12", "18", "28"))
_RATES_ADDED = frozenset({Decimal(40)})


def gst_rates(day: date) -> frozenset[Decimal]:
    """Return the combined rates in percent that a document of `day` may carry.

    12 and 28 stay after 22 September 2025 for notes about older supplies.
    """
    return _RATES | _RATES_ADDED if day >= _GST_2_0_FROM else _RATES


def is_pin_of_state(pin: int, state_code: str) -> bool:
    """Return whether a six-digit PIN code lies in the state; outside India and other territory take 999999."""
    if state_code in (OTHER_COUNTRIES, OTHER_TERRITORY):
        return pin == FOREIGN_PIN or state_code == OTHER_TERRITORY
    return any(first <= pin // 1000 <= last for first, last in _PIN_AREAS.get(state_code, ()))
