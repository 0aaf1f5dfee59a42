"""Control and calibrator material: its values are kept apart and never become a patient's result."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from activities.instruments.source import Source
from domain.errors import RuleError
from domain.ids import new_id
from domain.observations import ObservationStatus, SpecimenReport
from domain.results import ResultKind
from rules.result_values import MAX_RESULT_CHARS, parse_result
from store.controls import add_controls
from store.tables.devices import ControlResult

_MAX_NAME_CHARS = 100


async def keep_controls(session: AsyncSession, source: Source, report: SpecimenReport) -> None:
    """Keep the values of one control, each once however often it is sent."""
    rows = [
        ControlResult(
            id=new_id(),
            analyzer_id=source.analyzer.id,
            message_id=source.row.id,
            control_name=(report.control_name or report.specimen_id)[:_MAX_NAME_CHARS],
            specimen_id=report.specimen_id[:_MAX_NAME_CHARS],
            device_code=observation.code[:_MAX_NAME_CHARS],
            test_id=_only_test(source, observation.code),
            value_text=observation.value[:MAX_RESULT_CHARS],
            number=_number(observation.value, decimal_comma=source.profile.decimal_comma),
            unit=observation.unit[:_MAX_NAME_CHARS],
            device_flags=list(observation.abnormal_flags),
            observed_at=observation.observed_at or source.message.sent_at or source.row.received_at,
            dedupe_key="control:" + source.key_of(observation, f"{report.specimen_id}\x1f{report.control_name}"),
        )
        for observation in report.observations
        if observation.status is not ObservationStatus.PENDING
    ]
    await add_controls(session, rows)


def _only_test(source: Source, code: str) -> UUID | None:
    mappings = source.codes.get(code, [])
    return mappings[0].test_id if len(mappings) == 1 else None


def _number(text: str, *, decimal_comma: bool) -> Decimal | None:
    try:
        return parse_result(text, ResultKind.NUMERIC, decimal_comma=decimal_comma).number
    except RuleError:
        return None
