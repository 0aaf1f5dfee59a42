"""Places of tubes, how long they are kept, and their disposal over HTTP."""

import pytest


@pytest.fixture
async def tube(api):
    """Place an order with a received tube; return its number."""

    async def made(stage="closed"):
        placed = await api.place()
        number = placed["samples"][0]["accession_no"]
        await api.execute("update samples set state = 'received' where accession_no = :n", n=number)
        await api.execute("update orders set stage = :s where order_no = :n", s=stage, n=placed["order_no"])
        return number

    return made


async def keep(api, number, place):
    return await api.staff_as("technician").post(f"/v1/samples/{number}/storage", {"place": place})


async def set_rule(api, days):
    specimen = await api.execute("select distinct specimen from samples limit 1")
    body = {"specimen": "Whole blood (EDTA)", "days": days, "source": "quality manual 4.2"}
    answer = await api.staff_as("pathologist").post("/v1/retention-rules", body)
    assert answer.status_code == 201, (answer.text, specimen)


async def dispose(api, numbers, **more):
    return await api.staff_as("technician").post("/v1/disposals", {"accession_nos": numbers, **more})


async def test_a_tube_is_found_where_it_was_put_last(api, tube):
    number = await tube()
    await keep(api, number, "FRIDGE-1/R1/A1")
    assert (await keep(api, number, "FRIDGE-1/R1/A2")).status_code == 200
    assert (await api.staff_as("technician").get(f"/v1/samples/{number}")).json()["place"] == "FRIDGE-1/R1/A2"
    other = await tube()
    assert (await keep(api, other, "FRIDGE-1/R1/A1")).status_code == 200, "the first place is free again"
    taken = await keep(api, await tube(), "FRIDGE-1/R1/A2")
    assert (taken.status_code, taken.json()["code"]) == (409, "PLACE_TAKEN")


async def test_a_tube_without_a_rule_is_never_due(api, tube):
    await api.execute("update retention_rules set valid_to = now() where valid_to is null")
    number = await tube()
    assert (await keep(api, number, "F2/1")).json()["keep_until"] is None
    due = (await api.staff_as("technician").get("/v1/storage/due")).json()["items"]
    assert number not in {one["accession_no"] for one in due}
    early = await dispose(api, [number])
    assert early.json()["code"] == "RETENTION_NOT_OVER"


async def test_a_tube_is_due_after_its_time_and_disposed_of_once(api, tube):
    await set_rule(api, 7)
    number = await tube()
    await keep(api, number, "F3/1")
    assert (await dispose(api, [number])).json()["code"] == "RETENTION_NOT_OVER"
    await api.execute("update sample_storage set keep_until = now() where place = 'F3/1' and left_at is null")
    due = (await api.staff_as("technician").get("/v1/storage/due")).json()["items"]
    assert number in {one["accession_no"] for one in due}
    done = await dispose(api, [number])
    assert done.status_code == 201, done.text
    shown = (await api.staff_as("technician").get(f"/v1/samples/{number}")).json()
    assert (shown["place"], shown["disposal_no"]) == ("", done.json()["disposal_no"])
    assert (await dispose(api, [number])).json()["code"] == "SAMPLE_NOT_STORED"
    assert (await keep(api, number, "F3/2")).json()["code"] == "SAMPLE_DISPOSED"


async def test_one_tube_of_an_open_order_refuses_the_whole_run(api, tube):
    done, still_open = await tube(), await tube("resulted")
    for place, number in (("F4/1", done), ("F4/2", still_open)):
        await keep(api, number, place)
    answer = await dispose(api, [done, still_open], reason="leaking rack")
    assert answer.json()["code"] == "ORDER_NOT_FINISHED"
    assert (await api.staff_as("technician").get(f"/v1/samples/{done}")).json()["place"] == "F4/1"


async def test_a_new_rule_ends_the_one_before(api):
    await set_rule(api, 7)
    await set_rule(api, 14)
    rules = (await api.staff_as("technician").get("/v1/retention-rules")).json()
    in_force = [rule for rule in rules if rule["valid_to"] is None and rule["specimen"] == "Whole blood (EDTA)"]
    assert [(rule["days"], rule["approved_by"]) for rule in in_force] == [(14, "pathologist")]


async def test_a_tube_taken_out_is_nowhere(api, tube):
    number = await tube()
    await keep(api, number, "F5/1")
    out = await api.staff_as("technician").post(f"/v1/samples/{number}/take-out", {"reason": "measured again"})
    assert out.status_code == 200
    again = await api.staff_as("technician").post(f"/v1/samples/{number}/take-out", {"reason": "measured again"})
    assert again.json()["code"] == "SAMPLE_NOT_STORED"
