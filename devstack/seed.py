"""A demo laboratory: two branches, staff of every role, payers, doctors, catalogue, analyzers, invented patients.

Safe to run again: what exists is left as it is. Passwords and API keys exist in clear only in what `seed` returns.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import Passwords
from devstack.seed_catalogue import add_catalogue
from devstack.seed_instruments import add_analyzers
from domain.enums import Role, Sex
from store import patients, users
from store.catalogue_file import load_catalogue
from store.session import Database
from store.tables.organisation import Branch, Doctor, Organisation, Payer, User
from store.tables.patients import Patient

ORGANISATION = "DEMO"

_BRANCHES = (
    {
        "code": "DEL", "name": "Setu Diagnostics, Saket", "address1": "12 Press Enclave Road", "address2": "Saket",
        "city": "New Delhi", "pin": "110017", "state_code": "07", "gstin": "07AAXCS9981F1ZD",
        "phone": "+911140000001", "email": "saket@setu.example", "hip_id": "IN0710000001",
        "gst_policy": {"enabled_from": "2023-08-01", "turnover": "10-500cr"},
    },
    {
        "code": "BLR", "name": "Setu Diagnostics, Indiranagar", "address1": "48 100 Feet Road",
        "address2": "Indiranagar", "city": "Bengaluru", "pin": "560038", "state_code": "29",
        "gstin": "29AAXCS9981F1Z7", "phone": "+918040000001", "email": "indiranagar@setu.example",
        "hip_id": "IN2910000001", "gst_policy": {"enabled_from": "2023-08-01", "turnover": "10-500cr"},
    },
)  # fmt: skip

BOTH = ("DEL", "BLR")
_STAFF: tuple[tuple[str, str, Role, tuple[str, ...]], ...] = (
    ("front_desk", "Kavita Rao", Role.FRONT_DESK, ("DEL",)),
    ("phlebotomist", "Imran Qureshi", Role.PHLEBOTOMIST, ("DEL",)),
    ("technician", "Deepa Nair", Role.TECHNICIAN, ("DEL",)),
    ("senior_technician", "Suresh Pillai", Role.TECHNICIAN, ("DEL",)),
    ("pathologist", "Dr. Meera Krishnan", Role.PATHOLOGIST, BOTH),
    ("billing", "Rohit Bansal", Role.BILLING, ("DEL",)),
    ("admin", "Farah Khan", Role.ADMIN, BOTH),
    ("auditor", "Thomas George", Role.AUDITOR, BOTH),
    ("blr_front_desk", "Lakshmi Gowda", Role.FRONT_DESK, ("BLR",)),
    ("blr_technician", "Naveen Shetty", Role.TECHNICIAN, ("BLR",)),
)
USERNAMES = tuple(name for name, *_ in _STAFF)
_SIGNATORY = {"qualification": "MD (Pathology)", "registration_no": "DMC/R/00000"}

_PAYERS = (
    {
        "code": "GRAMCARE", "legal_name": "Gramcare Health Services Private Limited", "gstin": "07AAGCB1286Q1Z6",
        "address1": "7 Institutional Area", "city": "New Delhi", "pin": "110016", "state_code": "07",
        "email": "accounts@gramcare.example",
    },
    {
        "code": "SEVATRUST", "legal_name": "Seva Charitable Trust", "gstin": "", "address1": "3 Temple Street",
        "city": "Bengaluru", "pin": "560004", "state_code": "29", "email": "office@sevatrust.example",
    },
)  # fmt: skip
_DOCTORS = (
    {"name": "Dr. Arvind Menon", "registration_no": "DMC/00001", "phone": "+911140000101"},
    {"name": "Dr. Sunita Joshi", "registration_no": "KMC/00002", "phone": "+918040000102"},
)
# no person: numbers are in ranges that are not given out, the ABHA is the sandbox's shape
PATIENTS = (
    {
        "name": "Asha Verma", "sex": Sex.FEMALE, "birth_date": date(1988, 4, 12), "phone": "+919000000001",
        "email": "asha@patients.example", "language": "hi", "abha_number": "91000000000001",
        "abha_address": "asha.demo@sbx", "has_record_consent": True,
    },
    {"name": "Ravi Kumar", "sex": Sex.MALE, "birth_date": date(1971, 11, 3), "phone": "+919000000002"},
    {
        "name": "Meenakshi Sundaram", "sex": Sex.FEMALE, "birth_date": date(1995, 1, 30), "phone": "+919000000003",
        "language": "ta",
    },
    {"name": "Joseph Mathew", "sex": Sex.MALE, "birth_date": date(1959, 6, 21), "phone": "+919000000004"},
    {
        "name": "Baby of Sana", "sex": Sex.MALE, "birth_date": date(2023, 7, 1), "is_birth_date_estimated": True,
        "phone": "+919000000005",
    },
    {
        "name": "Gurpreet Singh", "sex": Sex.MALE, "birth_date": date(1983, 9, 9), "phone": "+919000000006",
        "has_message_consent": False,
    },
)  # fmt: skip


@dataclass(frozen=True)
class SeededLab:
    """What the demo laboratory consists of.

    Attributes:
        branches: Row ids by code.
        users: Row ids by user name.
        passwords: Of the users made in this run only.
        api_keys: Of the analyzers made in this run only, by analyzer code.
        patients: Numbers, in the order of the list above.
    """

    branches: dict[str, UUID]
    users: dict[str, UUID]
    patients: tuple[str, ...]
    passwords: dict[str, str] = field(repr=False)
    api_keys: dict[str, str] = field(repr=False)


async def seed(database: Database, *, passwords: Mapping[str, str] | None = None) -> SeededLab:
    """Make sure that the demo laboratory exists.

    Args:
        database: Migrated.
        passwords: By user name, for users not made yet; the others get a random one.
    """
    given = passwords or {}
    hasher = Passwords()
    clear = {name: given.get(name) or secrets.token_urlsafe(12) for name in USERNAMES}
    async with database.transaction() as session:
        missing = await _missing_users(session)
    hashes = {name: await hasher.hashed(clear[name]) for name in missing}
    async with database.transaction() as session:
        branches = await _add_branches(session)
        staff = await _add_staff(session, branches, hashes)
        await _add_parties(session)
        await add_catalogue(session, load_catalogue())
        api_keys = await add_analyzers(session, branches)
        numbers = await _add_patients(session, branches["DEL"])
    return SeededLab(branches, staff, numbers, {name: clear[name] for name in missing}, api_keys)


async def _missing_users(session: AsyncSession) -> list[str]:
    known = set((await session.exec(select(User.username))).all())
    return [name for name in USERNAMES if name not in known]


async def _add_branches(session: AsyncSession) -> dict[str, UUID]:
    organisation = (await session.exec(select(Organisation).where(Organisation.code == ORGANISATION))).first()
    if organisation is None:
        organisation = Organisation(
            code=ORGANISATION, name="Setu Diagnostics", legal_name="Setu Diagnostics Private Limited"
        )
        session.add(organisation)
        await session.flush()
    for facts in _BRANCHES:
        if not (await session.exec(select(Branch.id).where(Branch.code == facts["code"]))).first():
            session.add(Branch.model_validate({**facts, "organisation_id": organisation.id}))
    await session.flush()
    return dict((await session.exec(select(Branch.code, Branch.id))).all())


async def _add_staff(session: AsyncSession, branches: dict[str, UUID], hashes: dict[str, str]) -> dict[str, UUID]:
    for username, full_name, role, places in _STAFF:
        if username not in hashes:
            continue
        signatory = _SIGNATORY if role is Role.PATHOLOGIST else {}
        user_id = await users.add_user(
            session, username=username, full_name=full_name, password_hash=hashes[username], **signatory
        )
        await users.set_roles(session, user_id, [(role, branches[code]) for code in places])
    return dict((await session.exec(select(User.username, User.id))).all())


async def _add_parties(session: AsyncSession) -> None:
    for payer in _PAYERS:
        if not (await session.exec(select(Payer.id).where(Payer.code == payer["code"]))).first():
            session.add(Payer.model_validate(payer))
    for doctor in _DOCTORS:
        if not (await session.exec(select(Doctor.id).where(Doctor.name == doctor["name"]))).first():
            session.add(Doctor.model_validate(doctor))
    await session.flush()


async def _add_patients(session: AsyncSession, branch_id: UUID) -> tuple[str, ...]:
    numbers: list[str] = []
    for facts in PATIENTS:
        query = select(Patient.patient_no).where(Patient.phone == facts["phone"])
        number = (await session.exec(query)).first()
        if number is None:
            patient = Patient.model_validate({"patient_no": "", "branch_id": branch_id, **facts})
            await patients.register(session, patient)
            number = patient.patient_no
        numbers.append(number)
    return tuple(numbers)
