"""Links to devices say what is wrong with them.

Only adds.

Revision: 0005
Follows: 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table device_links add column repeated integer not null default 0")
    op.execute("alter table device_links add column trouble text not null default ''")


def downgrade() -> None:
    op.execute("alter table device_links drop column repeated, drop column trouble")
