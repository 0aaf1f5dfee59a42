"""The seed catalogue is complete, and a wrong file names all its faults at once."""

import pytest

from domain.catalogue import ReferenceInterval
from domain.errors import RuleError
from domain.results import ResultKind
from domain.units import UCUM_DISPLAY
from store.catalogue_file import load_catalogue

GOOD = """
version: "1"
tax: {sac: "999316", gst_rate: 0, taxable: false}
groups:
  - {department: Bio, specimen: Serum, container: SST, method: ISE, kind: numeric, unit: mmol/L, decimals: 1,
     price_paise: 100, tat_minutes: 60, tests: [
       {code: K, name: Potassium, loinc: 2823-3, intervals: [{low: 3.50, high: 5.1, source: example}]},
       {code: "NO", name: Nitrate, loinc: 2951-2}]}
panels:
  - {code: P, name: Both, price_paise: 150, tests: [K, "NO"]}
"""


@pytest.fixture
def load(tmp_path):
    def load_text(text):
        path = tmp_path / "catalogue.yaml"
        path.write_text(text, encoding="utf-8")
        return load_catalogue(path)

    return load_text


def faults(load, text):
    with pytest.raises(RuleError) as caught:
        load(text)
    return caught.value.message


def test_the_seed_catalogue_serves_an_indian_lab():
    catalogue = load_catalogue()
    assert len(catalogue.tests) >= 45
    assert len(catalogue.panels) >= 9
    chemistry = ["GLU", "UREA", "CREA", "TBIL", "AST", "ALT", "ALP", "TP", "ALB", "CHOL", "TRIG", "HDL"]
    assert [test.code for test in catalogue.expand(chemistry)] == chemistry
    assert catalogue.test("HIV12").is_confidential
    assert [test.code for test in catalogue.tests if test.taxable] == ["RNGS50"]
    assert all(test.unit in UCUM_DISPLAY for test in catalogue.tests if test.kind is ResultKind.NUMERIC)
    assert all(interval.source for test in catalogue.tests for interval in test.reference_intervals)
    assert len({test.loinc for test in catalogue.tests}) == len(catalogue.tests)


def test_values_are_text_until_they_are_decimals(load):
    catalogue = load(GOOD)
    interval: ReferenceInterval = catalogue.test("K").reference_intervals[0]
    assert str(interval.low) == "3.50"
    assert catalogue.panel("P").test_codes == ("K", "NO")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("2823-3", "2823-4", "test K: LOINC 2823-4 has a wrong check digit"),
        ("unit: mmol/L", "unit: mg%", "unit 'mg%' is not in the list"),
        ("decimals: 1", "decimals: 9", "decimals '9' is not a whole number from 0 to 6"),
        ("decimals: 1,", "", "decimals are missing"),
        ("low: 3.50", "low: 3,50", "is not a field"),
        ("low: 3.50", "low: 6", "interval low 6 is above high 5.1"),
        ("low: 3.50", "low: nan", "low 'nan' is not a number"),
        ("source: example}", "source: example, from: 2w}", "from '2w' is not an age"),
        ("source: example}", "source: example, sex: both}", "sex:"),
        ("source: example}", "source: ''}", "an interval needs a source"),
        ("source: example}]", "source: e}, {from: 1y, high: 4, source: e}]", "overlap between 365 and 54787 days"),
        ("source: example}]", "source: e}], critical: {low: 4, source: e}", "critical low 4 is not below"),
        ("source: example}]", "source: e}], critical: {low: 1}", "critical limits need a source"),
        ("price_paise: 100", "price_paise: 1.5", "price_paise '1.5' is not a whole number"),
        ("price_paise: 100", "price_paise: 0", "price_paise '0' is not a whole number"),
        ("gst_rate: 0", "gst_rate: 18", "taxable tests have a GST rate"),
        ("gst_rate: 0", "gst_rate: 7", "GST rate 7 is not one of"),
        ("999316", "9993", "must have six digits"),
        ("taxable: false", "taxable: no", "neither true nor false"),
        ("kind: numeric", "kind: number", "kind:"),
        ("kind: numeric", "kind: text", "a text result has no unit"),
        ("department: Bio, ", "", "department is missing"),
        ("method: ISE", "methode: ISE", "'methode' is not a field"),
        ("tests: [K,", "tests: [K, X,", "panel P: has the unknown test 'X'"),
        ("tests: [K,", "tests: [K, K,", "panel P: has the test 'K' 2 times"),
        ('code: "NO"', "code: K", "code K: is used 2 times"),
        ("code: P,", "code: K,", "code K: is used 2 times"),
        ('version: "1"', 'versions: "1"', "'versions' is not a field"),
    ],
)
def test_each_kind_of_fault(load, old, new, fault):
    assert old in GOOD
    assert fault in faults(load, GOOD.replace(old, new))


def test_all_faults_are_named_at_once(load):
    message = faults(
        load, GOOD.replace("2823-3", "2823-4").replace("2951-2", "1-1").replace("tests: [K,", "tests: [Q,")
    )
    assert message.count("\n") == 3
    assert all(part in message for part in ["test K:", "test NO:", "panel P:"])


@pytest.mark.parametrize(
    "text",
    ["- a list", "groups: [", "\x00", "a: *nothing", "!!python/object/apply:os.system [true]", "[" * 3000, ""],
)
def test_what_is_no_catalogue(load, text):
    with pytest.raises(RuleError):
        load(text)


def test_an_unreadable_or_huge_file(tmp_path):
    with pytest.raises(RuleError, match="cannot be read"):
        load_catalogue(tmp_path / "missing.yaml")
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"# " + b"x" * (5 << 20))
    with pytest.raises(RuleError):
        load_catalogue(huge)


@pytest.mark.parametrize("text", ["groups: 5", "groups: [5]", "groups: [{tests: 3}]", "panels: {}\ngroups: []"])
def test_wrong_shapes_are_faults_and_no_crash(load, text):
    assert faults(load, text)
