"""ETags on reads: a strong validator over the bytes of the answer, and 304 when the client has them already.

`If-Match` on changes: refused where somebody else was faster. Source: RFC 9110, 8.8.3, 13.1.1 and 13.1.2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Header, Request, Response
from fastapi.routing import APIRoute

from api.errors import PreconditionFailedError

IfMatch = Annotated[
    str, Header(description="The ETag of what is to be changed; refused where it is another now. Empty: not compared.")
]

HTTP_OK = 200
HTTP_NOT_MODIFIED = 304


class TaggedRoute(APIRoute):
    """A route whose successful GET answers carry an ETag."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the route's handler."""
        handler = super().get_route_handler()

        async def tagged(request: Request) -> Response:
            response = await handler(request)
            if request.method != "GET" or response.status_code != HTTP_OK or not hasattr(response, "body"):
                return response
            tag = response.headers.get("etag") or etag_of(bytes(response.body))
            response.headers["ETag"] = tag
            if is_known(request, tag):
                kept = {name: response.headers[name] for name in ("etag", "cache-control") if name in response.headers}
                return Response(status_code=HTTP_NOT_MODIFIED, headers=kept)
            return response

        return tagged


def etag_of(content: bytes) -> str:
    """Return the strong ETag of some bytes."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def is_known(request: Request, tag: str) -> bool:
    """Tell whether the client says that it holds this version."""
    given = request.headers.get("if-none-match", "")
    return given.strip() == "*" or tag in {part.strip().removeprefix("W/") for part in given.split(",")}


def require_match(if_match: str, tag: str) -> None:
    """Compare a change's `If-Match` with the present ETag; an absent one matches everything.

    Raises:
        PreconditionFailedError: Somebody else has changed it meanwhile.
    """
    given = if_match.strip()
    if given and given != "*" and tag not in {part.strip().removeprefix("W/") for part in given.split(",")}:
        raise PreconditionFailedError("somebody has changed this meanwhile")
