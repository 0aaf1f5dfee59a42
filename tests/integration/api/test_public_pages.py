"""What anybody may open: the check page, a patient's link, and what they never show."""

from datetime import timedelta

import pytest

from activities.report_links import ReportLinks
from rendering.check_page import CHECK_PAGE_POLICY
from tests.fixtures.database import SEAL_KEY
from tests.fixtures.running_api import CONFIG
from tests.integration.api.test_orders import _with_report


def _link(report_id, *, minutes=10, key=SEAL_KEY):
    links = ReportLinks(key, CONFIG.public_url, life=timedelta(minutes=minutes))
    return links.url(report_id).removeprefix(CONFIG.public_url)


async def test_the_check_page_says_genuine_without_naming_the_patient(api):
    placed = await api.place()
    _, token = await _with_report(api, placed, b"%PDF checked")
    answer = await api.client.get(f"/check/{token}")
    assert answer.status_code == 200
    assert "This report is genuine" in answer.text
    assert placed["order_no"] in answer.text
    assert "A. V." in answer.text
    assert "Asha" not in answer.text
    assert answer.headers["Content-Security-Policy"] == CHECK_PAGE_POLICY
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(("state", "words"), [("superseded", "replaced by a newer"), ("withdrawn", "was withdrawn")])
async def test_the_check_page_warns_of_versions_not_in_force(api, state, words):
    placed = await api.place()
    _, token = await _with_report(api, placed, b"%PDF old", state=state)
    await _with_report(api, placed, b"%PDF new", version=2)
    assert words in (await api.client.get(f"/check/{token}")).text


@pytest.mark.parametrize("token", ["x", "0" * 32, "..%2f..%2fetc", "%00" * 20, "<script>alert(1)</script>"])
async def test_an_unknown_token_gets_a_page_that_says_so(api, token):
    answer = await api.client.get(f"/check/{token}")
    assert answer.status_code == 404
    assert "<script>alert" not in answer.text


async def test_a_patient_s_link_gives_the_document_until_it_expires(api):
    placed = await api.place()
    report_id, _ = await _with_report(api, placed, b"%PDF for the patient")
    answer = await api.client.get(_link(report_id))
    assert answer.status_code == 200
    assert answer.content == b"%PDF for the patient"
    assert answer.headers["Cache-Control"] == "private, no-store"
    expired = await api.client.get(_link(report_id, minutes=-1))
    assert expired.status_code == 404
    assert expired.json()["code"] == "REPORT_LINK_EXPIRED"


async def test_a_changed_or_foreign_link_is_refused(api):
    placed = await api.place()
    report_id, _ = await _with_report(api, placed, b"%PDF mine")
    good = _link(report_id)
    for bad in (
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        good[:-4],
        _link(report_id, key=b"x" * 32),
        "/r/x",
        "/r/é",
    ):
        answer = await api.client.get(bad)
        assert answer.status_code == 404, bad
        assert answer.json()["code"] == "REPORT_LINK_INVALID"


@pytest.mark.parametrize("facts", [{"is_confidential": True}, {"state": "superseded"}, {"state": "withdrawn"}])
async def test_confidential_and_replaced_reports_are_never_given_out_by_link(api, facts):
    placed = await api.place()
    report_id, _ = await _with_report(api, placed, b"%PDF not this one", **facts)
    answer = await api.client.get(_link(report_id))
    assert answer.status_code == 404
    assert answer.json()["code"] == "REPORT_NOT_AVAILABLE"
    assert b"%PDF" not in answer.content
