"""Who acts: a member of staff, or a workflow on behalf of nobody."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Actor:
    """A member of staff, as audit and timeline name them."""

    user_id: UUID
    username: str


def system(workflow_type: str) -> str:
    """Return the name under which a workflow's own changes are audited."""
    return f"system:{workflow_type}"
