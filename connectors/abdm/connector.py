"""Calls to the ABDM gateway as a health information provider.

Every call names its REQUEST-ID, which the caller stores before sending: a callback can arrive before the HTTP answer,
and the gateway refuses a replayed id, so repeating a call whose answer was lost has no second effect.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx
from pydantic import SecretStr

from connectors.abdm import mapping, wire
from connectors.abdm.errors import error_of, not_subscribed, outcome_of, read_failure
from connectors.abdm.session import GatewaySession
from connectors.abdm.settings import AbdmSettings
from connectors.answers import ModelT, read_answer
from connectors.http import PartnerHttp
from domain.clock import utc_now
from domain.errors import AuthError, RequestError
from domain.health_records import (
    AbhaPatient,
    Acceptance,
    AnswerOutcome,
    CareContext,
    HealthInfoRefusal,
)


@dataclass(frozen=True)
class Bridge:
    """What the gateway has on file for our client id.

    Attributes:
        url: Where it posts callbacks; the last writer wins.
        services: Facility id to the roles it is registered for (`HIP`, `HIU`), active ones only.
    """

    url: str
    services: Mapping[str, tuple[str, ...]]


class AbdmConnector:
    """One client id at the gateway, acting for one facility."""

    def __init__(self, http: PartnerHttp, settings: AbdmSettings) -> None:
        self._http = http
        self.settings = settings
        self._session = GatewaySession(http, settings)

    async def access_token(self) -> SecretStr:
        """Return a valid gateway token, as a push to a requester carries it.

        Raises:
            ConnectorError: The gateway gave none.
        """
        return await self._session.token()

    async def clock_ahead(self) -> timedelta | None:
        """Return how far our clock is ahead of the gateway's, or None where it does not tell; opens a session.

        Raises:
            ConnectorError: The gateway gave no session.
        """
        await self._session.token()
        return self._session.clock_ahead

    async def request_link_token(self, *, patient: AbhaPatient, request_id: str) -> Acceptance:
        """Ask for a link token by demographic match; the token comes as a callback and lives six months.

        Raises:
            RejectedError: The patient is unknown or the data does not match.
            ConnectorError: See `domain.errors`.
        """
        return await self._tell(
            "request_link_token", "v3/token/generate-token", mapping.generate_token(patient), request_id
        )

    async def link_care_context(
        self, *, link_token: SecretStr, patient: AbhaPatient, contexts: Sequence[CareContext], request_id: str
    ) -> Acceptance:
        """Link reports to the patient's ABHA; the result comes as a callback.

        Raises:
            RequestError: The contexts are of several patients or too many.
            RejectedError: The token or a context is refused (`LINK_TOKEN_INVALID`: ask for a new token).
            ConnectorError: See `domain.errors`.
        """
        body = mapping.link_care_contexts(patient, contexts)
        headers = {"X-LINK-TOKEN": link_token.get_secret_value()}
        reference = contexts[0].reference
        return await self._tell(
            "link_care_context", "hip/v3/link/carecontext", body, request_id, headers=headers, reference=reference
        )

    async def notify_care_context(
        self, *, patient_address: str, context: CareContext, date: datetime, request_id: str
    ) -> Acceptance:
        """Tell the network that a linked report has data, or new data; the result comes as a callback.

        Args:
            patient_address: The patient's ABHA address.
            context: The linked report.
            date: When the data came to be; aware.
            request_id: REQUEST-ID of this call.

        Raises:
            RejectedError: `CARE_CONTEXT_NOT_LINKED_YET`: repeat with a fresh request id after 5 s, 15 s, 60 s.
            ConnectorError: See `domain.errors`.
        """
        body = mapping.context_notify(patient_address, context, self.settings.hip_id, date)
        return await self._tell(
            "notify_care_context", "hip/v3/link/context/notify", body, request_id, reference=context.reference
        )

    async def acknowledge_consent(self, *, consent_id: str, callback_request_id: str, request_id: str) -> Acceptance:
        """Confirm that a consent notice was stored; `callback_request_id` is its REQUEST-ID.

        Raises:
            ConnectorError: See `domain.errors`.
        """
        body = mapping.consent_on_notify(consent_id, callback_request_id)
        path = "consent/v3/request/hip/on-notify"
        return await self._tell("acknowledge_consent", path, body, request_id, reference=consent_id)

    async def acknowledge_health_info_request(
        self,
        *,
        transaction_id: str,
        callback_request_id: str,
        request_id: str,
        refusal: HealthInfoRefusal | None = None,
    ) -> Acceptance:
        """Accept a request for records, or refuse it with `refusal`; `callback_request_id` is its REQUEST-ID.

        Raises:
            ConnectorError: See `domain.errors`.
        """
        body = mapping.hi_on_request(transaction_id, callback_request_id, refusal)
        path = "data-flow/v3/health-information/hip/on-request"
        return await self._tell("acknowledge_health_info_request", path, body, request_id, reference=transaction_id)

    async def notify_transfer(
        self,
        *,
        consent_id: str,
        transaction_id: str,
        delivered: Mapping[str, bool],
        done_at: datetime,
        request_id: str,
    ) -> Acceptance:
        """Report on a transfer, also on a failed one; `delivered` tells per care context whether it arrived.

        Raises:
            ConnectorError: See `domain.errors`.
        """
        body = mapping.transfer_notify(
            consent_id=consent_id,
            transaction_id=transaction_id,
            delivered=delivered,
            done_at=done_at,
            settings=self.settings,
        )
        path = "data-flow/v3/health-information/notify"
        return await self._tell("notify_transfer", path, body, request_id, reference=transaction_id)

    async def fetch_signing_keys(self) -> tuple[dict[str, object], ...]:
        """Return the JSON Web Keys with which the gateway signs callbacks.

        Raises:
            ConnectorError: See `domain.errors`.
        """
        response = await self._call("fetch_signing_keys", "GET", "gateway/v3/certs", None, str(uuid.uuid4()))
        return tuple(_understood(wire.Certs, response, "fetch_signing_keys").keys)

    async def fetch_bridge(self) -> Bridge:
        """Return where the gateway sends our callbacks and which facilities it knows.

        Raises:
            ConnectorError: See `domain.errors`.
        """
        response = await self._call("fetch_bridge", "GET", "gateway/v3/bridge-services", None, str(uuid.uuid4()))
        if response.status_code == httpx.codes.NO_CONTENT:
            return Bridge(url="", services={})
        found = _understood(wire.BridgeServices, response, "fetch_bridge")
        services = {service.id: tuple(service.types) for service in found.services if service.active}
        return Bridge(url=found.bridge.url or "", services=services)

    async def register_bridge_url(self, *, url: str, request_id: str) -> Acceptance:
        """Make the gateway post callbacks of this client id, all its facilities, to `url`.

        Raises:
            ConnectorError: See `domain.errors`.
        """
        response = await self._call("register_bridge_url", "PATCH", "gateway/v3/bridge/url", {"url": url}, request_id)
        return _acceptance(response, "register_bridge_url", request_id)

    async def _tell(
        self,
        operation: str,
        path: str,
        body: wire.Outbound,
        request_id: str,
        *,
        headers: Mapping[str, str] | None = None,
        reference: str = "",
    ) -> Acceptance:
        response = await self._call(
            operation, "POST", path, body.json_body(), request_id, headers=headers, reference=reference
        )
        return _acceptance(response, operation, request_id)

    async def _call(
        self,
        operation: str,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        request_id: str,
        *,
        headers: Mapping[str, str] | None = None,
        reference: str = "",
    ) -> httpx.Response:
        """Send one call; a token the gateway no longer takes is replaced once.

        The second try carries the same REQUEST-ID: the first never came past the gateway's door.
        """
        _check_request_id(request_id, operation)

        async def attempt(token: SecretStr) -> httpx.Response:
            sent = {
                "REQUEST-ID": request_id,
                "TIMESTAMP": mapping.instant(utc_now()),
                "X-CM-ID": self.settings.cm_id,
                "X-HIP-ID": self.settings.hip_id,
                "Authorization": f"Bearer {token.get_secret_value()}",
                **(headers or {}),
            }
            request = self._http.client.build_request(method, path, json=body, headers=sent)
            return await self._http.send(
                request, operation=operation, safe_to_repeat=True, reference=reference, accept_4xx=True
            )

        token = await self._session.token()
        try:
            return await attempt(token)
        except AuthError as error:
            if error.partner_code == "403":
                raise not_subscribed(error) from None
            self._session.forget(token)
        return await attempt(await self._session.token())


def _acceptance(response: httpx.Response, operation: str, request_id: str) -> Acceptance:
    if not response.is_client_error:
        return Acceptance.ACCEPTED
    failure = read_failure(response.content)
    if outcome_of(failure) is AnswerOutcome.ALREADY_DONE:
        return Acceptance.ALREADY_KNOWN
    raise error_of(failure, operation=operation, request_id=request_id, status=response.status_code)


def _understood(model: type[ModelT], response: httpx.Response, operation: str) -> ModelT:
    if response.is_client_error:
        raise error_of(read_failure(response.content), operation=operation, request_id="", status=response.status_code)
    return read_answer(model, response, connector="abdm", operation=operation, safe_to_repeat=True)


def _check_request_id(request_id: str, operation: str) -> None:
    try:
        uuid.UUID(request_id)
    except ValueError:
        raise RequestError("the request id is not a UUID", connector="abdm", operation=operation) from None
