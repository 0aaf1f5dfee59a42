"""A simulated ABDM network: gateway, consent manager, people, and a patient's app that pulls what is shared.

There is no public simulator of the version 3 network, and the real sandbox needs a registration and a public HTTPS
address. This one enforces what was observed of the real one: headers, time window, replayed request ids, demographic
match with a block after failures, the race of notice and link, consent before data, encryption, FHIR.
Source: ABDM Developer Portal, catalogue 2026.09.16, "Integration learnings" and error list of 21 Sep 2026.

Besides the shared `/_sim/…` paths: `POST /_sim/quirks` (see `Quirks`), `POST /_sim/people` (one `Person`),
`POST /_sim/pull/{report}`, `POST /_sim/revoke/{consent}`, `POST /_sim/rotate-keys`, `POST /_sim/forget-sessions`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import httpx
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError

from connectors.abdm.simulator.door import Refusal, refusal_response
from connectors.abdm.simulator.gateway import gateway_routes
from connectors.abdm.simulator.network import BASE, Network, Person, Quirks, SimulatorConfig
from connectors.abdm.simulator.patient_app import patient_app_routes, pull_due
from connectors.simulation import Behaviour, WebhookSender, bounded_body, json_object, page, simulator_app, table
from domain.clock import utc_now

RETRY_AFTER_S = (1.0, 1.0)
"""The gateway repeats a failed callback twice. Source: ProjectEKA gateway, application.yml (2021)."""

__all__ = ["BASE", "Network", "Person", "Quirks", "SimulatorConfig", "create_app"]


def create_app(
    config: SimulatorConfig | None = None,
    *,
    clock: Callable[[], datetime] = utc_now,
    behaviour: Behaviour | None = None,
    webhook_client: httpx.AsyncClient | None = None,
) -> FastAPI:
    """Return the simulator. `app.state.network` and `app.state.sender` are for tests.

    Args:
        config: Credentials, addresses, waits and people; by default one facility and two people.
        clock: Its idea of now; move it to see blocks and consents expire.
        behaviour: Fault switches to start with.
        webhook_client: How the bridge is reached; by default a plain client.
    """
    behaviour = behaviour or Behaviour()
    sender = WebhookSender(behaviour, client=webhook_client, retry_after_s=RETRY_AFTER_S)
    network = Network(config or SimulatorConfig(), sender, clock, behaviour)
    app = simulator_app(
        "ABDM", sender, snapshot=lambda: _snapshot(network), tick=lambda: pull_due(network), spared=("/hiu/",)
    )
    app.state.network, app.state.sender = network, sender
    app.include_router(gateway_routes(network))
    app.include_router(patient_app_routes(network))
    _switches(app, network)

    @app.exception_handler(Refusal)
    async def refuse(_request: Request, refusal: Refusal) -> Response:
        return refusal_response(network, refusal)

    @app.get("/")
    async def overview() -> Response:
        return _overview(network)

    return app


def _switches(app: FastAPI, network: Network) -> None:
    @app.post("/_sim/quirks")
    async def change_quirks(request: Request) -> Response:
        patch = json_object(await bounded_body(request))
        try:
            network.quirks = Quirks.model_validate(network.quirks.model_dump() | patch)
        except ValidationError:
            raise HTTPException(422, "unknown quirk or value") from None
        return JSONResponse(network.quirks.model_dump(mode="json"))

    @app.post("/_sim/people")
    async def add_person(request: Request) -> Response:
        try:
            person = Person.model_validate(json_object(await bounded_body(request)))
        except ValidationError:
            raise HTTPException(422, "not a person") from None
        network.people[person.abha_address.lower()] = person
        return JSONResponse({"people": len(network.people)})

    @app.post("/_sim/rotate-keys")
    async def rotate_keys() -> Response:
        network.rotate_keys()
        return JSONResponse({"keys": len(network.key_set())})

    @app.post("/_sim/forget-sessions")
    async def forget_sessions() -> Response:
        network.sessions.clear()
        return JSONResponse({"sessions": 0})


def _snapshot(network: Network) -> dict[str, object]:
    return {
        "bridge_url": network.bridge_url,
        "quirks": network.quirks.model_dump(mode="json"),
        "people": [person.abha_address for person in network.people.values()],
        "links": [
            {
                "reference": link.reference,
                "hi_type": link.hi_type,
                "address": link.abha_address,
                "notices": link.notices,
            }
            for link in network.links
        ],
        "consents": [
            {"consent_id": one.consent_id, "status": one.status, "acknowledged": one.acknowledged}
            for one in network.consents.values()
        ],
        "transfers": [
            {
                "transaction_id": one.transaction_id,
                "status": one.session_status,
                "refusal": one.refusal,
                "pushes": one.pushes,
                "notified": one.notified,
                "failures": one.failures,
                "records": [
                    {"reference": record.care_context_reference, "problems": record.problems, "results": record.summary}
                    for record in one.records
                ],
            }
            for one in network.transfers.values()
        ],
        "refusals": network.refusals[-50:],
    }


def _overview(network: Network) -> Response:
    records = [
        (
            record.care_context_reference,
            f"{record.size_bytes} bytes",
            "; ".join(record.summary),
            ", ".join(record.problems),
        )
        for transfer in network.transfers.values()
        for record in transfer.records
    ]
    return page(
        "ABDM simulator",
        table("Received records", ("report", "size", "results", "problems"), records),
        table(
            "Linked reports", ("report", "kind", "ABHA address", "notices"),
            [(one.reference, one.hi_type, one.abha_address, one.notices) for one in network.links],
        ),
        table(
            "Consents", ("consent", "status", "acknowledged"),
            [(one.consent_id, one.status, one.acknowledged) for one in network.consents.values()],
        ),
        table(
            "Transfers", ("transaction", "status", "refused with", "pushes", "failures"),
            [
                (one.transaction_id, one.session_status, one.refusal, one.pushes, "; ".join(one.failures))
                for one in network.transfers.values()
            ],
        ),
        table(
            "People", ("ABHA address", "name", "gender", "born"),
            [(one.abha_address, one.name, one.gender, one.year_of_birth) for one in network.people.values()],
        ),
        table("Refused calls", ("reason",), [(text,) for text in network.refusals[-20:]]),
    )  # fmt: skip
