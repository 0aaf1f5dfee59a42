"""Cursor pagination: a page continues below the last row it showed, so rows that arrive meanwhile disturb nothing.

A cursor is opaque to clients: base64url of the last row's key. Keys are time-sorted row ids, newest first.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from api.errors import BadRequestError

MAX_PAGE = 200
DEFAULT_PAGE = 50

Item = TypeVar("Item", bound=BaseModel)
RowT = TypeVar("RowT")

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Rows per page.")]
Cursor = Annotated[str, Query(max_length=200, description="`next_cursor` of the page before; empty for the first.")]


class Page(BaseModel, Generic[Item]):
    """One page of a list.

    Attributes:
        next_cursor: Give it back for the next page; None on the last one.
    """

    items: list[Item]
    next_cursor: str | None = None


def cursor_of(key: str) -> str:
    """Return the cursor for a row's key."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def key_of(cursor: str) -> str:
    """Return the key in a cursor, "" for the first page.

    Raises:
        BadRequestError: Not a cursor of ours.
    """
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except ValueError as error:  # not base64, or not ASCII
        raise _bad_cursor() from error


def row_id_of(cursor: str) -> UUID | None:
    """Return the row id in a cursor, None for the first page.

    Raises:
        BadRequestError: Not a cursor of ours.
    """
    key = key_of(cursor)
    try:
        return UUID(key) if key else None
    except ValueError as error:
        raise _bad_cursor() from error


def number_of(cursor: str) -> int:
    """Return the number in a cursor, 0 for the first page.

    Raises:
        BadRequestError: Not a cursor of ours.
    """
    key = key_of(cursor)
    if key and not (key.isascii() and key.isdigit() and len(key) < MAX_PAGE):
        raise _bad_cursor()
    return int(key or "0")


def page_of(
    rows: Sequence[RowT], limit: int, *, show: Callable[[RowT], Item], key: Callable[[RowT], str]
) -> Page[Item]:
    """Return a page of rows that were asked for with one more than `limit`."""
    shown = rows[:limit]
    more = cursor_of(key(shown[-1])) if len(rows) > limit else None
    return Page(items=[show(row) for row in shown], next_cursor=more)


def _bad_cursor() -> BadRequestError:
    return BadRequestError(
        "the cursor is not one of this list", code="CURSOR_INVALID", action="Start again without a cursor."
    )
