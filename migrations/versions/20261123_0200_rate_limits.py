"""Rate limits shared by every API process, and the indexes of the lists that staff page through.

Revision: 0002
Follows: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UP = """
-- a crash forgives: these rows are not worth the log
create unlogged table rate_limits (
    key text not null,
    tat timestamptz not null,
    constraint pk_rate_limits primary key (key)
)
;
grant select, insert, update, delete on rate_limits to labsetu_app
;
create index ix_orders_branch_newest on orders (branch_id, id desc)
;
create index ix_patients_name on patients (lower(name) text_pattern_ops)
"""


def upgrade() -> None:
    for statement in UP.split("\n;\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop index ix_patients_name")
    op.execute("drop index ix_orders_branch_newest")
    op.execute("drop table rate_limits")
