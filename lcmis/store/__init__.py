"""The one door to the database: facts go in once, and come out as values."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy import Connection, Select, and_, func, literal, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute

from lcmis.errors import StoreError, UnknownNameError
from lcmis.store import documents, schema
from lcmis.store.connect import postgresql_engine, sentences, sqlite_engine, url_of
from lcmis.store.images import PictureFolder, pixel_hash
from lcmis.store.tables import (
    Base,
    CheckerRow,
    DismissalRow,
    FailureRow,
    LabelRow,
    ModelRow,
    OptionRow,
    PairQuestionRow,
    PairRenderRow,
    PairRow,
    QuestionRow,
    RenderRow,
    RunRow,
    ScoreRow,
    SpecRow,
)
from lcmis.types import (
    NONE_OF_THESE,
    Answer,
    ConceptPair,
    Failure,
    Label,
    Question,
    QuestionKind,
    Render,
    RenderSpec,
    Run,
    Score,
    Side,
)

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Drawn", "Evidence", "Listed", "Store", "StoreCounts", "pixel_hash"]

_T = TypeVar("_T")
_CHUNK = 900
"""Names asked for at once: every SQLite takes 999."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture on its way into the store, for the pair that asked for it."""

    pair_key: str
    spec: RenderSpec
    render: Render
    image: Image | None
    """None for a refusal."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A picture on a page of the list; the next page begins after its position."""

    position: int
    pair_key: str
    """The pair asked for; without one, the first that drew it."""
    spec: RenderSpec
    render: Render


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one checker said of one picture of a pair: all that a verdict needs.

    Values lie in [0, 1]; None is an abstention or, where not ``scored``, a question still open.
    """

    pair_key: str
    model: str
    spec_key: str
    seed: int
    staged: bool
    """Whether it was drawn in more than one stage."""
    a: float | None
    b: float | None
    relation: float | None
    intruder_a: str | None
    """The likeliest of what may stand in the place of A, A itself and none of these included."""
    intruder_b: str | None
    intruder_a_value: float | None
    intruder_b_value: float | None
    scored: bool
    """Whether this checker has said anything of this picture; abstentions count."""
    refused: bool


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """How much is stored."""

    pairs: int
    renders: int
    scores: int
    failures: int
    """Those not mended since."""
    picture_bytes: int


class Store:
    """Runs, pairs, pictures, scores, labels and failures of an audit, each kept once and for ever.

    A path names a folder: facts in ``facts.db``, pictures in ``pictures/``. A URL names a database
    and needs the folder of its pictures. Any number of readers, in any thread; one writer at a
    time, the others wait.

    Args:
        path_or_url: the audit's folder, or a database URL (anything with ``://``).
        pictures: where the pictures lie; beside the facts unless said.
        read_only: refuse to change anything; a missing store is not made.
        create: make what is missing.
        wait_seconds: how long to wait for another writer.

    Raises:
        StoreError: there is no store and none is to be made; it is older or newer than this lcmis,
            another program's, damaged, locked, or out of reach.
    """

    def __init__(
        self,
        path_or_url: str | Path,
        *,
        pictures: Path | None = None,
        read_only: bool = False,
        create: bool = False,
        wait_seconds: float = 30.0,
    ) -> None:
        self.read_only = read_only
        file = None
        if "://" in str(path_or_url):
            url = url_of(str(path_or_url))
            if pictures is None:
                raise StoreError(f"{url!r} needs a folder for its pictures: name one as well")
            if url.get_backend_name() == "sqlite":
                file = Path(url.database or "")
        else:
            file = Path(path_or_url) / "facts.db"
            pictures = pictures or Path(path_or_url) / "pictures"
        self._pictures = PictureFolder(Path(pictures))
        self.place = str(file) if file else url.render_as_string(hide_password=True)
        if file:
            _prepare(file, create=create and not read_only)
            self._engine = sqlite_engine(file, read_only=True, wait_seconds=wait_seconds)
        else:
            self._engine = postgresql_engine(url, read_only=read_only)
        with sentences(self.place):
            # An SQLite file is first looked at without changing it: it may be another program's.
            revision = schema.current(self._engine) if not file or file.exists() else None
            self._refuse(revision, create=create and not read_only)
            if file and not read_only:
                self._engine.dispose()
                self._engine = sqlite_engine(file, read_only=False, wait_seconds=wait_seconds)
            if revision is None:
                schema.upgrade(self._engine)

    def _refuse(self, revision: str | None, *, create: bool) -> None:
        newest = schema.head()
        schema.refuse_newer(self._engine, revision, newest)
        if revision is None and not create:
            raise StoreError(f"there is no audit at {self.place}: run `lcmis audit` first")
        if revision is not None and revision < newest:
            raise StoreError(
                f"{self.place} was made by an older lcmis (schema {revision}, now {newest}): "
                "run `lcmis db upgrade`"
            )

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with sentences(self.place), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        if self.read_only:
            raise StoreError(f"{self.place} was opened for reading: open it again to write")
        with sentences(self.place), self._engine.connect() as bare:
            connection = bare.execution_options(writes=True)
            with connection.begin():
                yield connection

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────

    def add_run(self, run: Run) -> None:
        """Remember one start of an audit."""
        row = dataclasses.asdict(run)
        for name, text in row.items():
            documents.refuse_broken(text, f"run.{name}")
        with self._writing() as connection:
            _insert(connection, RunRow, [row])

    def runs(self) -> list[Run]:
        """Every start, oldest first."""
        names = [field.name for field in dataclasses.fields(Run)]
        with self._reading() as connection:
            rows = connection.execute(
                select(*(getattr(RunRow, name) for name in names)).order_by(RunRow.id)
            )
            return [Run(*row) for row in rows]

    # ── pairs ────────────────────────────────────────────────────────────────────────────────────

    def add_pairs(self, pairs: Iterable[ConceptPair]) -> None:
        """Keep concept pairs; one that is there stays as it is, its source included."""
        rows = []
        for pair in pairs:
            document = documents.document(pair)
            rows.append(
                {
                    "key": pair.key,
                    "a_name": pair.a.name,
                    "b_name": pair.b.name,
                    "prompt": pair.prompt,
                    "document": document,
                }
            )
        with self._writing() as connection:
            _insert(connection, PairRow, rows)

    def pairs(self) -> list[ConceptPair]:
        """Every pair, in the order of arrival."""
        with self._reading() as connection:
            texts = connection.scalars(select(PairRow.document).order_by(PairRow.id))
            return [documents.pair(text) for text in texts]

    def pair(self, key_prefix: str) -> ConceptPair:
        """The pair of this key, of a key that begins so, or of exactly this prompt.

        Raises:
            UnknownNameError: none, or more than one.
        """
        with self._reading() as connection:
            pair_id = _pair_id(connection, key_prefix)
            return documents.pair(
                connection.execute(
                    select(PairRow.document).where(PairRow.id == pair_id)
                ).scalar_one()
            )

    # ── pictures ─────────────────────────────────────────────────────────────────────────────────

    def missing(self, specs: Sequence[RenderSpec]) -> list[RenderSpec]:
        """Those that have no render yet, in order."""
        keys = [spec.key for spec in specs]
        with self._reading() as connection:
            known = _ids(connection, RenderRow.spec_key, RenderRow.id, keys)
        return [spec for spec, key in zip(specs, keys, strict=True) if key not in known]

    def add_renders(self, drawn: Sequence[Drawn]) -> None:
        """Keep pictures and what they show of: files first, then all rows in one transaction.

        A picture that is there stays as it is, and is linked to the pair that asked for it now.

        Raises:
            UnknownNameError: a pair is not in the store.
            StoreError: no room or no permission to write.
            ValueError: a render does not belong to its spec or its image.
        """
        new: dict[str, Drawn] = {}
        for item in drawn:
            if item.spec.key != item.render.spec_key:
                raise ValueError(f"the render of {item.render.spec_key} came with another spec")
            new.setdefault(item.render.spec_key, item)
        with self._reading() as connection:
            for key in _ids(connection, RenderRow.spec_key, RenderRow.id, list(new)):
                del new[key]
        sizes = self._pictures.write(
            {item.render.sha256: _image_of(item) for item in new.values() if item.render.sha256}
        )
        specs = {key: documents.document(item.spec) for key, item in new.items()}
        with self._writing() as connection:
            models = _intern(connection, ModelRow, (item.spec.model for item in new.values()))
            _insert(
                connection,
                RenderRow,
                [
                    {
                        "spec_key": key,
                        "model_id": models[item.spec.model],
                        "seed": item.spec.seed,
                        "staged": len(item.spec.stages) > 1,
                        "sha256": item.render.sha256,
                        "num_bytes": sizes.get(item.render.sha256, 0),
                        "seconds": _finite(item.render.seconds),
                        "device": documents.refuse_broken(item.render.device, "render.device"),
                        "refusal": documents.refuse_broken(item.render.refusal, "render.refusal"),
                    }
                    for key, item in new.items()
                ],
            )
            renders = _ids(connection, RenderRow.spec_key, RenderRow.id, list(new))
            _insert(
                connection,
                SpecRow,
                [
                    {
                        "render_id": renders[key],
                        "prompt": item.spec.prompt,
                        "num_inference_steps": item.spec.num_inference_steps,
                        "guidance_scale": item.spec.guidance_scale,
                        "scheduler": item.spec.scheduler,
                        "height": item.spec.height,
                        "width": item.spec.width,
                        "profile": item.spec.profile,
                        "document": specs[key],
                    }
                    for key, item in new.items()
                ],
            )
            wanted: dict[str, list[str]] = {}
            for item in drawn:
                wanted.setdefault(item.pair_key, []).append(item.render.spec_key)
            for pair_key, spec_keys in wanted.items():
                _link(connection, pair_key, spec_keys)

    def link(self, pair_key: str, spec_keys: Sequence[str]) -> None:
        """Say that pictures which are there, drawn for another pair, are this pair's too.

        Raises:
            UnknownNameError: the pair or a picture is not in the store.
        """
        with self._writing() as connection:
            _link(connection, pair_key, spec_keys)

    def render(self, key_prefix: str) -> tuple[RenderSpec, Render]:
        """The picture of this spec key, or of one that begins so.

        Raises:
            UnknownNameError: none, or more than one.
        """
        with self._reading() as connection:
            render_id = _by_prefix(
                connection, RenderRow.spec_key, RenderRow.id, key_prefix, "picture"
            )
            row = connection.execute(_RENDERS.where(RenderRow.id == render_id)).one()
            return documents.spec(row.document), _render(row)

    def renders(
        self, *, pair: str | None = None, model: str | None = None, after: int = 0, limit: int = 60
    ) -> list[Listed]:
        """One page of pictures in the order of arrival, from the one after a position.

        Raises:
            UnknownNameError: the pair is not in the store.
        """
        with self._reading() as connection:
            statement = _RENDERS.order_by(RenderRow.id).limit(limit)
            if pair is None:
                first = (
                    select(PairRow.key)
                    .join(PairRenderRow, PairRenderRow.pair_id == PairRow.id)
                    .where(PairRenderRow.render_id == RenderRow.id)
                    .order_by(PairRenderRow.pair_id)
                    .limit(1)
                )
                statement = statement.add_columns(
                    func.coalesce(first.scalar_subquery(), "").label("pair_key")
                ).where(RenderRow.id > after)
            else:
                pair_id = _pair_id(connection, pair)
                statement = (
                    statement.add_columns(PairRow.key.label("pair_key"))
                    .join(PairRenderRow, PairRenderRow.render_id == RenderRow.id)
                    .join(PairRow, PairRow.id == PairRenderRow.pair_id)
                    .where(PairRenderRow.pair_id == pair_id, PairRenderRow.render_id > after)
                )
            if model is not None:
                model_id = connection.scalar(select(ModelRow.id).where(ModelRow.name == model))
                if model_id is None:
                    return []
                statement = statement.where(RenderRow.model_id == model_id)
            return [
                Listed(row.id, row.pair_key, documents.spec(row.document), _render(row))
                for row in connection.execute(statement)
            ]

    def image(self, sha256: str) -> Image:
        """The picture of this hash, RGB, its pixels verified.

        Raises:
            StoreError: its file is missing, cannot be read, or has changed.
        """
        return self._pictures.read(sha256)

    def image_path(self, sha256: str) -> Path:
        """Where the picture of this hash lies, a WebP file."""
        return self._pictures.path(sha256)

    # ── scores ───────────────────────────────────────────────────────────────────────────────────

    def unscored(
        self, checker_id: str, asked: Sequence[tuple[str, Question]]
    ) -> list[tuple[str, Question]]:
        """Those (spec key, question) that this checker has said nothing to yet, in order."""
        names: dict[Question, str] = {}
        for _, question in asked:
            if question not in names:
                names[question] = question.key
        with self._reading() as connection:
            checker = connection.scalar(select(CheckerRow.id).where(CheckerRow.name == checker_id))
            if checker is None:
                return list(asked)
            renders = _ids(
                connection,
                RenderRow.spec_key,
                RenderRow.id,
                list(dict.fromkeys(spec_key for spec_key, _ in asked)),
            )
            questions = _ids(connection, QuestionRow.key, QuestionRow.id, list(set(names.values())))
            said: set[tuple[int, int]] = set()
            for some in _chunks(list(renders.values())):
                said.update(
                    connection.execute(
                        select(ScoreRow.render_id, ScoreRow.question_id)
                        .where(ScoreRow.checker_id == checker, ScoreRow.render_id.in_(some))
                        .distinct()
                    ).tuples()
                )
        return [
            (spec_key, question)
            for spec_key, question in asked
            if (renders.get(spec_key), questions.get(names[question])) not in said
        ]

    def add_scores(self, scores: Sequence[Score], questions: Iterable[Question]) -> None:
        """Keep what checkers said, in one transaction; what is there stays as it is.

        Args:
            scores: answers to ``questions``, or to questions that are in the store.
            questions: the questions asked, so that the answers can be understood later.

        Raises:
            UnknownNameError: a picture or a question is not in the store.
        """
        places: dict[tuple[str, str, str], int] = {}
        rows: list[tuple[Score, int]] = []
        for score in scores:
            asked = (score.checker, score.render, score.question)
            places[asked] = position = places.get(asked, -1) + 1
            rows.append((score, position))
        with self._writing() as connection:
            _add_questions(connection, questions)
            renders = _known(connection, RenderRow, (score.render for score in scores))
            asked_ids = _known(connection, QuestionRow, (score.question for score in scores))
            checkers = _intern(connection, CheckerRow, (score.checker for score in scores))
            options = _intern(connection, OptionRow, (score.answer.option for score in scores))
            _insert(
                connection,
                ScoreRow,
                [
                    {
                        "checker_id": checkers[score.checker],
                        "render_id": renders[score.render],
                        "question_id": asked_ids[score.question],
                        "option_id": options[score.answer.option],
                        "position": position,
                        "value": None if score.answer.value is None else float(score.answer.value),
                        "mass": float(score.answer.mass),
                        "reason": documents.refuse_broken(score.answer.reason, "answer.reason"),
                    }
                    for score, position in rows
                ],
            )
            _match(
                connection,
                {(renders[score.render], asked_ids[score.question]) for score in scores},
            )

    def scores(self, spec_key: str) -> list[tuple[Question, Score]]:
        """All that every checker said of a picture, by checker, question and option."""
        with self._reading() as connection:
            rows = connection.execute(
                select(
                    QuestionRow.document,
                    QuestionRow.key,
                    CheckerRow.name,
                    OptionRow.name.label("option"),
                    ScoreRow.value,
                    ScoreRow.reason,
                    ScoreRow.mass,
                )
                .join(CheckerRow, CheckerRow.id == ScoreRow.checker_id)
                .join(QuestionRow, QuestionRow.id == ScoreRow.question_id)
                .join(OptionRow, OptionRow.id == ScoreRow.option_id)
                .where(
                    ScoreRow.checker_id.in_(select(CheckerRow.id)),
                    ScoreRow.render_id
                    == select(RenderRow.id).where(RenderRow.spec_key == spec_key).scalar_subquery(),
                )
                .order_by(ScoreRow.checker_id, ScoreRow.question_id, ScoreRow.position)
            )
            return [
                (
                    documents.question(row.document),
                    Score(
                        spec_key,
                        row.name,
                        row.key,
                        Answer(row.value, row.option, row.reason, row.mass),
                    ),
                )
                for row in rows
            ]

    def question(self, key: str) -> Question:
        """The question of this key.

        Raises:
            UnknownNameError: it is not in the store.
        """
        with self._reading() as connection:
            text = connection.scalar(select(QuestionRow.document).where(QuestionRow.key == key))
        if text is None:
            raise UnknownNameError(f"no question has the key {key!r}")
        return documents.question(text)

    def evidence(
        self, checker_id: str, *, model: str | None = None, pair: str | None = None
    ) -> list[Evidence]:
        """One line for each picture of each pair, by model, pair and seed.

        Raises:
            UnknownNameError: the pair is not in the store.
        """
        with self._reading() as connection:
            checker = connection.scalar(select(CheckerRow.id).where(CheckerRow.name == checker_id))
            statement = _evidence(-1 if checker is None else checker)
            if model is not None:
                statement = statement.where(ModelRow.name == model)
            if pair is not None:
                statement = statement.where(PairRenderRow.pair_id == _pair_id(connection, pair))
            return [Evidence(*row) for row in connection.execute(statement)]

    def checkers(self) -> list[str]:
        """Ids of all checkers that have said something."""
        with self._reading() as connection:
            return list(connection.scalars(select(CheckerRow.name).order_by(CheckerRow.name)))

    def models(self) -> list[str]:
        """Ids of all models that have drawn something."""
        with self._reading() as connection:
            return list(connection.scalars(select(ModelRow.name).order_by(ModelRow.name)))

    # ── people and failures ──────────────────────────────────────────────────────────────────────

    def add_labels(self, labels: Sequence[Label], questions: Iterable[Question] = ()) -> None:
        """Keep what people said.

        Raises:
            UnknownNameError: a picture or a question is not in the store.
        """
        with self._writing() as connection:
            _add_questions(connection, questions)
            renders = _known(connection, RenderRow, (label.render for label in labels))
            asked = _known(connection, QuestionRow, (label.question for label in labels))
            _insert(
                connection,
                LabelRow,
                [
                    {
                        "render_id": renders[label.render],
                        "question_id": asked[label.question],
                        "answer": documents.refuse_broken(label.answer, "label.answer"),
                        "rater": documents.refuse_broken(label.rater, "label.rater"),
                        "at": documents.refuse_broken(label.at, "label.at"),
                    }
                    for label in labels
                ],
            )

    def labels(self, *, render: str | None = None) -> list[Label]:
        """What people said, of one picture or of all, in the order of arrival."""
        statement = (
            select(
                RenderRow.spec_key, QuestionRow.key, LabelRow.answer, LabelRow.rater, LabelRow.at
            )
            .join(RenderRow, RenderRow.id == LabelRow.render_id)
            .join(QuestionRow, QuestionRow.id == LabelRow.question_id)
            .order_by(LabelRow.id)
        )
        if render is not None:
            statement = statement.where(RenderRow.spec_key == render)
        with self._reading() as connection:
            return [Label(*row) for row in connection.execute(statement)]

    def add_failure(self, failure: Failure) -> None:
        """Remember that an item failed; it is listed until it succeeds."""
        row = dataclasses.asdict(failure)
        for name, text in row.items():
            documents.refuse_broken(text, f"failure.{name}")
        with self._writing() as connection:
            row["num_scores"] = connection.execute(
                select(_num_scores(literal(failure.item)))
            ).scalar_one()
            _insert(connection, FailureRow, [row])

    def failures(self) -> list[Failure]:
        """The latest failure of each item and stage that has not succeeded since, oldest first."""
        with self._reading() as connection:
            rows = connection.execute(
                select(FailureRow.item, FailureRow.stage, FailureRow.sentence, FailureRow.at)
                .where(_still_failed())
                .order_by(FailureRow.id)
            )
            return [Failure(*row) for row in rows]

    def clear_failure(self, item: str) -> None:
        """Set aside all failures of an item; a new one is listed again."""
        with self._writing() as connection:
            found = connection.scalars(select(FailureRow.id).where(FailureRow.item == item))
            _insert(connection, DismissalRow, [{"failure_id": one} for one in found])

    # ── the whole ────────────────────────────────────────────────────────────────────────────────

    def counts(self) -> StoreCounts:
        """How much is stored."""
        files = select(func.max(RenderRow.num_bytes).label("size")).group_by(RenderRow.sha256)
        with self._reading() as connection:

            def count(statement: Select[Any]) -> int:
                return int(connection.execute(statement).scalar_one())

            return StoreCounts(
                pairs=count(select(func.count()).select_from(PairRow)),
                renders=count(select(func.count()).select_from(RenderRow)),
                scores=count(select(func.count()).select_from(ScoreRow)),
                failures=count(select(func.count()).where(_still_failed())),
                picture_bytes=count(select(func.coalesce(func.sum(files.subquery().c.size), 0))),
            )

    def verify(self) -> Iterator[str]:
        """Hash every picture and every value again; one sentence for each that disagrees.

        Files that belong to no picture are named too.
        """
        with self._reading() as connection:
            if connection.dialect.name == "sqlite":
                for (finding,) in connection.exec_driver_sql("PRAGMA integrity_check"):
                    if finding != "ok":
                        yield f"{self.place} is damaged: {finding}"
        for document, key in self._all(PairRow, PairRow.key, PairRow.document):
            if documents.pair(document).key != key:
                yield f"the pair {key} is not what its key says"
        for document, key in self._all(QuestionRow, QuestionRow.key, QuestionRow.document):
            if documents.question(document).key != key:
                yield f"the question {key} is not what its key says"
        known = set()
        after = 0
        while page := self.renders(after=after, limit=_CHUNK):
            after = page[-1].position
            for listed in page:
                if listed.spec.key != listed.render.spec_key:
                    yield f"the spec {listed.render.spec_key} is not what its key says"
                sha256 = listed.render.sha256
                if sha256 and sha256 not in known:
                    known.add(sha256)
                    try:
                        self.image(sha256)
                    except StoreError as error:
                        yield str(error)
        expected = {self.image_path(sha256) for sha256 in known}
        for path in self._pictures.files():
            if path not in expected:
                yield f"{path} belongs to no picture in the store; it can be deleted"

    def _all(
        self, row: type[Base], key: InstrumentedAttribute[str], text: InstrumentedAttribute[str]
    ) -> list[tuple[str, str]]:
        with self._reading() as connection:
            return [(found[0], found[1]) for found in connection.execute(select(text, key))]


_RENDERS = select(
    RenderRow.id,
    RenderRow.spec_key,
    RenderRow.sha256,
    RenderRow.seconds,
    RenderRow.device,
    RenderRow.refusal,
    SpecRow.document,
).join(SpecRow, SpecRow.render_id == RenderRow.id)


def _prepare(file: Path, *, create: bool) -> None:
    try:
        if create:
            file.parent.mkdir(parents=True, exist_ok=True)
        elif not file.exists():
            raise StoreError(f"there is no audit at {file.parent}: run `lcmis audit` first")
    except OSError as error:
        raise StoreError(
            f"the folder {file.parent} cannot be used ({error.strerror}): name another one"
        ) from error


def _finite(seconds: float) -> float:
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"seconds are finite and not below 0, got {seconds}")
    return float(seconds)


def _image_of(item: Drawn) -> Image:
    if item.image is None:
        raise ValueError(f"the render of {item.render.spec_key} was not refused, yet has no image")
    if pixel_hash(item.image) != item.render.sha256:
        raise ValueError(f"the image of {item.render.spec_key} has another hash than its render")
    return item.image


def _render(row: Any) -> Render:
    return Render(row.spec_key, row.sha256, row.seconds, row.device, row.refusal)


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]


def _insert(connection: Connection, table: type[Base], rows: Sequence[dict[str, Any]]) -> None:
    # INSERT OR IGNORE would also swallow broken constraints; this skips only what is there.
    if rows:
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def _ids(
    connection: Connection,
    name: InstrumentedAttribute[str],
    number: InstrumentedAttribute[int],
    names: Sequence[str],
) -> dict[str, int]:
    found: dict[str, int] = {}
    for some in _chunks(names):
        found.update(
            (row[0], row[1])
            for row in connection.execute(select(name, number).where(name.in_(some)))
        )
    return found


def _intern(
    connection: Connection,
    table: type[ModelRow | CheckerRow | OptionRow],
    names: Iterable[str],
) -> dict[str, int]:
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        documents.refuse_broken(name, table.__tablename__)
    found = _ids(connection, table.name, table.id, wanted)
    if new := [name for name in wanted if name not in found]:
        _insert(connection, table, [{"name": name} for name in new])
        found |= _ids(connection, table.name, table.id, new)
    return found


def _known(
    connection: Connection, table: type[RenderRow | QuestionRow], keys: Iterable[str]
) -> dict[str, int]:
    wanted = list(dict.fromkeys(keys))
    name = RenderRow.spec_key if table is RenderRow else QuestionRow.key
    found = _ids(connection, name, table.id, wanted)
    if absent := [key for key in wanted if key not in found]:
        noun = "picture" if table is RenderRow else "question"
        raise UnknownNameError(f"no {noun} in the store has the key {absent[0]!r}; add it first")
    return found


def _pair_id(connection: Connection, text: str) -> int:
    found = connection.scalars(select(PairRow.id).where(PairRow.prompt == text).limit(2)).all()
    if len(found) == 1:
        return found[0]
    return _by_prefix(connection, PairRow.key, PairRow.id, text, "pair")


def _by_prefix(
    connection: Connection,
    key: InstrumentedAttribute[str],
    number: InstrumentedAttribute[int],
    prefix: str,
    noun: str,
) -> int:
    exact = connection.scalar(select(number).where(key == prefix))
    if exact is not None:
        return exact
    begins = or_(
        key.startswith(prefix, autoescape=True), key.startswith(f"k1:{prefix}", autoescape=True)
    )
    rows = connection.execute(select(number, key).where(begins).order_by(key).limit(4)).all()
    if len(rows) == 1:
        return int(rows[0][0])
    if rows:
        some = ", ".join(row[1] for row in rows[:3])
        raise UnknownNameError(f"more than one {noun} begins with {prefix!r}: {some}; write more")
    near: list[str] = []
    if noun == "pair":
        near = difflib.get_close_matches(prefix, connection.scalars(select(PairRow.prompt)), n=3)
    hint = f"; near it: {', '.join(near)}" if near else "; `lcmis show` lists what there is"
    raise UnknownNameError(f"no {noun} in the store is called {prefix!r}{hint}")


def _link(connection: Connection, pair_key: str, spec_keys: Sequence[str]) -> None:
    pair_id = connection.scalar(select(PairRow.id).where(PairRow.key == pair_key))
    if pair_id is None:
        raise UnknownNameError(f"no pair in the store has the key {pair_key!r}; add it first")
    renders = _known(connection, RenderRow, spec_keys)
    _insert(
        connection,
        PairRenderRow,
        [{"pair_id": pair_id, "render_id": render_id} for render_id in renders.values()],
    )
    asked: set[tuple[int, int]] = set()
    for some in _chunks(list(renders.values())):
        asked.update(
            connection.execute(
                select(ScoreRow.render_id, ScoreRow.question_id)
                .where(ScoreRow.checker_id.in_(select(CheckerRow.id)), ScoreRow.render_id.in_(some))
                .distinct()
            ).tuples()
        )
    _match(connection, asked)


def _add_questions(connection: Connection, questions: Iterable[Question]) -> None:
    _insert(
        connection,
        QuestionRow,
        [
            {
                "document": documents.document(question),
                "key": question.key,
                "kind": question.kind.value,
                "text": question.text,
            }
            for question in dict.fromkeys(questions)
        ],
    )


def _match(connection: Connection, asked: set[tuple[int, int]]) -> None:
    """Remember which questions, asked of these pictures, speak of the pictures' pairs."""
    by_render: dict[int, set[int]] = {}
    for render_id, question_id in asked:
        by_render.setdefault(render_id, set()).add(question_id)
    combinations: set[tuple[int, int]] = set()
    for some in _chunks(list(by_render)):
        for pair_id, render_id in connection.execute(
            select(PairRenderRow.pair_id, PairRenderRow.render_id).where(
                PairRenderRow.render_id.in_(some)
            )
        ):
            combinations.update((pair_id, question_id) for question_id in by_render[render_id])
    for some in _chunks(sorted({pair_id for pair_id, _ in combinations})):
        combinations.difference_update(
            connection.execute(
                select(PairQuestionRow.pair_id, PairQuestionRow.question_id).where(
                    PairQuestionRow.pair_id.in_(some)
                )
            ).tuples()
        )
    pairs = _documents(connection, PairRow, {pair_id for pair_id, _ in combinations})
    questions = _documents(connection, QuestionRow, {one for _, one in combinations})
    rows = []
    for pair_id, question_id in sorted(combinations):
        question = _question(questions[question_id])
        distance = _distance(_pair(pairs[pair_id]), question)
        if distance is not None:
            rows.append(
                {
                    "pair_id": pair_id,
                    "kind": question.kind.value,
                    "distance": distance,
                    "question_id": question_id,
                }
            )
    _insert(connection, PairQuestionRow, rows)


def _documents(
    connection: Connection, table: type[PairRow | QuestionRow], numbers: set[int]
) -> dict[int, str]:
    found: dict[int, str] = {}
    for some in _chunks(sorted(numbers)):
        found.update(
            (row[0], row[1])
            for row in connection.execute(
                select(table.id, table.document).where(table.id.in_(some))
            )
        )
    return found


@lru_cache(maxsize=256)
def _pair(text: str) -> ConceptPair:
    return documents.pair(text)


@lru_cache(maxsize=1024)
def _question(text: str) -> Question:
    return documents.question(text)


def _distance(pair: ConceptPair, question: Question) -> int | None:
    """In how many suspects a question differs from a pair; None if it speaks of something else."""
    sides: tuple[Side, ...]
    match question.kind:
        case QuestionKind.RELATION:
            sides, speaks = (Side.A, Side.B), question.text in (pair.prompt, *pair.sentences)
        case QuestionKind.A_PRESENT | QuestionKind.B_PRESENT:
            side = Side.A if question.kind is QuestionKind.A_PRESENT else Side.B
            sides, speaks = (side,), question.text == pair.concept(side).name
        case QuestionKind.INTRUDER_A | QuestionKind.INTRUDER_B:
            side = Side.A if question.kind is QuestionKind.INTRUDER_A else Side.B
            sides, speaks = (side,), pair.concept(side).name in question.options
    if not speaks:
        return None
    suspects = [one for side in sides for one in pair.intruders_of(side)]
    names = {one.concept.name for one in suspects} | {pair.concept(side).name for side in sides}
    prompts = {one.prompt for one in suspects} | {pair.prompt}
    options = set(question.options) - {NONE_OF_THESE}
    return (len(options ^ names) if options else 0) + len(set(question.contrast) ^ prompts)


def _evidence(checker: int) -> Select[Any]:
    def said(kind: QuestionKind, column: Any) -> Any:
        statement = (
            select(column)
            .select_from(PairQuestionRow)
            .join(ScoreRow, ScoreRow.question_id == PairQuestionRow.question_id)
            .where(
                PairQuestionRow.pair_id == PairRenderRow.pair_id,
                PairQuestionRow.kind == kind.value,
                ScoreRow.checker_id == checker,
                ScoreRow.render_id == PairRenderRow.render_id,
            )
            .order_by(PairQuestionRow.distance, PairQuestionRow.question_id)
            .limit(1)
            .correlate(PairRenderRow)
        )
        if kind.is_choice:
            statement = statement.order_by(ScoreRow.value.desc().nulls_last(), ScoreRow.position)
        if column is OptionRow.name:
            statement = statement.join(OptionRow, OptionRow.id == ScoreRow.option_id)
        return statement.scalar_subquery()

    anything = (
        select(ScoreRow.question_id)
        .where(ScoreRow.checker_id == checker, ScoreRow.render_id == RenderRow.id)
        .correlate(RenderRow)
        .exists()
    )
    return (
        select(
            PairRow.key,
            ModelRow.name,
            RenderRow.spec_key,
            RenderRow.seed,
            RenderRow.staged,
            said(QuestionKind.A_PRESENT, ScoreRow.value),
            said(QuestionKind.B_PRESENT, ScoreRow.value),
            said(QuestionKind.RELATION, ScoreRow.value),
            said(QuestionKind.INTRUDER_A, OptionRow.name),
            said(QuestionKind.INTRUDER_B, OptionRow.name),
            said(QuestionKind.INTRUDER_A, ScoreRow.value),
            said(QuestionKind.INTRUDER_B, ScoreRow.value),
            anything,
            RenderRow.refusal != "",
        )
        .select_from(PairRenderRow)
        .join(RenderRow, RenderRow.id == PairRenderRow.render_id)
        .join(ModelRow, ModelRow.id == RenderRow.model_id)
        .join(PairRow, PairRow.id == PairRenderRow.pair_id)
        .order_by(ModelRow.name, PairRow.key, RenderRow.seed, RenderRow.spec_key)
    )


def _num_scores(item: Any) -> Any:
    return (
        select(func.count())
        .select_from(ScoreRow)
        .join(RenderRow, RenderRow.id == ScoreRow.render_id)
        .where(ScoreRow.checker_id.in_(select(CheckerRow.id)), RenderRow.spec_key == item)
        .scalar_subquery()
    )


def _still_failed() -> Any:
    later = FailureRow.__table__.alias("later")
    drawn = select(RenderRow.id).where(RenderRow.spec_key == FailureRow.item).exists()
    set_aside = select(DismissalRow.failure_id).where(DismissalRow.failure_id == FailureRow.id)
    return and_(
        ~select(later.c.id)
        .where(
            later.c.item == FailureRow.item,
            later.c.stage == FailureRow.stage,
            later.c.id > FailureRow.id,
        )
        .exists(),
        ~set_aside.exists(),
        or_(FailureRow.stage != "render", ~drawn),
        or_(FailureRow.stage != "check", _num_scores(FailureRow.item) <= FailureRow.num_scores),
    )
