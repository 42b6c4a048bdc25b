"""Repairs: what was tried, and what was chosen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("trials", "nominations"):
        op.create_table(
            table,
            sa.Column("id", sa.Integer(), nullable=False),
            sa.Column("key", sa.Text(), nullable=False),
            sa.Column("pair_id", sa.Integer(), nullable=False),
            sa.Column("model_id", sa.Integer(), nullable=False),
            sa.Column("checker_id", sa.Integer(), nullable=False),
            sa.Column("repairer", sa.Text(), nullable=False),
            sa.Column("document", sa.Text(), nullable=False),
            sa.ForeignKeyConstraint(
                ["checker_id"], ["checkers.id"], name=op.f(f"fk_{table}_checker_id_checkers")
            ),
            sa.ForeignKeyConstraint(
                ["model_id"], ["models.id"], name=op.f(f"fk_{table}_model_id_models")
            ),
            sa.ForeignKeyConstraint(
                ["pair_id"], ["pairs.id"], name=op.f(f"fk_{table}_pair_id_pairs")
            ),
            sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
            sa.UniqueConstraint("key", name=op.f(f"uq_{table}_key")),
        )
        op.create_index(
            op.f(f"ix_{table}_pair_id_model_id"), table, ["pair_id", "model_id"], unique=False
        )


def downgrade() -> None:
    for table in ("nominations", "trials"):
        op.drop_index(op.f(f"ix_{table}_pair_id_model_id"), table_name=table)
        op.drop_table(table)
