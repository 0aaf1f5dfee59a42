"""What is open on a tube for one device, in one indexed statement, for the desk that answers devices.

A test is open for a device while it is ordered, or resulted by somebody else; verified, it is done. A test that is to
be measured again is back to "ordered". Where several of the device's codes measure one analyte (two methods of one
test, or two tests with one LOINC), only the first in the order of the tests and of the device's table is given: a
device that runs both spends reagent twice and sends two answers to one question.

The statements run on connections of `asyncpg` itself, one round trip each: the sample is under the probe while the
device waits.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import asyncpg

from domain.device_orders import DeviceWork, WorkAction, WorkPriority
from domain.enums import Priority, SampleState

MAX_BARCODE_CHARS: Final = 64
MAX_BARCODES: Final = 200
"""Of one query; a rack has fewer."""

OPEN_CODES: Final = """
select coalesce(array_agg(entry.device_code order by entry.entered, entry.device_code), '{}') as codes from (
    select one.device_code, min(one.entered) as entered from (
        select l.id, l.test_id, l.state, m.device_code, m.created_at as entered,
            first_value(m.device_code) over (
                partition by coalesce(nullif(t.loinc, ''), cast(t.id as text))
                order by l.position, m.created_at, m.device_code
            ) as method
        from order_lines l
        join tests t on t.id = l.test_id
        join device_mappings m on m.test_id = l.test_id and m.analyzer_id = a.id and m.state = 'confirmed'
        where l.sample_id = s.id and l.state <> 'cancelled'
    ) one
    where one.device_code = one.method
    and (asked.tests is null or one.test_id = any(asked.tests))
    and (one.state = 'ordered' or (one.state = 'resulted' and not asked.skips_resulted and not exists (
        select from results r
        where r.order_line_id = one.id and r.state = 'current' and r.analyzer_id = a.id
    )))
    group by one.device_code
) entry
"""
"""The open codes of sample `s` for analyzer `a`; `asked` says which tests (null: all) and what is skipped."""

_FACTS: Final = """
select s.accession_no, s.specimen, s.collected_at, o.order_no, o.priority, p.patient_no, p.name, p.birth_date, p.sex,
    work.codes
from (select cast($2 as boolean) as skips_resulted, cast(null as uuid[]) as tests) asked
"""


def with_open_codes(statement: str) -> str:
    """Return a statement with `{open_codes}` replaced by `OPEN_CODES`, `{facts}` by the columns of a tube's work."""
    return statement.replace("{facts}", _FACTS).replace("{open_codes}", OPEN_CODES)


_ASKED: Final = with_open_codes("""{facts}
join analyzers a on a.id = $1 and a.is_active
join samples s on s.branch_id = a.branch_id and s.accession_no = any($4)
join orders o on o.id = s.order_id
join patients p on p.id = o.patient_id
cross join lateral ({open_codes}) work
where s.state = any($3) and o.closed_at is null and o.cancel_reason = '' and cardinality(work.codes) > 0
""")
_ALL: Final = with_open_codes("""{facts}
cross join (
    select s.*, coalesce(s.received_at, s.collected_at) as since
    from orders o join samples s on s.order_id = o.id
    where o.branch_id = (select branch_id from analyzers where id = $1 and is_active) and s.branch_id = o.branch_id
    and o.stage in ('registered', 'collected', 'received', 'resulted') and o.closed_at is null
    and o.cancel_reason = '' and s.state = any($3)
    order by since, s.id
) s
join analyzers a on a.id = $1
join orders o on o.id = s.order_id
join patients p on p.id = o.patient_id
cross join lateral ({open_codes}) work
where cardinality(work.codes) > 0
order by s.since, s.id limit $4
""")
_ONE: Final = with_open_codes("""{facts}
join analyzers a on a.id = $1
join samples s on s.id = $4
join orders o on o.id = s.order_id
join patients p on p.id = o.patient_id
left join lateral ({open_codes}) work
    on a.is_active and s.state = any($3) and o.closed_at is null and o.cancel_reason = ''
""")


@dataclass(frozen=True)
class WorkPolicy:
    """Which work a device is given.

    Attributes:
        states: States of a tube in which it is worked on.
        skips_resulted: Leave out tests that have a result of whatever source, to save reagent.
    """

    states: Collection[SampleState] = field(default=(SampleState.COLLECTED, SampleState.RECEIVED))
    skips_resulted: bool = False

    @classmethod
    def of(cls, *, needs_receipt: bool, skips_resulted: bool) -> WorkPolicy:
        """Return the policy of a lab: whether a tube must have been received, and what is left out."""
        states = (SampleState.RECEIVED,) if needs_receipt else (SampleState.COLLECTED, SampleState.RECEIVED)
        return cls(states, skips_resulted)

    def values(self) -> tuple[bool, list[str]]:
        """Return what the statements take."""
        return self.skips_resulted, [state.value for state in self.states]


async def work_on(
    connection: asyncpg.Connection, analyzer_id: UUID, barcodes: Sequence[str], policy: WorkPolicy
) -> list[DeviceWork]:
    """Return the work on the tubes with these barcodes, in their order; one without work has no entry.

    Barcodes that cannot be ours (too long, with control characters) are not looked up; of too many, the first count.
    """
    asked = [name for name in dict.fromkeys(barcodes) if name.isprintable() and 0 < len(name) <= MAX_BARCODE_CHARS]
    asked = asked[:MAX_BARCODES]
    if not asked:
        return []
    rows = await connection.fetch(_ASKED, analyzer_id, *policy.values(), asked)
    found = {row["accession_no"]: _work_of(row) for row in rows}
    return [found[name] for name in asked if name in found]


async def all_work(
    connection: asyncpg.Connection, analyzer_id: UUID, policy: WorkPolicy, limit: int
) -> list[DeviceWork]:
    """Return the work on every tube that waits for the device, the tube that waits longest first."""
    rows = await connection.fetch(_ALL, analyzer_id, *policy.values(), limit)
    return [_work_of(row) for row in rows]


async def work_now(
    connection: asyncpg.Connection, analyzer_id: UUID, sample_id: UUID, policy: WorkPolicy
) -> DeviceWork:
    """Return a tube with what is open on it now; without codes where nothing is, e.g. because it was rejected."""
    return _work_of(await connection.fetchrow(_ONE, analyzer_id, *policy.values(), sample_id))


def _work_of(row: asyncpg.Record) -> DeviceWork:
    return DeviceWork(
        specimen_id=row["accession_no"],
        codes=tuple(row["codes"] or ()),
        action=WorkAction.NEW,
        priority=WorkPriority.STAT if row["priority"] == Priority.STAT.value else WorkPriority.ROUTINE,
        specimen=row["specimen"],
        collected_at=row["collected_at"],
        patient_no=row["patient_no"],
        patient_name=row["name"],
        birth_date=row["birth_date"],
        sex=row["sex"],
        order_no=row["order_no"],
    )
