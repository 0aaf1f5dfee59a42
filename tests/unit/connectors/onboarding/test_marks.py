"""Devices by what they call themselves, and by their test codes."""

import pytest

from connectors.analyzers.driver import MODELS
from connectors.onboarding.marks import Marks, candidates_for


@pytest.mark.parametrize(
    ("marks", "title", "model"),
    [
        (Marks("astm", sender="    XN-550^00-24^22723"), "Sysmex haematology", "sysmex_xn"),
        (Marks("astm", sender="H7600^1"), "Roche cobas (host interface)", None),
        (Marks("astm", sender="ARCHITECT^8.10^F3453010030^H1P1O1R1C1Q1L1"), "Abbott ARCHITECT / m2000", None),
        (Marks("astm", sender="Mindry^^"), "Mindray BS (ASTM mode)", "mindray_bs"),
        (Marks("astm", sender="", repeat="`"), "Erba / Transasia XL", "erba_xl"),
        (Marks("hl7", sender="Mindray BC-5300"), "Mindray BC", "mindray_bc"),
        (Marks("hl7", instrument="99MRC"), "Mindray BC", "mindray_bc"),
        (Marks("hl7", sender="", instrument="c503^ROCHE~cobas pro"), "Roche cobas pro / pure", None),
    ],
)
def test_a_device_by_its_name(marks, title, model):
    first = candidates_for(marks, [], MODELS)[0]
    assert first.title == title
    if model is not None:
        assert first.model == model


def test_a_device_by_its_codes():
    candidates = candidates_for(Marks("astm"), ["GLU", "SGOT", "SGPT", "UREA"], MODELS)
    assert candidates[0].model == "mindray_bs"
    assert candidates[0].score == 0.6


def test_nobody_is_named_without_a_reason():
    assert candidates_for(Marks("astm", sender="Something new"), ["A1", "A2"], MODELS) == []
    assert candidates_for(Marks("hl7", sender="XN-550"), [], MODELS) == []
