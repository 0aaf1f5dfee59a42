"""How devices call themselves, and which models may have sent a message.

Source: sender fields of captures and vendors' host interface documents, read in specs (overview of dialects).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from connectors.analyzers.model import DeviceModel


@dataclass(frozen=True)
class Marks:
    """What a message says of its sender.

    Attributes:
        sender: ASTM H.5; HL7 MSH-3 and MSH-4, joined by a space.
        version: H.13 or MSH-12.
        kind: H.11 and H.12, or MSH-9.
        instrument: OBX-18 and a maker's own coding system in OBR-4, or R.14.
        repeat: The repeat delimiter.
    """

    protocol: str
    sender: str = ""
    version: str = ""
    kind: str = ""
    instrument: str = ""
    repeat: str = ""


@dataclass(frozen=True)
class Candidate:
    """A device that may have sent this.

    Attributes:
        model: Key of a built-in model, or "" where there is none.
        score: 0 to 1.
    """

    model: str
    title: str
    score: float
    why: str


_MARKS: Final[tuple[tuple[str, str, str, tuple[str, ...]], ...]] = (
    ("astm", r"\bH?7600\b|cobas[- ]?e?\s*411|cobas 6000|cobas 8000", "Roche cobas (host interface)", ("roche_cobas",)),
    ("astm", r"cobas infinity", "Roche cobas infinity", ("roche_cobas_infinity", "cobas_infinity")),
    ("astm", r"ARCHITECT|\bm2000\b", "Abbott ARCHITECT / m2000", ("abbott_architect", "architect")),
    ("astm", r"^ACCESS\b|\bDxI\b", "Beckman Access / DxI", ("beckman_dxi", "beckman_access")),
    ("astm", r"ADVCNT|Centaur", "Siemens ADVIA Centaur", ("siemens_centaur", "centaur")),
    ("astm", r"^\s*(?:XN|XS|XP|XE|XT|KX|pocH)-?\w*", "Sysmex haematology", ("sysmex_xn",)),
    ("astm", r"^Mindr?a?y", "Mindray BS (ASTM mode)", ("mindray_bs",)),
    ("astm", r"OCD.?VISION", "Ortho VISION", ("ortho_vision",)),
    ("astm", r"^D10\b|VARIANT", "Bio-Rad D-10 / Variant", ("biorad_d10",)),
    ("astm", r"^Meril", "Meril AutoQuant", ("meril_autoquant", "meril")),
    ("astm", r"ABXP400|Pentra|Yumizen|ABX", "Horiba Pentra / Yumizen", ("horiba_yumizen", "horiba_pentra")),
    ("astm", r"GeneXpert|Cepheid", "Cepheid GeneXpert", ("cepheid_genexpert", "genexpert")),
    ("astm", r"MAGLUMI|SNIBE", "SNIBE MAGLUMI", ("snibe_maglumi", "maglumi")),
    ("astm", r"^\d{7}$", "Ortho VITROS", ("ortho_vitros", "vitros_3600")),
    ("hl7", r"cobas pro|cobas pure|cobas x800", "Roche cobas pro / pure", ("roche_cobas_hl7", "cobas_pro")),
    ("hl7", r"cobas 4800", "Roche cobas 4800", ("cobas_4800",)),
    ("hl7", r"Alinity", "Abbott Alinity", ("abbott_alinity", "alinity")),
    ("hl7", r"Atellica", "Siemens Atellica", ("siemens_atellica", "atellica")),
    ("hl7", r"BS-?\d{2,4}|Mindray BS", "Mindray BS (HL7 mode)", ("mindray_bs_hl7",)),
    ("hl7", r"BC-?\d{3,4}|Mindray BC|\b99MRC\b", "Mindray BC", ("mindray_bc",)),
    ("hl7", r"BM\s?500|Swelab|Medonic", "Boule Swelab / Medonic", ("boule_bm500",)),
    ("hl7", r"\bBA400\b", "BioSystems BA400", ("biosystems_ba400", "ba400")),
    ("hl7", r"GeneXpert|Cepheid", "Cepheid GeneXpert", ("cepheid_genexpert_hl7", "genexpert_hl7")),
    ("hl7", r"EDAN|\bi15\b|\bH60\b", "EDAN", ("edan",)),
    ("hl7", r"iChroma", "Boditech iChroma", ("ichroma",)),
    ("hl7", r"Getein|MAGICL|Metis", "Getein MAGICL / Metis", ("getein",)),
    ("hl7", r"Yumizen|Horiba", "Horiba Yumizen (HL7)", ("horiba_yumizen_hl7",)),
    ("hl7", r"Dymind|Zybio|Agappe|Mispa", "Dymind and relatives", ("dymind",)),
)
"""Protocol, pattern over the sender's words, title, and keys under which a model may be built in."""


def candidates_for(marks: Marks, codes: Iterable[str], models: Mapping[str, DeviceModel]) -> list[Candidate]:
    """Return the devices that may have sent a message, best first: by its sender's words, then by its test codes.

    Args:
        marks: What the message says of its sender.
        codes: The test codes seen.
        models: Built-in models by key.
    """
    found: list[Candidate] = []
    words = f"{marks.sender} {marks.instrument}".strip()[:300]
    for protocol, pattern, title, keys in _MARKS:
        match = re.search(pattern, words, re.IGNORECASE) or re.search(pattern, marks.sender[:100], re.IGNORECASE)
        if protocol == marks.protocol and words and match:
            model = next((key for key in keys if key in models), "")
            found.append(Candidate(model, title, 0.9, f"it calls itself {match[0].strip()[:40]!r}"))
    if marks.protocol == "astm" and not marks.sender.strip() and marks.repeat == "`":
        model = "erba_xl" if "erba_xl" in models else ""
        found.append(Candidate(model, "Erba / Transasia XL", 0.7, "no sender, and a backtick repeats"))
    known = {candidate.model for candidate in found}
    found += [one for one in _by_codes(marks.protocol, set(codes), models) if one.model not in known]
    return sorted(found, key=lambda candidate: -candidate.score)[:8]


def _by_codes(protocol: str, codes: set[str], models: Mapping[str, DeviceModel]) -> Iterable[Candidate]:
    for key, model in models.items():
        own = {test.code for test in model.tests}
        shared = len(codes & own)
        if model.profile.protocol == protocol and shared >= 3:  # noqa: PLR2004  fewer happen by chance
            share = shared / len(codes)
            yield Candidate(key, model.title, round(0.6 * share, 2), f"{shared} of {len(codes)} test codes are its")
