"""Tubes over HTTP: labels with their log, receipt by scan, aliquots."""

import base64
import io

import pytest
from pypdf import PdfReader


@pytest.fixture
async def tube(api):
    """Return a function that places an order and gives its first tube a state."""

    async def made(state="collected", *codes):
        placed = await api.place(*codes)
        number = placed["samples"][0]["accession_no"]
        await api.execute(
            "update samples set state = :s, collected_at = now(), received_at = now() where accession_no = :n",
            s=state, n=number,
        )  # fmt: skip
        return number

    return made


async def printed(api, numbers, who="phlebotomist", **more):
    return await api.staff_as(who).post("/v1/samples/labels", {"accession_nos": numbers, **more})


async def test_a_label_is_printed_once_without_and_again_with_a_reason(api, tube):
    number = await tube()
    first = await printed(api, [number])
    assert first.status_code == 200, first.text
    assert f"^FD{number}^FS" in first.json()["content"]
    again = await printed(api, [number])
    assert again.status_code == 422
    assert again.json()["code"] == "LABEL_REPRINT_REASON_MISSING"
    assert (await printed(api, [number], reason="torn")).status_code == 200
    log = (await api.staff_as("technician").get(f"/v1/samples/{number}/labels")).json()
    assert [(one["printed_by"], one["form"], one["reason"]) for one in log] == [
        ("phlebotomist", "zpl", ""), ("phlebotomist", "zpl", "torn"),
    ]  # fmt: skip


async def test_labels_come_as_pdf_in_the_order_asked_for(api, tube):
    numbers = [await tube(), await tube()]
    answer = await printed(api, numbers[::-1], form="pdf")
    pages = PdfReader(io.BytesIO(base64.b64decode(answer.json()["content"]))).pages
    shown = ["".join(page.extract_text().split()) for page in pages]
    assert [number in page for number, page in zip(numbers[::-1], shown, strict=True)] == [True, True]


async def test_a_confidential_test_is_not_named_on_a_label(api, tube):
    number = await tube("collected", "HIV12", "GLU")
    tests = await api.execute(
        "select array_agg(t.code) from order_lines l join tests t on t.id = l.test_id join samples s"
        " on s.id = l.sample_id where s.accession_no = :n",
        n=number,
    )
    assert "HIV12" in str(tests)
    assert "HIV" not in (await printed(api, [number])).json()["content"]


async def test_no_label_is_printed_for_a_rejected_tube(api, tube):
    good, bad = await tube(), await tube("rejected")
    answer = await printed(api, [good, bad])
    assert answer.status_code == 409
    assert answer.json()["code"] == "SAMPLE_NOT_IN_USE"
    log = (await api.staff_as("technician").get(f"/v1/samples/{good}/labels")).json()
    assert log == [], "one refused label refuses all"


async def test_a_scanned_tube_is_received_into_its_order(api, tube):
    number = await tube()
    api.gateway.reset()
    answer = await api.staff_as("technician").post(f"/v1/samples/{number}/receive")
    assert answer.status_code == 200, answer.text
    (command,) = api.gateway.sent
    assert command.kind == "receive_samples"
    assert command.payload["accession_nos"] == [number]


async def test_an_aliquot_has_a_number_of_its_own_and_takes_tests_with_it(api, tube):
    number = await tube("received", "HGB", "WBC")
    await api.execute("update samples set volume_ul = 2000 where accession_no = :n", n=number)
    asked = {"container": "Aliquot tube", "volume_ul": 500, "test_codes": ["WBC"]}
    answer = await api.staff_as("technician").post(f"/v1/samples/{number}/aliquots", asked)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["parent"] == number
    assert made["accession_no"] != number
    assert (made["state"], made["container"], made["volume_ul"]) == ("received", "Aliquot tube", 500)
    parent = (await api.staff_as("technician").get(f"/v1/samples/{number}")).json()
    assert (parent["aliquots"], parent["left_ul"]) == ([made["accession_no"]], 1500)
    order = (await api.staff_as("technician").get(f"/v1/orders/{parent['order_no']}")).json()
    assert {line["test_code"]: line["accession_no"] for line in order["lines"]} == {
        "HGB": number, "WBC": made["accession_no"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("state", "asked", "code"),
    [
        pytest.param("collected", {}, "ALIQUOT_REFUSED", id="not received"),
        pytest.param("received", {"volume_ul": 2001}, "ALIQUOT_VOLUME", id="more than it holds"),
        pytest.param("received", {"test_codes": ["TSH"]}, "TEST_NOT_ORDERED", id="test of another tube"),
    ],
)
async def test_an_impossible_aliquot_changes_nothing(api, tube, state, asked, code):
    number = await tube(state, "HGB")
    await api.execute("update samples set volume_ul = 2000 where accession_no = :n", n=number)
    before = await api.execute("select count(*) from samples")
    answer = await api.staff_as("technician").post(f"/v1/samples/{number}/aliquots", asked)
    assert answer.json()["code"] == code, answer.text
    assert await api.execute("select count(*) from samples") == before


async def test_all_but_the_last_drop_may_be_taken(api, tube):
    number = await tube("received", "HGB")
    await api.execute("update samples set volume_ul = 2000 where accession_no = :n", n=number)
    answer = await api.staff_as("technician").post(f"/v1/samples/{number}/aliquots", {"volume_ul": 2000})
    assert answer.status_code == 201
    assert (await api.staff_as("technician").get(f"/v1/samples/{number}")).json()["left_ul"] == 0


async def test_an_aliquot_is_not_divided_again(api, tube):
    number = await tube("received", "HGB")
    made = (await api.staff_as("technician").post(f"/v1/samples/{number}/aliquots", {})).json()
    answer = await api.staff_as("technician").post(f"/v1/samples/{made['accession_no']}/aliquots", {})
    assert answer.json()["code"] == "ALIQUOT_REFUSED"
