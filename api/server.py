"""Serves the application with uvicorn, with deadlines that uvicorn itself does not have."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI

from api.limits import guarded_protocol

GRACE_S = 25
"""Requests in flight get this long when the process is told to stop."""


def server_config(
    app: FastAPI,
    *,
    host: str,
    port: int,
    header_deadline_s: float = 10.0,
    write_deadline_s: float = 60.0,
) -> uvicorn.Config:
    """Return uvicorn's configuration for the application.

    `X-Forwarded-*` headers are believed from loopback only, or from the addresses in `FORWARDED_ALLOW_IPS`.

    Args:
        app: From `api.main.create_app`.
        host: Address to bind to.
        port: 0 takes a free one.
        header_deadline_s: Within this a whole request head must have come.
        write_deadline_s: So long may a client read nothing of its answer.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=guarded_protocol(header_deadline_s=header_deadline_s, write_deadline_s=write_deadline_s),
        ws="none",
        lifespan="on",
        log_config=None,  # telemetry.logs owns logging
        access_log=False,  # uvicorn's would print query strings
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=1000,
    )


def serve(app: FastAPI, *, host: str, port: int) -> None:
    """Serve until the process is told to stop."""
    uvicorn.Server(server_config(app, host=host, port=port)).run()
