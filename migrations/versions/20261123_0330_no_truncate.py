"""History cannot be truncated either: the row triggers of the first schema do not see a TRUNCATE.

Revision: 0003
Follows: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = ("order_events", "ledger_entries", "verifications")


def upgrade() -> None:
    for table in TABLES:
        op.execute(
            f"create trigger append_only_truncate before truncate on {table}"
            " for each statement execute function refuse_change()"
        )


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"drop trigger append_only_truncate on {table}")
