"""What staff entered when they answered a step by hand; it stays in the command's row."""

from __future__ import annotations

from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from domain.errors import NotFoundError, RuleError
from domain.messages import ResolveStep
from store.tables.exchange import Command


async def answered(session: AsyncSession, command_id: str, *, needs: tuple[str, ...]) -> dict[str, str]:
    """Return the answer in a `resolve_step` command.

    Args:
        session: The transaction.
        command_id: Of the command.
        needs: Fields that must not be empty.

    Raises:
        NotFoundError: There is no such command.
        RuleError: A field is missing.
    """
    command = await session.get(Command, UUID(command_id))
    if command is None:
        raise NotFoundError("the command is not on record", code="COMMAND_NOT_FOUND")
    answer = ResolveStep.model_validate(command.payload).answer
    missing = [name for name in needs if not answer.get(name, "").strip()]
    if missing:
        raise RuleError(
            f"the answer lacks {', '.join(missing)}", code="ANSWER_INCOMPLETE",
            action="Answer the step again with every field, or retry or skip it.",
        )  # fmt: skip
    return {name: text.strip() for name, text in answer.items()}
