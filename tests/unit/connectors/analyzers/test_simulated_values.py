from hypothesis import given
from hypothesis import strategies as st

from connectors.analyzers.driver import MODELS
from connectors.analyzers.simulated_values import (
    CHEMISTRY,
    HAEMATOLOGY,
    chemistry_values,
    control_values,
    flag_of,
    haematology_values,
)


def test_panels_hold_exactly_what_the_models_report():
    assert list(CHEMISTRY) == [test.code for test in MODELS["mindray_bs"].tests]
    assert list(HAEMATOLOGY) == [test.code for test in MODELS["mindray_bc"].tests]


def test_the_same_specimen_gives_the_same_values_and_another_one_others():
    assert chemistry_values(1, "A") == chemistry_values(1, "A")
    assert chemistry_values(1, "A") != chemistry_values(2, "A") != chemistry_values(1, "B")


@given(st.integers(0, 50), st.text(max_size=12))
def test_red_cells_and_differential_agree_with_each_other(seed, specimen):
    values = {code: float(text) for code, text in haematology_values(seed, specimen).items()}
    assert abs(values["HCT"] - values["RBC"] * values["MCV"] / 10) < 0.06
    assert abs(values["MCHC"] - 100 * values["HGB"] / values["HCT"]) < 0.5
    assert abs(sum(values[code] for code in ("NEU%", "LYM%", "MON%", "EOS%", "BAS%")) - 100) < 0.3
    assert all(value >= 0 for value in values.values())


@given(st.integers(0, 50), st.sampled_from([0, 1]), st.text(max_size=8))
def test_controls_stay_within_two_standard_deviations(seed, level, run):
    for code, text in control_values(CHEMISTRY, seed, level, run).items():
        target = CHEMISTRY[code].controls[level]
        assert abs(float(text) / target - 1) * 100 <= 2 * CHEMISTRY[code].control_cv_pct


def test_flags():
    glucose = CHEMISTRY["GLU"]
    assert [flag_of(text, glucose) for text in ("69.9", "70", "140", "140.1", "----")] == ["L", "N", "N", "H", ""]
