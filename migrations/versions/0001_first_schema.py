"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "checkers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkers")),
        sa.UniqueConstraint("name", name=op.f("uq_checkers_name")),
    )
    op.create_table(
        "failures",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("num_scores", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failures")),
    )
    op.create_index(op.f("ix_failures_item"), "failures", ["item"], unique=False)
    op.create_table(
        "models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("name", name=op.f("uq_models_name")),
    )
    op.create_table(
        "options",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_options")),
        sa.UniqueConstraint("name", name=op.f("uq_options_name")),
    )
    op.create_table(
        "pairs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("a_name", sa.Text(), nullable=False),
        sa.Column("b_name", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pairs")),
        sa.UniqueConstraint("key", name=op.f("uq_pairs_key")),
    )
    op.create_table(
        "questions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_questions")),
        sa.UniqueConstraint("key", name=op.f("uq_questions_key")),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("versions", sa.Text(), nullable=False),
        sa.Column("git_revision", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sa.UniqueConstraint("run_id", name=op.f("uq_runs_run_id")),
    )
    op.create_table(
        "dismissals",
        sa.Column("failure_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["failure_id"], ["failures.id"], name=op.f("fk_dismissals_failure_id_failures")
        ),
        sa.PrimaryKeyConstraint("failure_id", name=op.f("pk_dismissals")),
    )
    op.create_table(
        "pair_questions",
        sa.Column("pair_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("distance", sa.Integer(), nullable=False),
        sa.Column("question_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["pair_id"], ["pairs.id"], name=op.f("fk_pair_questions_pair_id_pairs")
        ),
        sa.ForeignKeyConstraint(
            ["question_id"], ["questions.id"], name=op.f("fk_pair_questions_question_id_questions")
        ),
        sa.PrimaryKeyConstraint(
            "pair_id", "kind", "distance", "question_id", name=op.f("pk_pair_questions")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "renders",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("spec_key", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("staged", sa.Boolean(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("num_bytes", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("refusal", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(sha256 = '') = (refusal != '')", name=op.f("ck_renders_refusal_has_no_picture")
        ),
        sa.CheckConstraint("seconds >= 0", name=op.f("ck_renders_seconds_from_zero_up")),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_renders_model_id_models")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_renders")),
        sa.UniqueConstraint("spec_key", name=op.f("uq_renders_spec_key")),
    )
    op.create_index(op.f("ix_renders_model_id_id"), "renders", ["model_id", "id"], unique=False)
    op.create_table(
        "labels",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("render_id", sa.Integer(), nullable=False),
        sa.Column("question_id", sa.Integer(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("rater", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["question_id"], ["questions.id"], name=op.f("fk_labels_question_id_questions")
        ),
        sa.ForeignKeyConstraint(
            ["render_id"], ["renders.id"], name=op.f("fk_labels_render_id_renders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_labels")),
        sa.UniqueConstraint(
            "render_id",
            "question_id",
            "rater",
            "at",
            "answer",
            name=op.f("uq_labels_render_id_question_id_rater_at_answer"),
        ),
    )
    op.create_table(
        "pair_renders",
        sa.Column("pair_id", sa.Integer(), nullable=False),
        sa.Column("render_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["pair_id"], ["pairs.id"], name=op.f("fk_pair_renders_pair_id_pairs")
        ),
        sa.ForeignKeyConstraint(
            ["render_id"], ["renders.id"], name=op.f("fk_pair_renders_render_id_renders")
        ),
        sa.PrimaryKeyConstraint("pair_id", "render_id", name=op.f("pk_pair_renders")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_pair_renders_render_id_pair_id"),
        "pair_renders",
        ["render_id", "pair_id"],
        unique=False,
    )
    op.create_table(
        "scores",
        sa.Column("checker_id", sa.Integer(), nullable=False),
        sa.Column("render_id", sa.Integer(), nullable=False),
        sa.Column("question_id", sa.Integer(), nullable=False),
        sa.Column("option_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("mass", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(value IS NULL) = (reason != '')", name=op.f("ck_scores_abstention_has_reason")
        ),
        sa.CheckConstraint("mass BETWEEN 0 AND 1", name=op.f("ck_scores_mass_in_unit_interval")),
        sa.CheckConstraint("value BETWEEN 0 AND 1", name=op.f("ck_scores_value_in_unit_interval")),
        sa.ForeignKeyConstraint(
            ["checker_id"], ["checkers.id"], name=op.f("fk_scores_checker_id_checkers")
        ),
        sa.ForeignKeyConstraint(
            ["option_id"], ["options.id"], name=op.f("fk_scores_option_id_options")
        ),
        sa.ForeignKeyConstraint(
            ["question_id"], ["questions.id"], name=op.f("fk_scores_question_id_questions")
        ),
        sa.ForeignKeyConstraint(
            ["render_id"], ["renders.id"], name=op.f("fk_scores_render_id_renders")
        ),
        sa.PrimaryKeyConstraint(
            "checker_id", "render_id", "question_id", "option_id", name=op.f("pk_scores")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "specs",
        sa.Column("render_id", sa.Integer(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("num_inference_steps", sa.Integer(), nullable=False),
        sa.Column("guidance_scale", sa.Double(), nullable=False),
        sa.Column("scheduler", sa.Text(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["render_id"], ["renders.id"], name=op.f("fk_specs_render_id_renders")
        ),
        sa.PrimaryKeyConstraint("render_id", name=op.f("pk_specs")),
    )


def downgrade() -> None:
    op.drop_table("specs")
    op.drop_table("scores")
    op.drop_index(op.f("ix_pair_renders_render_id_pair_id"), table_name="pair_renders")
    op.drop_table("pair_renders")
    op.drop_table("labels")
    op.drop_index(op.f("ix_renders_model_id_id"), table_name="renders")
    op.drop_table("renders")
    op.drop_table("pair_questions")
    op.drop_table("dismissals")
    op.drop_table("runs")
    op.drop_table("questions")
    op.drop_table("pairs")
    op.drop_table("options")
    op.drop_table("models")
    op.drop_index(op.f("ix_failures_item"), table_name="failures")
    op.drop_table("failures")
    op.drop_table("checkers")
