"""Reads everything that a report prints from PostgreSQL into one immutable value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.catalogue import ReferenceInterval
from domain.clock import lab_day
from domain.enums import LineState, ResultSource, ResultState, SampleState, Sex, VerificationDecision, VerificationLevel
from domain.report import (
    LabHeader,
    ReportContent,
    ReportLanguage,
    ReportLine,
    ReportPatient,
    ReportSection,
    ReportSpecimen,
    ReportStatus,
    Signatory,
)
from domain.results import Comparator, ResultFlag, ResultKind, ResultValue
from rules.flags import age_in_days, printed_value
from store.progress import OrderFacts
from store.tables.catalogue import LabTest, Panel
from store.tables.orders import OrderLine, Sample
from store.tables.organisation import Branch, Doctor, Organisation, User
from store.tables.patients import Patient
from store.tables.results import Result, Verification

_DAYS_IN_YEAR = 365.25
_MONTHS_UNTIL = 24
_DAYS_UNTIL = 60

_ROLES = {VerificationLevel.TECHNICAL: "Technically verified by", VerificationLevel.MEDICAL: "Authorised by"}


@dataclass(frozen=True)
class ReportIdentity:
    """What the new version is called and where it can be checked."""

    report_no: str
    version: int
    verification_url: str
    reported_at: datetime


@dataclass(frozen=True)
class ReportedTest:
    """One authorised result with its test and sample."""

    line: OrderLine
    test: LabTest
    result: Result
    sample: Sample
    panel: Panel | None


async def reported_tests(session: AsyncSession, facts: OrderFacts) -> list[ReportedTest]:
    """Return the order's authorised results in report order."""
    query = (
        select(OrderLine, LabTest, Result, Sample)
        .join(LabTest, col(LabTest.id) == col(OrderLine.test_id))
        .join(Result, col(Result.order_line_id) == col(OrderLine.id))
        .join(Sample, col(Sample.id) == col(Result.sample_id))
        .where(
            OrderLine.order_id == facts.order.id,
            OrderLine.state == LineState.AUTHORISED,
            Result.state == ResultState.CURRENT,
        )
        .order_by(col(OrderLine.position))
    )
    rows = (await session.exec(query)).all()
    panels = {panel.id: panel for panel in (await session.exec(select(Panel))).all()}
    return [
        ReportedTest(line, test, result, sample, panels.get(line.panel_id) if line.panel_id else None)
        for line, test, result, sample in rows
    ]


async def report_content(
    session: AsyncSession, facts: OrderFacts, tests: Sequence[ReportedTest], identity: ReportIdentity
) -> ReportContent:
    """Return what the report prints."""
    order, branch = facts.order, facts.branch
    patient = await session.get_one(Patient, order.patient_id)
    organisation = await session.get_one(Organisation, branch.organisation_id)
    doctor = await session.get(Doctor, order.doctor_id) if order.doctor_id else None
    collected = min((test.sample.collected_at for test in tests if test.sample.collected_at), default=order.created_at)
    return ReportContent(
        lab=_header(organisation, branch),
        patient=ReportPatient(
            name=patient.name,
            patient_no=patient.patient_no,
            age=printed_age(patient.birth_date, lab_day(collected), is_estimated=patient.is_birth_date_estimated),
            sex=_printed_sex(patient.sex),
        ),
        order_no=order.order_no,
        report_no=identity.report_no,
        version=identity.version,
        status=ReportStatus.FINAL,
        specimens=_specimens(test.sample for test in tests),
        sections=_sections(tests),
        signatories=await _signatories(session, tests),
        reported_at=identity.reported_at,
        verification_url=identity.verification_url,
        referring_doctor=doctor.name if doctor else "Self",
        rejected_specimens=await _rejected(session, facts),
        language=ReportLanguage.HINDI if patient.language == "hi" else ReportLanguage.ENGLISH,
    )


def printed_age(born_on: date, on: date, *, is_estimated: bool) -> str:
    """Return an age as printed: days for newborns, months for infants, years for everybody else."""
    days = age_in_days(born_on, on)
    months = (on.year - born_on.year) * 12 + on.month - born_on.month - (on.day < born_on.day)
    if days < _DAYS_UNTIL:
        text = f"{days} days"
    elif months < _MONTHS_UNTIL:
        text = f"{months} months"
    else:
        text = f"{months // 12} years"
    return f"about {text}" if is_estimated else text


def _printed_sex(sex: Sex) -> str:
    return sex.value.capitalize()


def _header(organisation: Organisation, branch: Branch) -> LabHeader:
    street = ", ".join(part for part in (branch.address1, branch.address2) if part)
    contact = " · ".join(part for part in (branch.phone, branch.email) if part)
    return LabHeader(name=organisation.name, address=(street, f"{branch.city} {branch.pin}"), contact=contact)


def _specimens(samples: Iterable[Sample]) -> tuple[ReportSpecimen, ...]:
    unique = {sample.id: sample for sample in samples}
    return tuple(
        ReportSpecimen(
            type=sample.specimen,
            accession_no=sample.accession_no,
            collected_at=sample.collected_at or sample.created_at,
            received_at=sample.received_at,
        )
        for sample in unique.values()
    )


def _sections(tests: Sequence[ReportedTest]) -> tuple[ReportSection, ...]:
    def key(test: ReportedTest) -> tuple[str, str, str]:
        return test.test.department, test.panel.name if test.panel else "", test.sample.specimen

    return tuple(
        ReportSection(
            department=department, title=title, specimen=specimen, lines=tuple(_line(test) for test in members)
        )
        for (department, title, specimen), members in groupby(tests, key)
    )


def _line(reported: ReportedTest) -> ReportLine:
    test, result = reported.test, reported.result
    return ReportLine(
        test_name=test.name,
        result=printed_result(test, result),
        unit=test.unit_display,
        flag=ResultFlag(result.flag),
        reference=result.reference_text,
        method=test.method,
        loinc=test.loinc,
        # what a device says about itself (modes, alarms) is for the verifier; people's words are for the patient
        comments=tuple(result.comments) if result.source is ResultSource.MANUAL else (),
        is_research=test.is_research,
    )


def printed_result(test: LabTest, result: Result) -> str:
    """Return a result as printed, with its comparator."""
    if result.number is None or test.decimals is None:
        return result.value_text
    value = ResultValue(result.value_text, ResultKind(test.kind), Comparator(result.comparator), result.number)
    interval = ReferenceInterval(low=result.reference_low, high=result.reference_high)
    return printed_value(value, test.decimals, interval, test.critical_low, test.critical_high)


async def _signatories(session: AsyncSession, tests: Sequence[ReportedTest]) -> tuple[Signatory, ...]:
    """Return who verified and who authorised: the last signature of each person at each level."""
    query = (
        select(Verification, User)
        .join(User, col(User.id) == col(Verification.user_id))
        .where(
            col(Verification.result_id).in_([test.result.id for test in tests]),
            Verification.decision == VerificationDecision.ACCEPTED,
        )
        .order_by(col(Verification.created_at))
    )
    latest = {(row.level, user.id): (row, user) for row, user in (await session.exec(query)).all()}
    ordered = sorted(latest.values(), key=lambda pair: (pair[0].level is VerificationLevel.MEDICAL, pair[0].created_at))
    return tuple(
        Signatory(
            name=user.full_name,
            qualification=user.qualification,
            role=_ROLES[row.level],
            signed_at=row.created_at,
            registration_no=user.registration_no,
        )
        for row, user in ordered
    )


async def _rejected(session: AsyncSession, facts: OrderFacts) -> tuple[str, ...]:
    query = select(Sample).where(Sample.order_id == facts.order.id, Sample.state == SampleState.REJECTED)
    rows = (await session.exec(query.order_by(col(Sample.rejected_at)))).all()
    return tuple(f"{row.specimen} {row.accession_no}: {row.reject_reason.replace('_', ' ')}" for row in rows)
