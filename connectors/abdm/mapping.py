"""Domain to gateway JSON and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from connectors.abdm import wire
from connectors.abdm.errors import Failure, failure_of, outcome_of
from connectors.abdm.settings import AbdmSettings
from domain.errors import MessageError, RequestError
from domain.health_records import (
    AbhaPatient,
    AnswerOutcome,
    CareContext,
    ConsentArtefact,
    ConsentStatus,
    GatewayAnswer,
    HealthInfoRefusal,
    HealthInfoRequest,
)

MAX_CARE_CONTEXTS = 20
"""Per call and per kind of information. Source: ABDM error list of 21 Sep 2026, ABDM-1006 "Invalid count"."""


def instant(moment: datetime) -> str:
    """Return UTC with milliseconds and `Z`, the only form the gateway takes."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def generate_token(patient: AbhaPatient) -> wire.GenerateToken:
    """Return the body that asks for a link token by demographic match."""
    return wire.GenerateToken(
        abha_number=int(patient.abha_number) if patient.abha_number else None,
        abha_address=patient.abha_address or None,
        name=patient.name,
        gender=patient.gender,
        year_of_birth=patient.year_of_birth,
    )


def link_care_contexts(patient: AbhaPatient, contexts: Sequence[CareContext]) -> wire.LinkCareContexts:
    """Return the body that links `contexts`: one patient element per kind of information.

    Raises:
        RequestError: There are none, more than 20 of a kind, or they belong to several patients.
    """
    if not contexts or len({context.patient_reference for context in contexts}) != 1:
        raise RequestError("care contexts of exactly one patient are linked at a time", connector="abdm")
    kinds: dict[str, list[CareContext]] = {}
    for context in contexts:
        kinds.setdefault(context.hi_type, []).append(context)
    if any(len(group) > MAX_CARE_CONTEXTS for group in kinds.values()):
        raise RequestError(f"at most {MAX_CARE_CONTEXTS} care contexts are linked at a time", connector="abdm")
    return wire.LinkCareContexts(
        abha_number=patient.abha_number or None,
        abha_address=patient.abha_address or None,
        patient=[
            wire.LinkPatient(
                reference_number=group[0].patient_reference,
                display=group[0].patient_display,
                care_contexts=[wire.LinkContext(reference_number=c.reference, display=c.display) for c in group],
                hi_type=kind,
                count=len(group),
            )
            for kind, group in kinds.items()
        ],
    )


def context_notify(patient_address: str, context: CareContext, hip_id: str, date: datetime) -> wire.ContextNotify:
    """Return the body that tells the network a linked record has (new) data."""
    return wire.ContextNotify(
        notification=wire.ContextNotice(
            patient=wire.Id(id=patient_address),
            care_context=wire.ContextReference(
                patient_reference=context.patient_reference, care_context_reference=context.reference
            ),
            hi_types=[context.hi_type],
            date=instant(date),
            hip=wire.Id(id=hip_id),
        )
    )


def consent_on_notify(consent_id: str, callback_request_id: str) -> wire.ConsentOnNotify:
    """Return the body that acknowledges a consent notice."""
    return wire.ConsentOnNotify(
        acknowledgement=wire.ConsentAcknowledgement(status="OK", consent_id=consent_id),
        response=wire.ResponseTo(request_id=callback_request_id),
    )


def hi_on_request(transaction_id: str, callback_request_id: str, refusal: HealthInfoRefusal | None) -> wire.HiOnRequest:
    """Return the body that accepts a request for information, or refuses it."""
    response = wire.ResponseTo(request_id=callback_request_id)
    if refusal is not None:
        return wire.HiOnRequest(error=wire.GatewayError(code=refusal.code, message=refusal.message), response=response)
    status = wire.HiRequestStatus(transaction_id=transaction_id, session_status="ACKNOWLEDGED")
    return wire.HiOnRequest(hi_request=status, response=response)


def transfer_notify(
    *,
    consent_id: str,
    transaction_id: str,
    delivered: Mapping[str, bool],
    done_at: datetime,
    settings: AbdmSettings,
) -> wire.TransferNotify:
    """Return the report on a transfer; `delivered` tells per care context reference whether it arrived."""
    responses = [
        wire.TransferResponse(
            care_context_reference=reference,
            hi_status=settings.hi_status_delivered if arrived else settings.hi_status_failed,
            description="Done" if arrived else "Not delivered",
        )
        for reference, arrived in delivered.items()
    ]
    succeeded = bool(delivered) and all(delivered.values())
    return wire.TransferNotify(
        notification=wire.TransferNotice(
            consent_id=consent_id,
            transaction_id=transaction_id,
            done_at=instant(done_at),
            notifier=wire.Notifier(type="HIP", id=settings.hip_id),
            status_notification=wire.TransferStatus(
                session_status="TRANSFERRED" if succeeded else "FAILED",
                hip_id=settings.hip_id,
                status_responses=responses,
            ),
        )
    )


def answer_from(body: bytes) -> GatewayAnswer:
    """Return the gateway's answer to one of our calls (on-generate-token, on_carecontext, context on-notify).

    Raises:
        MessageError: It is not such a callback.
    """
    answer = wire.read(wire.AnswerIn, body)
    failure = _failure_in(answer)
    outcome = AnswerOutcome.DONE if failure is None else outcome_of(failure)
    return GatewayAnswer(
        request_id=answer.response.request_id,
        outcome=outcome,
        code=failure.code if failure else "",
        message=failure.message if failure else "",
        abha_address=answer.abha_address or "",
        link_token=(answer.link_token or "") if failure is None else "",
    )


def _failure_in(answer: wire.AnswerIn) -> Failure | None:
    """Return why an answer is not a success. A success must say so: silence is none."""
    if answer.error is not None and (answer.error.code or answer.error.message):
        return failure_of(answer.error.code, answer.error.message)
    if answer.acknowledgement is not None:
        status = answer.acknowledgement.status
        return None if status == "SUCCESS" else failure_of("", f"acknowledged as {status}")
    if answer.link_token:
        return None
    if answer.status is not None and answer.status.lower().startswith("success"):
        return None
    return failure_of("", answer.status or "the answer names neither a result nor an error")


def consent_from(body: bytes) -> ConsentArtefact:
    """Return the consent a notice is about.

    Raises:
        MessageError: It is not a consent notice, or a grant without its detail.
    """
    notification = wire.read(wire.ConsentNotifyIn, body).notification
    known = {status.value: status for status in ConsentStatus}
    status = known.get(notification.status.upper(), ConsentStatus.UNKNOWN)
    detail = notification.consent_detail
    if detail is None:
        if status is ConsentStatus.GRANTED:
            raise MessageError("a granted consent came without its artefact", code="CONSENT_DETAIL_MISSING")
        return ConsentArtefact(consent_id=notification.consent_id, status=status)
    return ConsentArtefact(
        consent_id=notification.consent_id,
        status=status,
        hi_types=tuple(detail.hi_types),
        care_contexts=tuple((c.patient_reference, c.care_context_reference) for c in detail.care_contexts),
        date_from=_utc(detail.permission.date_range.start),
        date_to=_utc(detail.permission.date_range.end),
        data_erase_at=_utc(detail.permission.data_erase_at),
        hiu_id=detail.hiu.id,
        purpose_code=detail.purpose.code,
        patient_abha_address=detail.patient.id,
    )


def health_info_request_from(body: bytes) -> HealthInfoRequest:
    """Return what a requester asks for.

    Raises:
        MessageError: It is not a request for health information.
    """
    callback = wire.read(wire.HiRequestCallbackIn, body)
    asked = callback.hi_request
    expiry = asked.key_material.dh_public_key.expiry
    return HealthInfoRequest(
        transaction_id=callback.transaction_id,
        consent_id=asked.consent.id,
        date_from=_utc(asked.date_range.start),
        date_to=_utc(asked.date_range.end),
        data_push_url=asked.data_push_url,
        hiu_public_key=asked.key_material.dh_public_key.key_value,
        hiu_nonce=asked.key_material.nonce,
        key_expiry=_utc(expiry) if expiry is not None else None,
    )


def _utc(moment: datetime) -> datetime:
    """Return `moment` in UTC; one without an offset is taken as UTC.

    Raises:
        MessageError: It lies outside the calendar.
    """
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise MessageError("a date lies outside the calendar", code="MESSAGE_INVALID") from None
