"""What each worker of a run did, minute by minute."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BEFORE = ("key", "run_id", "worker", "node", "device", "plugin", "at")


def upgrade() -> None:
    op.create_table(
        "shifts",
        sa.Column("id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in BEFORE),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("seconds", "busy")),
        *(
            sa.Column(name, sa.Integer(), nullable=False)
            for name in ("pictures", "answers", "failures")
        ),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("log", "sentence")),
        sa.CheckConstraint(
            "(plugin = '') = (sentence != '')", name=op.f("ck_shifts_work_or_sentence")
        ),
        sa.CheckConstraint(
            "pictures >= 0 AND answers >= 0 AND failures >= 0", name=op.f("ck_shifts_counts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shifts")),
        sa.UniqueConstraint("key", name=op.f("uq_shifts_key")),
    )
    op.create_index(op.f("ix_shifts_run_id_id"), "shifts", ["run_id", "id"])


def downgrade() -> None:
    op.drop_table("shifts")
