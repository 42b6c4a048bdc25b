"""Words that people leave on pictures, pairs and repairs, and labels that nobody asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TEXTS = ("key", "about", "subject", "kind", "text", "rater", "at", "withdraws")


def upgrade() -> None:
    op.create_table(
        "notes",
        sa.Column("id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in TEXTS),
        sa.CheckConstraint(
            "about IN ('picture', 'pair', 'repair')", name=op.f("ck_notes_about_something")
        ),
        sa.CheckConstraint("kind IN ('comment', 'tag', 'star')", name=op.f("ck_notes_known_kind")),
        sa.CheckConstraint(
            "(text = '') = (kind = 'star' OR withdraws != '')",
            name=op.f("ck_notes_words_where_they_belong"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notes")),
        sa.UniqueConstraint("key", name=op.f("uq_notes_key")),
    )
    op.create_index(op.f("ix_notes_about_subject_id"), "notes", ["about", "subject", "id"])
    op.add_column(
        "labels",
        sa.Column("unasked", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("labels", "unasked")
    op.drop_table("notes")
