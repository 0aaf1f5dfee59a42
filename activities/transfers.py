"""Answering requests for health information: which reports a consent opens, and sending them encrypted.

The keys of a transfer are made, used and forgotten inside one attempt of one activity; nothing of them is kept.
Source: ABDM Developer Portal, catalogue 2026.09.16, M2 "Health information transfer".
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import TypeAdapter
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.people import system
from activities.record_bundle import diagnostic_record
from connectors.abdm import AbdmConnector
from connectors.abdm.bundle import render_bundle
from connectors.abdm.cipher import OwnKey, encrypt_bundle
from connectors.abdm.push import push_health_information, push_page
from connectors.abdm.wire import PushPage
from connectors.files import FilesConnector
from connectors.http import PartnerHttp
from domain.clock import utc_now
from domain.diagnostic_records import DiagnosticRecord
from domain.errors import RequestError
from domain.health_records import (
    ConsentArtefact,
    HealthInfoRefusal,
    HealthInfoRequest,
    HiType,
    refusal_of,
)
from domain.messages import WorkflowType
from store import audit, sharing
from store.progress import order_facts
from store.session import Database
from store.sharing import SharedReport
from store.tables.sharing import Consent, HealthInfoTransferRow
from store.timeline import EventDetail

RECORDS_PER_PAGE = 10
"""A record may be 5 MiB; more than this at once would not fit into a worker's memory."""
KEY_LIFE = timedelta(hours=24)

CALLBACK_ID = "callback_request_id"

_SOURCE = WorkflowType.HEALTH_INFO_TRANSFER.value
_REQUEST = TypeAdapter(HealthInfoRequest)
_ARTEFACT = TypeAdapter(ConsentArtefact)


def stored_request(request: HealthInfoRequest, callback_request_id: str) -> dict[str, object]:
    """Return a request as its row keeps it; `callback_request_id` is the REQUEST-ID our answer names."""
    kept: dict[str, object] = _REQUEST.dump_python(request, mode="json")
    return kept | {CALLBACK_ID: callback_request_id}


def stored_artefact(artefact: ConsentArtefact) -> dict[str, object]:
    """Return a consent as its row keeps it."""
    kept: dict[str, object] = _ARTEFACT.dump_python(artefact, mode="json")
    return kept


def artefact_of(row: Consent | None) -> ConsentArtefact | None:
    """Return the consent of a row, with the status in force, or None where there is none."""
    if row is None:
        return None
    return _ARTEFACT.validate_python({**row.artefact, "consent_id": row.consent_id, "status": row.status})


@dataclass(frozen=True)
class Asked:
    """A stored request for records with the consent it names."""

    row: HealthInfoTransferRow
    request: HealthInfoRequest
    artefact: ConsentArtefact | None

    @property
    def callback_request_id(self) -> str:
        """REQUEST-ID of the gateway's callback."""
        return str(self.row.request[CALLBACK_ID])

    @property
    def refusal(self) -> HealthInfoRefusal | None:
        """Why the request is refused as things stand now, or None."""
        return refusal_of(self.request, self.artefact, utc_now())


async def asked_for(session: AsyncSession, transaction_id: str) -> Asked:
    """Load a stored request.

    Raises:
        NotFoundError: There is none.
    """
    row = await sharing.transfer_of(session, transaction_id)
    request = _REQUEST.validate_python({key: value for key, value in row.request.items() if key != CALLBACK_ID})
    return Asked(row, request, artefact_of(await sharing.consent_of(session, request.consent_id)))


async def reports_for(session: AsyncSession, asked: Asked) -> list[SharedReport]:
    """Return the reports that the consent opens: linked, named in it, of its patient, issued in the period asked."""
    artefact, request = asked.artefact, asked.request
    if artefact is None or HiType.DIAGNOSTIC_REPORT.value not in artefact.hi_types:
        return []
    named = set(artefact.care_contexts)
    found = await sharing.linked_reports(session, [reference for _, reference in artefact.care_contexts])
    return [
        shared
        for shared in found
        if (shared.patient.patient_no, shared.facts.order.order_no) in named
        and request.date_from <= shared.report.issued_at <= request.date_to
        and _is_same_person(shared, artefact)
    ]


def _is_same_person(shared: SharedReport, artefact: ConsentArtefact) -> bool:
    ours, theirs = shared.patient.abha_address.casefold(), artefact.patient_abha_address.casefold()
    return not ours or not theirs or ours == theirs


async def set_state(
    session: AsyncSession, transaction_id: str, state: str, *, code: str = "", sent_count: int = 0
) -> bool:
    """Move a request to `state`; False when it is there already."""
    row = await sharing.transfer_of(session, transaction_id, for_update=True)
    if row.state == state:
        return False
    row.state, row.error_code, row.sent_count = state, code, sent_count or row.sent_count
    session.add(row)
    await audit.record(
        session, chain="lab", actor=system(_SOURCE), action=f"health_information.{state}",
        object_kind="health_info_transfer", object_id=transaction_id,
        body={"consent_id": row.consent_id, "code": code, "records": sent_count},
    )  # fmt: skip
    return True


async def note_shared(session: AsyncSession, transaction_id: str, references: Sequence[str]) -> None:
    """Tell the timeline of each order that its report was sent."""
    for shared in await sharing.linked_reports(session, references):
        detail: EventDetail = {"report_no": shared.report.report_no, "transaction_id": transaction_id}
        await order_facts(session, shared.facts.order.order_no, for_update=True)
        await sharing.event_once(
            session, shared.facts.order.id, source=_SOURCE, kind="record_shared", key="transaction_id", detail=detail
        )


@dataclass(frozen=True)
class Sender:
    """Everything needed to send the records of one request.

    Attributes:
        push: From `connectors.abdm.push.push_http`: the only client that may be pointed at a requester's address.
    """

    database: Database
    abdm: AbdmConnector
    push: PartnerHttp
    files: FilesConnector

    async def send(self, asked: Asked, reports: Sequence[SharedReport]) -> None:
        """Send the reports, encrypted with one key pair, in as few pages as fit.

        Raises:
            RequestError: The address is refused, or a report cannot become a record.
            MessageError: The requester's key is unusable.
            ConnectorError: The requester or the object store, as their connectors.
        """
        own = OwnKey()
        settings = self.abdm.settings
        token = await self.abdm.access_token()
        pages = list(_chunks(reports))
        for number, chunk in enumerate(pages, start=1):
            contents = [(shared.facts.order.order_no, await self._record(shared)) for shared in chunk]
            page = await asyncio.to_thread(_sealed_page, asked.request, contents, own, self.abdm)
            page = page.model_copy(update={"page_number": number, "page_count": len(pages)})
            await push_health_information(
                self.push, settings, url=asked.request.data_push_url, page=page, access_token=token
            )

    async def _record(self, shared: SharedReport) -> DiagnosticRecord:
        report = shared.report
        async with self.database.transaction() as session:
            record = await diagnostic_record(session, shared, facility_id=self.abdm.settings.hip_id)
        pdf = await asyncio.to_thread(self.files.get, report.object_key, report.object_version, sha256=report.sha256)
        return replace(record, pdf=pdf)


def _chunks(reports: Sequence[SharedReport]) -> Iterator[Sequence[SharedReport]]:
    for start in range(0, len(reports), RECORDS_PER_PAGE):
        yield reports[start : start + RECORDS_PER_PAGE]


def _sealed_page(
    request: HealthInfoRequest, records: Sequence[tuple[str, DiagnosticRecord]], own: OwnKey, abdm: AbdmConnector
) -> PushPage:
    """Render and encrypt one page. CPU work of up to a second: off the event loop."""
    contents = [
        (
            reference,
            encrypt_bundle(
                render_bundle(record), request.hiu_public_key, request.hiu_nonce, own=own,
                encoding=abdm.settings.push_key_encoding,
            ),
        )
        for reference, record in records
    ]  # fmt: skip
    return push_page(request.transaction_id, contents, _key_expiry(utc_now()))


def _key_expiry(now: datetime) -> datetime:
    return now + KEY_LIFE


def nothing_to_send() -> RequestError:
    """Return the error of a request that no report here answers."""
    return RequestError(
        "none of the reports in the consent can be sent", code="NOTHING_TO_SEND", connector="abdm",
        action="Nothing: they are not linked, withdrawn, confidential or outside the period asked for.",
    )  # fmt: skip
