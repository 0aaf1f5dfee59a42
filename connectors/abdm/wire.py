"""The JSON of the gateway's version 3 calls and callbacks, as it is on the wire.

Source: ABDM Developer Portal, catalogue 2026.09.16, OpenAPI `hiecm/v3` and "Integration learnings" (which is followed
where the two differ: `hiType` is one string per patient element, the consent acknowledgement is one object).
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from domain.errors import MessageError

MAX_CALLBACK_BYTES = 512 * 1024

Short = Annotated[str, Field(max_length=512)]
Long = Annotated[str, Field(max_length=8192)]
ModelT = TypeVar("ModelT", bound="Inbound")


class Outbound(BaseModel):
    """Base of what we send: nothing that the gateway does not know."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def json_body(self) -> dict[str, Any]:
        """Return the body as the gateway names its fields; what is None is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Inbound(BaseModel):
    """Base of what we receive: unknown fields are kept, known ones are bounded."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True)


class ResponseTo(Outbound):
    """Which callback of theirs we answer."""

    request_id: str


class GenerateToken(Outbound):
    """Body of generate-token; the number is a JSON number without dashes."""

    abha_number: int | None
    abha_address: str | None
    name: str
    gender: str
    year_of_birth: int


class LinkContext(Outbound):
    """One care context to link."""

    reference_number: str
    display: str


class LinkPatient(Outbound):
    """The care contexts of one kind of information."""

    reference_number: str
    display: str
    care_contexts: list[LinkContext]
    hi_type: str
    count: int


class LinkCareContexts(Outbound):
    """Body of link/carecontext; the number is a string of digits."""

    abha_number: str | None
    abha_address: str | None
    patient: list[LinkPatient]


class Id(Outbound):
    """An object that is only an id."""

    id: str


class ContextReference(Outbound):
    """Which record a notice is about."""

    patient_reference: str
    care_context_reference: str


class ContextNotice(Outbound):
    """That a linked record has new data."""

    patient: Id
    care_context: ContextReference
    hi_types: list[str]
    date: str
    hip: Id


class ContextNotify(Outbound):
    """Body of link/context/notify."""

    notification: ContextNotice


class ConsentAcknowledgement(Outbound):
    """One object; an array is refused here (the requester's side sends an array)."""

    status: str
    consent_id: str


class ConsentOnNotify(Outbound):
    """Body of consent on-notify."""

    acknowledgement: ConsentAcknowledgement
    response: ResponseTo


class HiRequestStatus(Outbound):
    """That a request for information is being served."""

    transaction_id: str
    session_status: str


class GatewayError(Outbound):
    """Why a request for information is refused."""

    code: str
    message: str


class HiOnRequest(Outbound):
    """Body of health-information on-request: served, or refused."""

    hi_request: HiRequestStatus | None = None
    error: GatewayError | None = None
    response: ResponseTo


class TransferResponse(Outbound):
    """How the transfer of one record went."""

    care_context_reference: str
    hi_status: str
    description: str


class TransferStatus(Outbound):
    """How a transfer went as a whole."""

    session_status: str
    hip_id: str
    status_responses: list[TransferResponse]


class Notifier(Outbound):
    """Who reports on a transfer."""

    type: str
    id: str


class TransferNotice(Outbound):
    """A report on a finished transfer."""

    consent_id: str
    transaction_id: str
    done_at: str
    notifier: Notifier
    status_notification: TransferStatus


class TransferNotify(Outbound):
    """Body of health-information notify."""

    notification: TransferNotice


class PublicKey(Outbound):
    """Our public key in a push."""

    expiry: str
    parameters: str = "Curve25519/32byte random key"
    key_value: str


class KeyMaterial(Outbound):
    """What the requester needs, besides its own key, to open a push."""

    crypto_alg: str = "ECDH"
    curve: str = "Curve25519"
    dh_public_key: PublicKey
    nonce: str


class PushEntry(Outbound):
    """One encrypted bundle."""

    content: str = Field(repr=False)
    media: str = "application/fhir+json"
    checksum: str
    care_context_reference: str


class PushPage(Outbound):
    """Body of a push to the requester; pages count from 1."""

    page_number: int = 1
    page_count: int = 1
    transaction_id: str
    entries: list[PushEntry]
    key_material: KeyMaterial


class Session(Inbound):
    """Answer of sessions."""

    access_token: Annotated[str, Field(min_length=1, max_length=16384)]
    expires_in: int = Field(ge=1, le=86_400)


class BridgeData(Inbound):
    """The callback address registered for our client id."""

    url: Short | None = None


class BridgeService(Inbound):
    """One facility registered under our client id."""

    id: Short
    types: list[Short] = Field(default_factory=list, max_length=20)
    active: bool = True


class BridgeServices(Inbound):
    """Answer of bridge-services."""

    bridge: BridgeData
    services: list[BridgeService] = Field(default_factory=list, max_length=1000)


class Certs(Inbound):
    """Answer of certs: a JSON Web Key Set."""

    keys: list[dict[str, Any]] = Field(max_length=20)


class RequestIdIn(Inbound):
    """Which call of ours a callback answers."""

    request_id: Short


class ErrorIn(Inbound):
    """Error object in a callback."""

    code: Short | int | None = None
    message: Long | None = None


class AcknowledgementIn(Inbound):
    """Outcome of a notice."""

    status: Short


class AnswerIn(Inbound):
    """Every callback that answers a call of ours: on-generate-token, on_carecontext, context on-notify."""

    response: RequestIdIn
    error: ErrorIn | None = None
    status: Short | None = None
    acknowledgement: AcknowledgementIn | None = None
    link_token: Long | None = None
    abha_address: Short | None = None


class IdIn(Inbound):
    """An object of which only the id matters."""

    id: Short


class ContextIn(Inbound):
    """One record a consent covers."""

    patient_reference: Short
    care_context_reference: Short


class RangeIn(Inbound):
    """A period; both ends included."""

    start: datetime = Field(alias="from")
    end: datetime = Field(alias="to")


class PermissionIn(Inbound):
    """For which period and how long."""

    date_range: RangeIn
    data_erase_at: datetime


class PurposeIn(Inbound):
    """What for."""

    code: Short


class ConsentDetailIn(Inbound):
    """The artefact of a granted consent."""

    patient: IdIn
    care_contexts: list[ContextIn] = Field(max_length=2000)
    purpose: PurposeIn
    hiu: IdIn
    hi_types: list[Short] = Field(max_length=50)
    permission: PermissionIn


class ConsentNotificationIn(Inbound):
    """A consent was granted, revoked or has expired; only a grant carries the detail."""

    status: Short
    consent_id: Annotated[str, Field(min_length=1, max_length=128)]
    consent_detail: ConsentDetailIn | None = None


class ConsentNotifyIn(Inbound):
    """Callback consent notify."""

    notification: ConsentNotificationIn


class PublicKeyIn(Inbound):
    """The requester's public key."""

    expiry: datetime | None = None
    key_value: Long


class KeyMaterialIn(Inbound):
    """The requester's key material."""

    dh_public_key: PublicKeyIn
    nonce: Short


class HiRequestIn(Inbound):
    """What is asked for, and where to send it."""

    consent: IdIn
    date_range: RangeIn
    data_push_url: Annotated[str, Field(max_length=2048)]
    key_material: KeyMaterialIn


class HiRequestCallbackIn(Inbound):
    """Callback health-information request."""

    transaction_id: Annotated[str, Field(min_length=1, max_length=128)]
    hi_request: HiRequestIn


def read(model: type[ModelT], body: bytes, *, limit: int = MAX_CALLBACK_BYTES) -> ModelT:
    """Return `body` as `model`.

    Raises:
        MessageError: It is too large, not JSON, not an object, or lacks what the model needs. The message names fields
            only: the body may hold a patient's data, so neither it nor the parser's own error is kept.
    """
    if len(body) > limit:
        raise MessageError(f"the message exceeds {limit} bytes", code="MESSAGE_TOO_LARGE")
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise MessageError("the message is not JSON", code="NOT_JSON") from None
    try:
        return model.model_validate(parsed)
    except ValidationError as error:
        places = sorted({".".join(str(step) for step in problem["loc"][:6]) for problem in error.errors()})
        what = ", ".join(places[:5]) or "the message"
    except (OverflowError, RecursionError):
        what = "a value"
    raise MessageError(f"the message is not understood: {what}", code="MESSAGE_INVALID")
