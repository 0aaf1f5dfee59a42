import re
from pathlib import Path

import pytest

from connectors.analyzers.driver import MODELS
from connectors.analyzers.library import MAX_FILE_BYTES, ModelLibrary, load_model
from domain.errors import RuleError
from store.catalogue_file import load_catalogue

MINIMAL = """
key: toaster
title: Toaster
manufacturer: Nobody
version: 1
sources: [{fact: toasts, source: manual}]
transport: {connects: device, source: manual}
profile: {protocol: astm}
tests: [{code: NO, name: Nitric oxide, lab_code: K, unit: 1e3}]
"""


def written(tmp_path: Path, text: str, name: str = "toaster.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_a_model(tmp_path):
    model = load_model(written(tmp_path, MINIMAL))
    assert (model.key, model.profile.protocol, model.transport.port) == ("toaster", "astm", None)
    assert (model.tests[0].code, model.tests[0].unit) == ("NO", "1e3")  # text, whatever YAML would make of it


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("version: 1", "version: old", "version"),
        ("version: 1", "colour: red", "colour"),
        ("title: Toaster\n", "", "title"),
        ("key: toaster", "key: kettle", "the name of the file says 'toaster'"),
        ("{protocol: astm}", "{protocol: fax}", "profile.protocol"),
        ("{protocol: astm}", "{protocol: astm, skip_rows: [{field: nowhere}]}", "not a field path"),
        ("{protocol: astm}", "{protocol: astm, protocol: hl7}", "stands there twice"),
        ("version: 1", "version: &one 1\nother: *one", "references"),
        ("version: 1", "version: " + "[" * 30 + "]" * 30, "nested"),
        ("version: 1", "version: [", "no analyzer model"),
        ("sources: [{fact: toasts, source: manual}]", "sources: []", "sources"),
        ("tests: [", "tests: [{code: NO, name: a, lab_code: b, unit: c}, ", "same code"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, before, after, said):
    assert before in MINIMAL
    with pytest.raises(RuleError, match=re.escape(said)) as raised:
        load_model(written(tmp_path, MINIMAL.replace(before, after)))
    assert raised.value.code == "ANALYZER_MODEL_INVALID"
    assert raised.value.action


def test_a_file_is_small_and_there(tmp_path):
    with pytest.raises(RuleError, match="more than"):
        load_model(written(tmp_path, MINIMAL + "#" * MAX_FILE_BYTES))
    with pytest.raises(RuleError, match="FileNotFoundError"):
        load_model(tmp_path / "gone.yaml")
    with pytest.raises(RuleError):
        load_model(written(tmp_path, "", "empty.yaml"))


def test_one_wrong_file_does_not_spoil_the_others(tmp_path):
    written(tmp_path, MINIMAL)
    written(tmp_path, "x: [", "kettle.yaml")
    library = ModelLibrary(tmp_path)
    assert (list(library), len(library), "toaster" in library) == (["kettle", "toaster"], 2, True)
    assert library["toaster"] is library["toaster"]
    with pytest.raises(RuleError):
        library["kettle"]
    with pytest.raises(KeyError):
        library["spoon"]


NO_OUTSIDE_PLACE = re.compile(r"\.\./|(?:^|\s)/\w+/")


@pytest.mark.parametrize("key", MODELS)
def test_a_known_model_says_where_its_facts_are_from(key):
    model = MODELS[key]
    assert model.notes
    for text in (*model.notes, model.transport.source, *(fact.source for fact in model.sources)):
        assert not NO_OUTSIDE_PLACE.search(text)


def test_proposed_tests_are_those_of_the_catalogue():
    known = {test.code for test in load_catalogue().tests}
    proposed = {test.lab_code for model in MODELS.values() for test in model.tests}
    assert proposed <= known


def test_no_numbers_of_tests_are_shipped():
    """They are set per site: one laboratory's ALT is another's AST."""
    assert not [(m.key, test.code) for m in MODELS.values() for test in m.tests if test.code.isdigit()]


def test_devices_that_are_given_work_say_how():
    for model in MODELS.values():
        work = model.profile.work
        assert (work.style == "none") is not (work.answers_queries or work.sends_unasked), model.key


def test_the_reference_lists_every_model():
    page = (Path(__file__).parents[4] / "docs" / "reference" / "analyzers.md").read_text(encoding="utf-8")
    listed = {
        line.split("`")[1]: line for line in page.splitlines() if re.match(r"\| `[a-z0-9_]+` \|.*\|.*\|.*\|.*\|", line)
    }
    assert {key for key in listed if key in MODELS} == set(MODELS)
    for key, model in MODELS.items():
        assert f"| {model.title} |" in listed[key]
        assert f"| {model.transport.connects} | {model.transport.port or ''} |" in listed[key]
