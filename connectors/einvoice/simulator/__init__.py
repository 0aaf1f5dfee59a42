"""A simulated Invoice Registration Portal, reached as Adaequare and as NIC show it; written from their documents.

It refuses what the portal refuses, signs with its own key and forgets everything when it ends. Besides the shared
routes of `connectors.simulation` it has `GET /_sim/public-key` (keys for the connector's settings) and
`POST /_sim/portal` (`wrong_signature`, `refuse_next`, `revoke_sessions`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from connectors.einvoice.simulator import adaequare, nic
from connectors.einvoice.simulator.config import PortalConfig, Taxpayer
from connectors.einvoice.simulator.portal import Portal
from connectors.simulation import Behaviour, WebhookSender, bounded_body, json_object, page, simulator_app, table
from domain.clock import utc_now

__all__ = ["Portal", "PortalConfig", "Taxpayer", "create_app"]


def create_app(
    behaviour: Behaviour | None = None,
    *,
    clock: Callable[[], datetime] = utc_now,
    config: PortalConfig | None = None,
    portal: Portal | None = None,
) -> FastAPI:
    """Return the portal's application; its state is `app.state.portal`.

    Args:
        behaviour: Fault switches, all off by default.
        clock: Aware; decides windows and token lives.
        config: Users, taxpayers and windows; ignored where `portal` is given.
        portal: A portal made before, whose keys are known already.
    """
    portal = portal or Portal(config or PortalConfig(), clock)
    sender = WebhookSender(behaviour or Behaviour())  # the portal has no webhooks; it carries the fault switches
    app = simulator_app("E-invoice portal", sender, snapshot=portal.snapshot)
    app.state.portal = portal
    gsp, direct = adaequare.AdaequareSurface(portal), nic.NicSurface(portal)
    app.include_router(adaequare.routes(gsp))
    app.include_router(nic.routes(direct))

    @app.get("/_sim/public-key")
    async def public_key() -> JSONResponse:
        return JSONResponse({"signing_keys": portal.signing_keys, "nic_public_key": portal.login_key.public_pem})

    @app.post("/_sim/portal")
    async def change_portal(request: Request) -> JSONResponse:
        wanted = json_object(await bounded_body(request))
        if "wrong_signature" in wanted:
            portal.drill.wrong_signature = wanted["wrong_signature"] is True
        if "refuse_next" in wanted:
            portal.drill.refuse_next = str(wanted["refuse_next"])
        if wanted.get("revoke_sessions") is True:
            gsp.revoke()
            direct.revoke()
        return JSONResponse({"wrong_signature": portal.drill.wrong_signature, "refuse_next": portal.drill.refuse_next})

    @app.get("/")
    async def front() -> Response:
        columns = ("document", "total", "supplier", "buyer", "status", "ack_at", "ack_no", "irn")
        entries = portal.snapshot()["registered"]
        rows = [[entry[name] for name in columns] for entry in entries] if isinstance(entries, list) else []
        return page("E-invoice portal (simulated)", table("Registered documents", columns, rows))

    return app
