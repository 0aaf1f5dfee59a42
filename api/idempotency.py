"""`Idempotency-Key`: every staff POST that changes something carries one, and is done once however often it is sent.

Source: IETF draft-ietf-httpapi-idempotency-key-header, section 2: missing 400, other payload 422, concurrent waits
here for the first one's answer instead of 409.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlmodel.ext.asyncio.session import AsyncSession

from api.deps import Resources
from api.errors import BadRequestError
from api.permissions import Principal
from store.idempotency import RequestKey, claim, keep_answer

_KEY = re.compile(r"[\x21-\x7e]{8,128}")

Work = TypeVar("Work", bound=BaseModel)


@dataclass(frozen=True)
class RepeatableRequest:
    """One POST: its key, and what must be the same when the key comes again."""

    key: str
    route: str
    digest: str

    def by(self, principal: Principal) -> RequestKey:
        """Return the key as one user's: two people may choose the same."""
        return RequestKey(actor_id=principal.user_id, key=self.key, route=self.route, request_hash=self.digest)


async def repeatable(
    request: Request,
    idempotency_key: Annotated[
        str | None, Header(description="8 to 128 printable characters, new for each new request, e.g. a UUID.")
    ] = None,
) -> RepeatableRequest:
    """Return what identifies the request.

    Raises:
        BadRequestError: The header is missing or malformed.
    """
    if idempotency_key is None or not _KEY.fullmatch(idempotency_key):
        raise BadRequestError(
            "this request needs an Idempotency-Key header of 8 to 128 printable characters",
            code="IDEMPOTENCY_KEY_MISSING",
            action="Send a new random key with each new request, and the same key when repeating one.",
        )
    digest = hashlib.sha256(request.url.path.encode() + b"\x00" + await request.body()).hexdigest()
    route = f"{request.method} {getattr(request.scope.get('route'), 'path', '')}"
    return RepeatableRequest(key=idempotency_key, route=route, digest=digest)


OneRequest = Annotated[RepeatableRequest, Depends(repeatable)]


@dataclass(frozen=True)
class Answer:
    """What a POST answers.

    Attributes:
        shown_once: Members of the first answer that are not stored and not shown again, e.g. a new API key.
        location: Address of the thing made, or "".
    """

    body: BaseModel
    status: int = 200
    location: str = ""
    shown_once: dict[str, str] = field(default_factory=dict, repr=False)


async def answered_once(
    resources: Resources,
    principal: Principal,
    request: RepeatableRequest,
    work: Callable[[AsyncSession], Awaitable[Answer]],
) -> Response:
    """Do the work in one transaction with the key, or repeat the answer it got before."""
    key = request.by(principal)
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        stored = await claim(session, key)
        if stored is not None:
            kept: dict[str, Any] = json.loads(stored.body)
            return _response(stored.status, kept["body"], kept["location"], is_repeated=True)
        answer = await work(session)
        body = answer.body.model_dump(mode="json")
        await keep_answer(session, key, status=answer.status, body={"body": body, "location": answer.location})
    return _response(answer.status, {**body, **answer.shown_once}, answer.location, is_repeated=False)


def _response(status: int, body: Any, location: str, *, is_repeated: bool) -> Response:
    headers = {"Location": location} if location else {}
    if is_repeated:
        headers["Idempotency-Replayed"] = "true"
    return JSONResponse(body, status, headers=headers)
