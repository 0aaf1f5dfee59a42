"""Which test a device's code may mean: exact code, the model's table, a curated alias, an abbreviation. Never a guess.

Parts of names are not compared: `ALB` is not the albumin/globulin ratio and `CHOL` is not the HDL ratio. LOINC codes
that a device sends are not used: some are wrong. Everything here is for a person to confirm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from connectors.analyzers.model import DeviceModel
from connectors.onboarding.units import UnitCheck, compared

SCORES: Final = {"exact": 1.0, "model": 0.95, "alias": 0.95, "abbreviation": 0.9}
MOST: Final = 5

_ALIASES: Final[tuple[frozenset[str], ...]] = tuple(
    frozenset(group.split())
    for group in (
        "hgb hb hemoglobin haemoglobin",
        "hct pcv hematocrit haematocrit",
        "wbc tlc leukocytes leucocytes",
        "rbc erythrocytes",
        "plt platelets",
        "neut% neu% ne% neutrophil% gran% gra%",
        "lymph% lym% ly% lymphocyte%",
        "mono% mon% mo% monocyte%",
        "eos% eo% eosinophil%",
        "baso% bas% ba% basophil%",
        "rdwcv rdw-cv rdw",
        "glu glucose gluc",
        "urea bun-urea",
        "crea creatinine creat cre crt",
        "ua uric uricacid",
        "tbil t-bil bit tbili bilt",
        "dbil d-bil bid dbili bild",
        "ast sgot got",
        "alt sgpt gpt",
        "alp alkp",
        "ggt gamma-gt ggtp",
        "tp totalprotein tprot prot-t",
        "alb albumin",
        "chol cholesterol cho",
        "trig tg tgl triglycerides trigs",
        "hdl hdl-c hdlc",
        "ldl ldl-c ldlc",
        "ca calcium",
        "phos phosphorus ip",
        "na sodium na+",
        "k potassium k+",
        "cl chloride cl-",
        "hba1c a1c",
        "tsh tsh3",
        "ft3 freet3",
        "ft4 freet4",
        "crp c-rp",
        "esr",
    )
)
"""Names of one thing each. Source: mnemonics of chemistry and haematology analyzers, read in specs."""
_ABBREVIATIONS: Final = re.compile(r"\(([^()]{1,40})\)")


@dataclass(frozen=True)
class OrderableTest:
    """A test that the laboratory offers."""

    code: str
    name: str
    unit: str = ""


@dataclass(frozen=True)
class Suggestion:
    """What a code may mean.

    Attributes:
        origin: `exact`, `model`, `alias` or `abbreviation`.
        score: 0 to 1; below 0.5 the units speak against it.
        factor: By what the device's number is multiplied, where units differ in size only.
    """

    test_code: str
    test_name: str
    origin: str
    score: float
    unit_check: UnitCheck
    factor: Decimal | None = None


def suggestions_for(
    code: str, units: Sequence[str], tests: Iterable[OrderableTest], model: DeviceModel | None = None
) -> list[Suggestion]:
    """Return what a device's code may mean, best first, at most MOST.

    Args:
        code: As the device sends it.
        units: The unit texts it was sent with; "" for none.
        tests: What the laboratory offers.
        model: The device's model, where it is known.
    """
    proposed = _key(model.lab_code_of(code)) if model else ""
    found: list[Suggestion] = []
    for test in tests:
        origin = _origin(_key(code), test, proposed)
        if origin:
            check, factor = _worst(units, test.unit)
            score = SCORES[origin] * (0.2 if check is UnitCheck.MISMATCH else 1)
            found.append(Suggestion(test.code, test.name, origin, round(score, 2), check, factor))
    return sorted(found, key=lambda one: (-one.score, one.test_code))[:MOST]


def _origin(code: str, test: OrderableTest, proposed: str) -> str:
    lab = _key(test.code)
    if not code:
        return ""
    if code == lab:
        return "exact"
    if proposed == lab:
        return "model"
    if any(code in group and lab in group for group in _ALIASES):
        return "alias"
    names = {_key(part) for inside in _ABBREVIATIONS.findall(test.name) for part in re.split(r"[/,;]", inside)}
    return "abbreviation" if code in names else ""


def _worst(units: Sequence[str], test_unit: str) -> tuple[UnitCheck, Decimal | None]:
    """Return the check that speaks most against it: a code that comes in two units needs a person."""
    checks = [compared(unit, test_unit) for unit in units] or [(UnitCheck.UNKNOWN, None)]
    order = (UnitCheck.MISMATCH, UnitCheck.UNKNOWN, UnitCheck.FACTOR, UnitCheck.SAME)
    return min(checks, key=lambda check: order.index(check[0]))


def _key(text: str) -> str:
    return "".join(text.split()).casefold()
