"""The schema, as SQLAlchemy sees it; migrations make it, and a test holds the two together.

Names that repeat (models, checkers, options) are rows of their own, so that a million scores are
small integers; what a page or a pivot reads is apart from the documents that give values back.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Without names of our own, SQLite could never alter a constraint again."""


class Base(DeclarativeBase):
    """The root of all rows."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {str: Text}  # noqa: RUF012 (declarative reads it so)


class RunRow(Base):
    """One start of an audit."""

    __tablename__ = "runs"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(unique=True)
    started_at: Mapped[str]
    command: Mapped[str]
    config: Mapped[str]
    versions: Mapped[str]
    git_revision: Mapped[str]
    device: Mapped[str]
    models: Mapped[str] = mapped_column(server_default="[]")
    checkers: Mapped[str] = mapped_column(server_default="[]")


class ShiftRow(Base):
    """What one worker of a run did for a while; about a run by its id, so that stores merge."""

    __tablename__ = "shifts"
    __table_args__ = (
        CheckConstraint("(plugin = '') = (sentence != '')", name="work_or_sentence"),
        CheckConstraint("pictures >= 0 AND answers >= 0 AND failures >= 0", name="counts"),
        Index(None, "run_id", "id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    run_id: Mapped[str]
    worker: Mapped[str]
    node: Mapped[str]
    device: Mapped[str]
    plugin: Mapped[str]
    at: Mapped[str]
    seconds: Mapped[float]
    busy: Mapped[float]
    pictures: Mapped[int]
    answers: Mapped[int]
    failures: Mapped[int]
    log: Mapped[str]
    sentence: Mapped[str]


class PairRow(Base):
    """A concept pair; the document gives the value back, the columns are for asking."""

    __tablename__ = "pairs"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    a_name: Mapped[str]
    b_name: Mapped[str]
    prompt: Mapped[str]
    document: Mapped[str]


class ModelRow(Base):
    """An image model's id."""

    __tablename__ = "models"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class CheckerRow(Base):
    """A checker's id."""

    __tablename__ = "checkers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class OptionRow(Base):
    """An option of a forced choice; the empty one stands for yes."""

    __tablename__ = "options"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class RenderRow(Base):
    """A picture that was drawn or refused."""

    __tablename__ = "renders"
    __table_args__ = (
        CheckConstraint("(sha256 = '') = (refusal != '')", name="refusal_has_no_picture"),
        CheckConstraint("seconds >= 0", name="seconds_from_zero_up"),
        Index(None, "model_id", "id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    spec_key: Mapped[str] = mapped_column(unique=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    seed: Mapped[int] = mapped_column(BigInteger)
    staged: Mapped[bool]
    sha256: Mapped[str]
    num_bytes: Mapped[int]
    seconds: Mapped[float]
    device: Mapped[str]
    refusal: Mapped[str]


class SpecRow(Base):
    """What decided a picture's pixels; apart from the render, which stays small."""

    __tablename__ = "specs"
    render_id: Mapped[int] = mapped_column(ForeignKey("renders.id"), primary_key=True)
    prompt: Mapped[str]
    num_inference_steps: Mapped[int]
    guidance_scale: Mapped[float]
    scheduler: Mapped[str]
    height: Mapped[int]
    width: Mapped[int]
    profile: Mapped[str]
    document: Mapped[str]


class PairRenderRow(Base):
    """A picture was drawn for a pair; two pairs of one prompt share their pictures."""

    __tablename__ = "pair_renders"
    __table_args__ = (
        PrimaryKeyConstraint("pair_id", "render_id"),
        Index(None, "render_id", "pair_id"),
        {"sqlite_with_rowid": False},
    )
    pair_id: Mapped[int] = mapped_column(ForeignKey("pairs.id"))
    render_id: Mapped[int] = mapped_column(ForeignKey("renders.id"))


class QuestionRow(Base):
    """Something asked of pictures."""

    __tablename__ = "questions"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    text: Mapped[str]
    document: Mapped[str]


class PairQuestionRow(Base):
    """A question that was asked of a pair's picture speaks of this pair."""

    __tablename__ = "pair_questions"
    __table_args__ = (
        PrimaryKeyConstraint("pair_id", "kind", "distance", "question_id"),
        {"sqlite_with_rowid": False},
    )
    pair_id: Mapped[int] = mapped_column(ForeignKey("pairs.id"))
    kind: Mapped[str]
    distance: Mapped[int]
    """In how many suspects question and pair differ: where two pairs share a picture, the nearest
    question is a pair's own."""
    question_id: Mapped[int] = mapped_column(ForeignKey("questions.id"))


class ScoreRow(Base):
    """What one checker said of one picture to one question about one option.

    Clustered by checker and picture, so that the pivot reads it in one go.
    """

    __tablename__ = "scores"
    __table_args__ = (
        PrimaryKeyConstraint("checker_id", "render_id", "question_id", "option_id"),
        CheckConstraint("value BETWEEN 0 AND 1", name="value_in_unit_interval"),
        CheckConstraint("mass BETWEEN 0 AND 1", name="mass_in_unit_interval"),
        CheckConstraint("(value IS NULL) = (reason != '')", name="abstention_has_reason"),
        {"sqlite_with_rowid": False},
    )
    checker_id: Mapped[int] = mapped_column(ForeignKey("checkers.id"))
    render_id: Mapped[int] = mapped_column(ForeignKey("renders.id"))
    question_id: Mapped[int] = mapped_column(ForeignKey("questions.id"))
    option_id: Mapped[int] = mapped_column(ForeignKey("options.id"))
    place: Mapped[int]
    """Among the answers that were given together, 0 for the likeliest: the pivot finds the winner
    of a forced choice without sorting."""
    value: Mapped[float | None]
    mass: Mapped[float]
    reason: Mapped[str]


class BoxRow(Base):
    """Where one checker found what one answer speaks of; apart, since few checkers look in places.

    Edges are fractions of the picture's width and height.
    """

    __tablename__ = "boxes"
    __table_args__ = (
        PrimaryKeyConstraint("checker_id", "render_id", "question_id", "option_id"),
        ForeignKeyConstraint(
            ["checker_id", "render_id", "question_id", "option_id"],
            ["scores.checker_id", "scores.render_id", "scores.question_id", "scores.option_id"],
            name="fk_boxes_answer_scores",
        ),
        CheckConstraint("0 <= x1 AND x1 <= x2 AND x2 <= 1", name="within_the_width"),
        CheckConstraint("0 <= y1 AND y1 <= y2 AND y2 <= 1", name="within_the_height"),
        {"sqlite_with_rowid": False},
    )
    checker_id: Mapped[int]
    render_id: Mapped[int]
    question_id: Mapped[int]
    option_id: Mapped[int]
    x1: Mapped[float]
    y1: Mapped[float]
    x2: Mapped[float]
    y2: Mapped[float]
    words: Mapped[str]


class SearchRow(Base):
    """A candidate of a search for a repair; the document gives the value back."""

    __abstract__ = True
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    pair_id: Mapped[int] = mapped_column(ForeignKey("pairs.id"))
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    checker_id: Mapped[int] = mapped_column(ForeignKey("checkers.id"))
    repairer: Mapped[str]
    document: Mapped[str]


class TrialRow(SearchRow):
    """One that a repairer tried."""

    __tablename__ = "trials"
    __table_args__ = (Index(None, "pair_id", "model_id"),)


class NominationRow(SearchRow):
    """One that a search chose."""

    __tablename__ = "nominations"
    __table_args__ = (Index(None, "pair_id", "model_id"),)


class ExchangeRow(Base):
    """What a text model was asked and said; the document gives the value back."""

    __tablename__ = "exchanges"
    __table_args__ = (Index(None, "request", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    request: Mapped[str]
    model: Mapped[str]
    reason: Mapped[str]
    document: Mapped[str]


class LabelRow(Base):
    """What a person said of one picture to one question."""

    __tablename__ = "labels"
    __table_args__ = (UniqueConstraint("render_id", "question_id", "rater", "at", "answer"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    render_id: Mapped[int] = mapped_column(ForeignKey("renders.id"))
    question_id: Mapped[int] = mapped_column(ForeignKey("questions.id"))
    answer: Mapped[str]
    rater: Mapped[str]
    at: Mapped[str]
    unasked: Mapped[bool] = mapped_column(server_default=text("false"))


class NoteRow(Base):
    """A word that a person left on a picture, a pair or a repair."""

    __tablename__ = "notes"
    __table_args__ = (
        CheckConstraint("about IN ('picture', 'pair', 'repair')", name="about_something"),
        CheckConstraint("kind IN ('comment', 'tag', 'star')", name="known_kind"),
        CheckConstraint(
            "(text = '') = (kind = 'star' OR withdraws != '')", name="words_where_they_belong"
        ),
        Index(None, "about", "subject", "id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    about: Mapped[str]
    subject: Mapped[str]
    kind: Mapped[str]
    text: Mapped[str]
    rater: Mapped[str]
    at: Mapped[str]
    withdraws: Mapped[str]
    """Key of the note that is taken back, or empty; it may come later, from another machine."""


class FailureRow(Base):
    """An item that failed, and how much was known of it then."""

    __tablename__ = "failures"
    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str] = mapped_column(index=True)
    stage: Mapped[str]
    sentence: Mapped[str]
    at: Mapped[str]
    num_scores: Mapped[int]
    """Scores the picture had when it failed: more of them later mean that it was mended."""


class DismissalRow(Base):
    """A failure that somebody has set aside."""

    __tablename__ = "dismissals"
    failure_id: Mapped[int] = mapped_column(ForeignKey("failures.id"), primary_key=True)
