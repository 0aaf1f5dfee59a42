"""What crosses between the inbox and the workflows that send reports out, and how those end. Ids, enums and counts."""

from __future__ import annotations

from typing import Literal

from domain.messages import Envelope
from domain.policies import LabPolicies


class ReportRef(Envelope):
    """Names one version of an order's report."""

    order_no: str
    report_id: str


class DeliveryResult(Envelope):
    """How a report found its reader.

    Attributes:
        outcome: `accepted` is the last thing heard of an e-mail; `handed_over` and `skipped` were staff's decision;
            `withheld` for confidential reports; `superseded` when another version is in force or it was withdrawn.
        channel: The channel that brought it, or "".
    """

    report_id: str
    outcome: Literal["read", "delivered", "accepted", "handed_over", "skipped", "withheld", "superseded"]
    channel: str = ""
    rounds: int = 1


class RecordPushResult(Envelope):
    """Where the care context of a report ended: `linked` without `notified` when staff skipped the notice."""

    report_id: str
    outcome: Literal["notified", "linked", "no_consent", "skipped", "superseded"]


class ConsentNoticeInput(Envelope):
    """Input of ConsentNotice.

    Attributes:
        notice_id: REQUEST-ID of the gateway's notice, which the acknowledgement names.
    """

    lab: str
    consent_id: str
    status: str
    notice_id: str
    policies: LabPolicies = LabPolicies()


class ConsentNoticeResult(Envelope):
    """Whether the gateway took our acknowledgement of a consent."""

    consent_id: str
    outcome: Literal["acknowledged", "refused"]
    code: str = ""


class TransferResult(Envelope):
    """How a request for health information ended.

    Attributes:
        code: Why it was refused or failed, or "".
        is_reported: The gateway took our report on it.
    """

    transaction_id: str
    outcome: Literal["transferred", "failed", "refused"]
    records: int = 0
    code: str = ""
    is_reported: bool = True
