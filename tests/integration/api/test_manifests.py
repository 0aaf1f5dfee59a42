"""Transport of tubes over HTTP: packed, counted, dispatched, scanned, closed."""

import pytest


@pytest.fixture
async def tubes(api):
    """Place orders with collected tubes and return their numbers."""

    async def made(count=2):
        numbers = []
        for _ in range(count):
            placed = await api.place()
            numbers.append(placed["samples"][0]["accession_no"])
        await api.execute(
            "update samples set state = 'collected', collected_at = now() where accession_no = any(:n)", n=numbers
        )
        return sorted(numbers)

    return made


async def packed(api, numbers, **more):
    body = {"from_branch": "DEL", "to_branch": "BLR", "accession_nos": numbers, **more}
    return await api.staff_as("phlebotomist").post("/v1/manifests", body)


async def at(api, number, what, body, who="phlebotomist"):
    return await api.staff_as(who).post(f"/v1/manifests/{number}/{what}", body)


async def test_a_box_travels_and_a_missing_tube_shows_on_its_order(api, tubes):
    numbers = await tubes(3)
    made = (await packed(api, numbers, lowest_celsius="2.0", highest_celsius="8.0")).json()
    number = made["manifest_no"]
    assert (made["state"], made["samples"], made["arrived"]) == ("packed", 3, 0)
    assert (await at(api, number, "dispatch", {"counted": 2, "celsius": "4.0"})).json()[
        "code"
    ] == "MANIFEST_COUNT_WRONG"
    warm = await at(api, number, "dispatch", {"counted": 3, "celsius": "8.1"})
    assert warm.json()["code"] == "MANIFEST_TEMPERATURE"
    assert (await at(api, number, "dispatch", {"counted": 3, "celsius": "8.0"})).json()["state"] == "dispatched"

    scanned = {"accession_nos": [*numbers[:2], "261123999997"], "celsius": "6.5"}
    arrived = (await at(api, number, "arrival", scanned, "blr_technician")).json()
    assert (arrived["arrived"], arrived["unexpected"]) == (2, ["261123999997"])
    assert arrived["tubes"][numbers[2]] is None

    assert (await at(api, number, "close", {}, "blr_technician")).json()["code"] == "MANIFEST_NOTE_MISSING"
    closed = await at(api, number, "close", {"note": "box damaged, courier asked"}, "blr_technician")
    assert closed.json()["state"] == "closed"
    asked = await api.execute(
        "select o.attention from orders o join samples s on s.order_id = o.id where s.accession_no = :n", n=numbers[2]
    )
    assert "Transport:sample_missing" in str(asked)


async def test_all_tubes_in_time_need_no_note(api, tubes):
    numbers = await tubes(1)
    number = (await packed(api, numbers)).json()["manifest_no"]
    await at(api, number, "dispatch", {"counted": 1})
    await at(api, number, "arrival", {"accession_nos": numbers}, "blr_technician")
    assert (await at(api, number, "close", {}, "blr_technician")).status_code == 200


async def test_a_tube_is_on_one_transport_at_a_time(api, tubes):
    numbers = await tubes(1)
    await packed(api, numbers)
    again = await packed(api, numbers)
    assert (again.status_code, again.json()["code"]) == (409, "SAMPLE_UNDER_WAY")


async def test_a_tube_that_was_not_drawn_is_not_packed(api):
    placed = await api.place()
    answer = await packed(api, [placed["samples"][0]["accession_no"]])
    assert (answer.status_code, answer.json()["code"]) == (409, "SAMPLE_NOT_COLLECTED")


async def test_steps_are_taken_in_order_and_at_the_right_end(api, tubes):
    numbers = await tubes(1)
    number = (await packed(api, numbers)).json()["manifest_no"]
    early = await at(api, number, "arrival", {"accession_nos": numbers}, "blr_technician")
    assert early.json()["code"] == "MANIFEST_NOT_UNDER_WAY"
    await at(api, number, "dispatch", {"counted": 1})
    twice = await at(api, number, "dispatch", {"counted": 1})
    assert twice.json()["code"] == "MANIFEST_NOT_PACKED"
    wrong_end = await at(api, number, "arrival", {"accession_nos": numbers}, "technician")
    assert wrong_end.status_code == 404


async def test_transports_are_listed_by_state(api, tubes):
    number = (await packed(api, await tubes(1))).json()["manifest_no"]
    listed = (await api.staff_as("phlebotomist").get("/v1/manifests", params={"state": "packed"})).json()["items"]
    assert number in {one["manifest_no"] for one in listed}
    other = (await api.staff_as("blr_technician").get("/v1/manifests")).json()["items"]
    assert number in {one["manifest_no"] for one in other}, "the other end sees what is coming"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"to_branch": "DEL"}, id="the same branch"),
        pytest.param({"lowest_celsius": "8", "highest_celsius": "2"}, id="temperatures the wrong way round"),
    ],
)
async def test_a_transport_that_cannot_be_is_refused(api, tubes, body):
    answer = await packed(api, await tubes(1), **body)
    assert answer.json()["code"] == "MANIFEST_REFUSED"
