"""Every staff route × every role × own and other branch, generated from the routes and the permission table."""

import uuid

import pytest
from fastapi.routing import APIRoute

from api.main import ROUTERS
from api.permissions import PUBLIC_ROUTES, ROLE_PERMISSIONS, Require
from domain.enums import Role

SIGNED_IN_ONLY = {"/v1/auth/me"}
OWN_PROOF = {"/temporal/codec/{operation}", "/temporal/codec/decode", "/temporal/codec/encode"}

ROLES = list(Role)

# a body that is valid for each POST, so that what refuses it is access and not form
BODIES = {
    "/v1/patients": {"branch": "{branch}", "name": "Test Person", "sex": "female", "age_years": 30},
    "/v1/patients/search": {"name": "Asha"},
    "/v1/orders": {"branch_code": "{branch}", "patient_no": "{patient}", "items": [{"code": "HGB"}]},
    "/v1/orders/{order_no}/cancel": {"reason": "asked twice"},
    "/v1/orders/{order_no}/release": {"reason": "poor patient"},
    "/v1/orders/{order_no}/samples/collect": {"samples": [{"accession_no": "{accession}"}]},
    "/v1/orders/{order_no}/samples/receive": {"accession_nos": ["{accession}"]},
    "/v1/orders/{order_no}/samples/reject": {"accession_no": "{accession}", "reason_code": "haemolysed"},
    "/v1/orders/{order_no}/results": {"results": [{"test_code": "HGB", "value": "13.1"}]},
    "/v1/orders/{order_no}/verify": {},
    "/v1/orders/{order_no}/authorise": {},
    "/v1/orders/{order_no}/payments": {
        "invoice_no": "{invoice}", "amount_paise": 100, "method": "cash", "receipt_ref": "R-1",
    },
    "/v1/invoices/{document_no}/reverse": {"reason": "wrong payer"},
    "/v1/orders/{order_no}/attention/resolve": {
        "workflow_id": "order:LAB1:{order}", "step": "some_step", "decision": "retry", "reason": "portal is back",
    },
    "/v1/instrument-messages/{message_id}/reprocess": None,
    "/v1/instrument-exceptions/{exception_id}/dismiss": {"reason": "asked the device's operator"},
    "/v1/instrument-exceptions/{exception_id}/assign": {"accession_no": "{accession}", "reason": "label was torn"},
    "/v1/instrument-exceptions/{exception_id}/unassign": {"reason": "it was the other tube"},
    "/v1/instrument-exceptions/reprocess": {"dry_run": True},
    "/v1/orders/{order_no}/held-results": {"decisions": [{"test_code": "HGB", "version": 1}]},
    "/v1/analyzers/{code}/mappings": {"device_code": "HGB-2", "test_code": "HGB", "unit": "g/dL"},
    "/v1/analyzers/{code}/mappings/import": {"content": "Vendor Analyte Code,LOINC Code\nX1,718-7\n"},
    "/v1/mappings/{mapping_id}/confirm": {},
    "/v1/mappings/{mapping_id}/retire": {"reason": "another reagent"},
    "/v1/orders/{order_no}/samples/{accession_no}/rerun": {"test_codes": ["HGB"]},
    "/v1/device-work/{work_id}/resend": None,
    "/v1/device-work/{work_id}/withdraw": {"reason": "done by hand"},
    "/v1/samples/labels": {"accession_nos": ["{accession}"], "reason": "torn"},
    "/v1/samples/{accession_no}/receive": None,
    "/v1/samples/{accession_no}/aliquots": {"volume_ul": 100},
    "/v1/samples/{accession_no}/storage": {"place": "FRIDGE-1/A1"},
    "/v1/samples/{accession_no}/take-out": {"reason": "to be measured again"},
    "/v1/disposals": {"accession_nos": ["{accession}"], "reason": "leaking"},
    "/v1/retention-rules": {"specimen": "Serum", "days": 7, "source": "quality manual 4.2"},
    "/v1/manifests": {"from_branch": "{branch}", "to_branch": "{other}", "accession_nos": ["{accession}"]},
    "/v1/manifests/{manifest_no}/dispatch": {"counted": 1},
    "/v1/manifests/{manifest_no}/arrival": {"accession_nos": ["{accession}"]},
    "/v1/manifests/{manifest_no}/close": {"note": "box was open"},
    "/v1/users": {"username": "new.person", "full_name": "New Person", "password": "a long sentence for one test"},
    "/v1/users/{username}": {"is_disabled": False},
    "/v1/instrument-messages/{message_id}/replay": {"target": "127.0.0.1:9"},
    "/v1/analyzers": {"code": "NEW-1", "name": "New one", "branch": "{branch}", "model": "erba_xl"},
    "/v1/analyzers/examine": {"capture": "H|\\^&\nL|1|N\n"},
    "/v1/analyzers/{code}": {"name": "Renamed"},
    "/v1/analyzers/{code}/keys": {"name": "middleware"},
    "/v1/analyzers/{code}/profiles": {"model": "sysmex_xn"},
    "/v1/analyzers/{code}/profiles/{version}/activate": None,
    "/v1/analyzers/{code}/recordings": {"minutes": 1},
    "/v1/analyzers/{code}/recordings/{recording_id}/stop": None,
    "/v1/analyzers/{code}/import": {"document": "profile: {protocol: astm}"},
}  # fmt: skip
# what a GET or POST of the other branch's things must answer
OTHERS_THINGS = (
    "{accession_no}",
    "{code}",
    "{command_id}",
    "{document_no}",
    "{exception_id}",
    "{manifest_no}",
    "{mapping_id}",
    "{message_id}",
    "{order_no}",
    "{recording_id}",
    "{work_id}",
)


def _routes():
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute):
                for method in sorted(route.methods - {"HEAD"}):
                    yield method, route


def _permission(route):
    found = [dependency.call.permission for dependency in _dependencies(route.dependant) if _is_require(dependency)]
    assert len(found) <= 1, f"{route.path} declares two permissions"
    return found[0] if found else None


def _is_require(dependency):
    return isinstance(dependency.call, Require)


def _dependencies(dependant):
    for dependency in dependant.dependencies:
        yield dependency
        yield from _dependencies(dependency)


STAFF_ROUTES = [(method, route) for method, route in _routes() if _permission(route)]
BY_ROUTE = pytest.mark.parametrize(
    ("method", "route"), STAFF_ROUTES, ids=[f"{method} {route.path}" for method, route in STAFF_ROUTES]
)


def test_every_route_declares_who_may_call_it():
    for method, route in _routes():
        if _permission(route) is None:
            assert route.path in PUBLIC_ROUTES | SIGNED_IN_ONLY | OWN_PROOF, f"{method} {route.path} is open to all"
        else:
            assert route.path not in PUBLIC_ROUTES


def test_every_public_route_exists():
    assert {route.path for _, route in _routes()} >= PUBLIC_ROUTES


def test_every_permission_is_needed_somewhere_and_held_by_somebody():
    needed = {_permission(route) for _, route in STAFF_ROUTES}
    held = frozenset().union(*ROLE_PERMISSIONS.values())
    assert set(Role) == set(ROLE_PERMISSIONS)
    # these two are asked for inside routes that another permission opens
    assert held - needed == {"result.read", "payload.decode"}


@pytest.fixture(scope="module")
def things():
    return {}


async def _thing(api, things, branch):
    """Return the ids of one order, message and analyzer of a branch."""
    if branch not in things:
        user = "front_desk" if branch == "DEL" else "blr_front_desk"
        body = {"branch_code": branch, "patient_no": api.lab.patients[1], "items": [{"code": "HGB"}]}
        placed = (await api.staff_as(user).post("/v1/orders", body)).json()
        analyzer = "XN-1" if branch == "DEL" else "BS-2"
        pushed = await api.client.post(
            f"/connectors/astm/{analyzer}",
            content=b"H|\\^&|||x\rL|1|N\r",
            headers={"X-Api-Key": api.lab.api_keys[analyzer]},
        )
        collected = await api.staff_as(user).post(
            f"/v1/orders/{placed['order_no']}/samples/collect",
            {"samples": [{"accession_no": placed["samples"][0]["accession_no"]}]},
        )
        waiting = await _waiting(api, pushed.json()["stored"][0], analyzer)
        things[branch] = {
            **waiting,
            "{branch}": branch,
            "{other}": "BLR" if branch == "DEL" else "DEL",
            "{manifest_no}": await _manifest(api, branch, placed["order_no"]),
            "{patient}": api.lab.patients[1],
            "{patient_no}": api.lab.patients[1],
            "{order}": placed["order_no"],
            "{order_no}": placed["order_no"],
            "{accession}": placed["samples"][0]["accession_no"],
            "{accession_no}": placed["samples"][0]["accession_no"],
            "{invoice}": placed["invoices"][0]["document_no"],
            "{document_no}": placed["invoices"][0]["document_no"],
            "{message_id}": pushed.json()["stored"][0],
            "{code}": analyzer,
            "{version}": "1",
            "{username}": "phlebotomist",
            "{command_id}": collected.json()["command_id"],
            "{work_id}": await _device_work(api, placed["order_no"], analyzer),
            "{recording_id}": await _recording(api, analyzer),
        }
    return things[branch]


async def _waiting(api, message_id, analyzer):
    """Return the ids of an exception about the message's specimen, and of a mapping that somebody proposed."""
    exception_id, mapping_id = uuid.uuid4(), uuid.uuid4()
    await api.execute(
        "insert into instrument_exceptions (id, created_at, message_id, analyzer_id, kind, specimen_id, device_code,"
        " detail, state, close_reason) select :id, now(), m.id, m.analyzer_id, 'unmatched_specimen', '', '', '',"
        " 'open', '' from instrument_messages m where m.id = :message",
        id=exception_id,
        message=uuid.UUID(message_id),
    )
    await api.execute(
        "insert into device_mappings (id, created_at, analyzer_id, device_code, test_id, unit, state, origin,"
        " target_unit) select :id, now(), a.id, 'HGB-1', t.id, 'g/dL', 'proposed', 'model', '' from analyzers a,"
        " tests t where a.code = :code and t.code = 'HGB'",
        id=mapping_id,
        code=analyzer,
    )
    return {"{exception_id}": str(exception_id), "{mapping_id}": str(mapping_id)}


async def _device_work(api, order_no, analyzer):
    """Queue the order's sample for the analyzer and return the entry's id."""
    work_id = str(uuid.uuid4())
    await api.execute(
        "insert into device_work (id, created_at, analyzer_id, order_id, sample_id, action, codes, state, attempts,"
        " not_before, note) select cast(:id as uuid), now(), a.id, o.id, s.id, 'new', '{HGB}', 'waiting', 0, now(), ''"
        " from orders o join samples s on s.order_id = o.id join analyzers a on a.code = :analyzer"
        " where o.order_no = :order_no",
        id=work_id, order_no=order_no, analyzer=analyzer,
    )  # fmt: skip
    return work_id


async def _manifest(api, branch, order_no):
    """Put the order's sample on a transport within the branch and return its number."""
    number, manifest_id = f"M-{branch}-000000-0001", str(uuid.uuid4())
    await api.execute(
        "insert into manifests (id, created_at, manifest_no, from_branch_id, to_branch_id, state, packed_by, carrier,"
        " close_note) select cast(:id as uuid), now(), :number, b.id, b.id, 'packed', o.placed_by, '', '' from orders o"
        " join branches b on b.id = o.branch_id where o.order_no = :order_no",
        id=manifest_id, number=number, order_no=order_no,
    )  # fmt: skip
    await api.execute(
        "insert into manifest_samples (manifest_id, sample_id, accession_no) select cast(:id as uuid), s.id,"
        " s.accession_no from samples s join orders o on o.id = s.order_id where o.order_no = :order_no",
        id=manifest_id, order_no=order_no,
    )  # fmt: skip
    return number


async def _recording(api, analyzer):
    """Have the analyzer's lines recorded and return the recording's id."""
    recording_id = str(uuid.uuid4())
    await api.execute(
        "insert into line_recordings (id, created_at, analyzer_id, asked_by, ends_at, max_bytes, end_reason,"
        " size_bytes, piece_count, left_out_bytes) select cast(:id as uuid), now(), a.id, :user, now() +"
        " interval '1 hour', 4096, '', 0, 0, 0 from analyzers a where a.code = :analyzer",
        id=recording_id, analyzer=analyzer, user=api.lab.users["technician"],
    )  # fmt: skip
    return recording_id


def _filled(value, facts):
    if isinstance(value, str):
        for name, text in facts.items():
            value = value.replace(name, text)
        return value
    if isinstance(value, dict):
        return {key: _filled(item, facts) for key, item in value.items()}
    return [_filled(item, facts) for item in value] if isinstance(value, list) else value


async def _call(client, method, route, facts):
    path = _filled(route.path, facts)
    if method == "GET":
        return await client.get(path)
    assert route.path in BODIES, f"give BODIES a valid body for {route.path}"
    return await client.post(path, _filled(BODIES[route.path], facts))


@BY_ROUTE
async def test_only_roles_with_the_permission_get_through(api, things, method, route):
    facts = await _thing(api, things, "DEL")
    for role in ROLES:
        answer = await _call(api.staff_as(role.value), method, route, facts)
        if _permission(route) in ROLE_PERMISSIONS[role]:
            assert answer.status_code not in {401, 403, 422, 500}, f"{role}: {answer.text}"
        else:
            assert answer.status_code == 403, f"{role}: {answer.status_code} {answer.text}"
            assert answer.json()["code"] == "NOT_PERMITTED"


@BY_ROUTE
async def test_nobody_reaches_into_another_branch(api, things, method, route):
    facts = await _thing(api, things, "BLR")
    at_del_only = [role for role in ROLES if role not in {Role.ADMIN, Role.AUDITOR, Role.PATHOLOGIST}]
    holders = [role for role in at_del_only if _permission(route) in ROLE_PERMISSIONS[role]]
    for role in holders:
        answer = await _call(api.staff_as(role.value), method, route, facts)
        if any(name in route.path for name in OTHERS_THINGS):
            assert answer.status_code == 404, f"{role}: {answer.status_code} {answer.text}"
        elif method == "POST" and "{branch}" in str(BODIES[route.path]):
            assert answer.status_code == 403, f"{role}: {answer.status_code} {answer.text}"
            assert answer.json()["code"] == "BRANCH_NOT_PERMITTED"
        else:
            assert facts["{order_no}"] not in answer.text, f"{role} sees the other branch's order"
            assert facts["{message_id}"] not in answer.text


@BY_ROUTE
async def test_without_a_token_nothing_is_answered(api, things, method, route):
    facts = await _thing(api, things, "DEL")
    path = _filled(route.path, facts)
    answer = await api.client.request(method, path, json=_filled(BODIES.get(route.path), facts))
    assert answer.status_code == 401
    assert answer.json()["code"] == "NOT_AUTHENTICATED"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_row_security_hides_other_branches_from_a_query_without_a_predicate(api, things):
    own, other = await _thing(api, things, "DEL"), await _thing(api, things, "BLR")
    from sqlalchemy import text

    for table in ("orders", "samples", "invoices", "commands"):
        async with api.database.transaction(branches=[api.lab.branches["DEL"]]) as session:
            branches = set((await session.execute(text(f"select distinct branch_id from {table}"))).scalars())
        assert branches == {api.lab.branches["DEL"]}, table
    async with api.database.transaction(branches=[]) as session:
        assert (await session.execute(text("select count(*) from orders"))).scalar() == 0
    async with api.database.transaction(branches=[api.lab.branches["DEL"]]) as session:
        numbers = set((await session.execute(text("select order_no from orders"))).scalars())
    assert own["{order_no}"] in numbers
    assert other["{order_no}"] not in numbers
