"""Where a detector found what its answers speak of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ANSWER = ("checker_id", "render_id", "question_id", "option_id")


def upgrade() -> None:
    op.create_table(
        "boxes",
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ANSWER),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("x1", "y1", "x2", "y2")),
        sa.Column("words", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "0 <= x1 AND x1 <= x2 AND x2 <= 1", name=op.f("ck_boxes_within_the_width")
        ),
        sa.CheckConstraint(
            "0 <= y1 AND y1 <= y2 AND y2 <= 1", name=op.f("ck_boxes_within_the_height")
        ),
        sa.ForeignKeyConstraint(
            ANSWER, [f"scores.{name}" for name in ANSWER], name=op.f("fk_boxes_answer_scores")
        ),
        sa.PrimaryKeyConstraint(*ANSWER, name=op.f("pk_boxes")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("boxes")
