"""The difference between two profiles on one message."""

from datetime import date

from connectors.onboarding.trial import MAX_CHANGES, compare
from domain.accession import accession_no
from domain.device_profile import DeviceProfile, FieldRule

BARCODE = accession_no(date(2026, 11, 23), 7)
MESSAGE = (
    b"H|\\^&|||Unit\rP|1\rO|1|4^1|%s|^^^GLU|R\rR|1|^^^GLU|5,4|mmol/l||N||F\rR|2|^^^IMG|x||||||F\rL|1|N\r"
    % BARCODE.encode()
)
PLAIN = DeviceProfile(protocol="astm")


def changed(**facts):
    return DeviceProfile.model_validate({"protocol": "astm", **facts})


def seen(trial):
    return {(change.what, change.before, change.after) for change in trial.changes}


def test_the_same_profile_changes_nothing():
    trial = compare(MESSAGE, PLAIN, PLAIN)
    assert trial.is_same
    assert (trial.rows_before, trial.rows_after) == (2, 2)


def test_another_specimen_field_makes_it_matchable():
    trial = compare(MESSAGE, PLAIN, changed(specimen_fields=["O.4.1"]))
    assert ("specimen", "4", BARCODE) in seen(trial)
    assert (trial.matchable_before, trial.matchable_after) == (0, 1)


def test_a_decimal_comma_changes_a_value_and_says_that_it_is_clinical():
    (change,) = compare(MESSAGE, PLAIN, changed(decimal_comma=True)).changes
    assert (change.what, change.before, change.after, change.row, change.code) == ("value", "5,4", "5.4", 1, "GLU")
    assert change.is_clinical
    assert "5,4" not in repr(change)


def test_a_skipped_row_is_named():
    trial = compare(MESSAGE, PLAIN, changed(skip_rows=[FieldRule(field="R.3.4", equals=("IMG",))]))
    whats = {(change.what, change.code) for change in trial.changes}
    assert ("row", "IMG") in whats
    assert ("skipped", "0", "1") in seen(trial)
    assert trial.rows_after == 1


def test_an_ignored_code_is_named():
    (change,) = compare(MESSAGE, PLAIN, changed(ignored_codes=["IMG", "PDW"])).changes
    assert (change.what, change.before, change.after, change.code) == ("ignored", "wanted", "ignored", "IMG")


def test_a_control_is_named():
    trial = compare(MESSAGE, PLAIN, changed(control_rules=[FieldRule(field="O.3.1", equals=("4",))]))
    assert ("control", "patient", "control 4") in seen(trial)


def test_another_protocol_is_an_error_and_no_crash():
    trial = compare(MESSAGE, PLAIN, DeviceProfile(protocol="hl7"))
    assert any(change.what == "error" and change.after.startswith("MESSAGE_INVALID") for change in trial.changes)


def test_changes_are_bounded():
    rows = b"".join(b"R|%d|^^^T%d|1,5|||||F\r" % (n, n) for n in range(1, 700))
    message = b"H|\\^&\rP|1\rO|1|X\r" + rows + b"L|1|N\r"
    assert len(compare(message, PLAIN, changed(decimal_comma=True)).changes) == MAX_CHANGES
