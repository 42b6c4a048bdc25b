"""Pictures: what they show of a specification, the files, and the pairs that asked for them."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, select

from lcmis.errors import UnknownNameError
from lcmis.machine.pictures import picture_hash
from lcmis.store import documents
from lcmis.store.door import Door
from lcmis.store.evidence import answered, match_questions
from lcmis.store.rows import (
    CHUNK,
    chunks,
    id_by_prefix,
    ids_of,
    insert_new,
    intern,
    known_ids,
    pair_id,
)
from lcmis.store.tables import (
    CheckerRow,
    ModelRow,
    PairRenderRow,
    PairRow,
    RenderRow,
    SpecRow,
)
from lcmis.types import FIRST_REPAIR_SEED, Render, RenderSpec

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture on its way into the store, for the pair that asked for it."""

    pair_key: str
    spec: RenderSpec
    render: Render
    image: Image | None
    """None for a refusal, and where the file was written elsewhere."""
    num_bytes: int | None = None
    """Of the file, where another process has written it to the store's pictures already."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A picture on a page of the list; the next page begins after its position."""

    position: int
    pair_key: str
    """The pair asked for; without one, the first that drew it."""
    spec: RenderSpec
    render: Render


class PictureDoor(Door):
    """Renders with their files, and which pair they were drawn for."""

    def missing(self, specs: Sequence[RenderSpec]) -> list[RenderSpec]:
        """Those that have no render yet, in order."""
        keys = [spec.key for spec in specs]
        with self._reading() as connection:
            known = ids_of(connection, RenderRow.spec_key, RenderRow.id, keys)
        return [spec for spec, key in zip(specs, keys, strict=True) if key not in known]

    def present(self, spec_keys: Sequence[str]) -> set[str]:
        """Those of some spec keys that have a render."""
        with self._reading() as connection:
            return set(ids_of(connection, RenderRow.spec_key, RenderRow.id, spec_keys))

    def add_renders(self, drawn: Sequence[Drawn]) -> None:
        """Keep pictures and what they show of: files first, then all rows in one transaction.

        A picture that is there stays as it is, and is linked to the pair that asked for it now.

        Raises:
            UnknownNameError: a pair is not in the store.
            StoreError: no room or no permission to write.
            ValueError: a render does not belong to its spec or its image.
        """
        new, sizes = self._file(drawn)
        with self._writing() as connection:
            add_drawn(connection, drawn, new, sizes)

    def _file(self, drawn: Sequence[Drawn]) -> tuple[dict[str, Drawn], dict[str, int]]:
        """Write the files of those that are not there, before any row speaks of them.

        Returns:
            The new ones by their keys, and the sizes of their files by their hashes.
        """
        new: dict[str, Drawn] = {}
        for item in drawn:
            if item.spec.key != item.render.spec_key:
                raise ValueError(f"the render of {item.render.spec_key} came with another spec")
            new.setdefault(item.render.spec_key, item)
        with self._reading() as connection:
            for key in ids_of(connection, RenderRow.spec_key, RenderRow.id, list(new)):
                del new[key]
        sizes = {
            item.render.sha256: item.num_bytes
            for item in new.values()
            if item.num_bytes is not None
        }
        return new, sizes | self._pictures.write(
            {
                item.render.sha256: _image_of(item)
                for item in new.values()
                if item.render.sha256 and item.num_bytes is None
            }
        )

    def link(self, pair_key: str, spec_keys: Sequence[str]) -> None:
        """Say that pictures which are there, drawn for another pair, are this pair's too.

        Raises:
            UnknownNameError: the pair or a picture is not in the store.
        """
        with self._writing() as connection:
            add_links(connection, {pair_key: spec_keys})

    def render(self, key_prefix: str) -> tuple[RenderSpec, Render]:
        """The picture of this spec key, or of one that begins so.

        Raises:
            UnknownNameError: none, or more than one.
        """
        with self._reading() as connection:
            render_id = id_by_prefix(
                connection, RenderRow.spec_key, RenderRow.id, key_prefix, "picture"
            )
            row = connection.execute(_RENDERS.where(RenderRow.id == render_id)).one()
            return documents.spec(row.document), _render(row)

    def renders_of(self, spec_keys: Iterable[str]) -> dict[str, tuple[RenderSpec, Render]]:
        """The pictures of these spec keys, those that are there, in a query for many; in the order
        of arrival.
        """
        rows: list[Any] = []
        with self._reading() as connection:
            for some in chunks(list(dict.fromkeys(spec_keys))):
                rows += connection.execute(_RENDERS.where(RenderRow.spec_key.in_(some)))
        rows.sort(key=attrgetter("id"))
        return {row.spec_key: (documents.spec(row.document), _render(row)) for row in rows}

    def files_of(self, spec_keys: Iterable[str]) -> dict[str, tuple[str, int]]:
        """Hash and size in bytes of the picture files of these spec keys; a picture that is not
        there or was refused has none.
        """
        found: dict[str, tuple[str, int]] = {}
        columns = select(RenderRow.spec_key, RenderRow.sha256, RenderRow.num_bytes)
        with self._reading() as connection:
            for some in chunks(list(dict.fromkeys(spec_keys))):
                rows = connection.execute(
                    columns.where(RenderRow.spec_key.in_(some), RenderRow.sha256 != "")
                )
                found.update((key, (sha256, size)) for key, sha256, size in rows.tuples())
        return found

    def renders(
        self, *, pair: str | None = None, model: str | None = None, after: int = 0, limit: int = 60
    ) -> list[Listed]:
        """One page of pictures in the order of arrival, from the one after a position.

        Raises:
            UnknownNameError: the pair is not in the store.
        """
        with self._reading() as connection:
            statement = _RENDERS.limit(limit)
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
                statement = statement.order_by(RenderRow.id)
            else:
                statement = (
                    statement.add_columns(PairRow.key.label("pair_key"))
                    .join(PairRenderRow, PairRenderRow.render_id == RenderRow.id)
                    .join(PairRow, PairRow.id == PairRenderRow.pair_id)
                    .where(
                        PairRenderRow.pair_id == pair_id(connection, pair),
                        PairRenderRow.render_id > after,
                    )
                    .order_by(PairRenderRow.render_id)
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

    def pairs_of(self, spec_key: str) -> list[str]:
        """Keys of the pairs that a picture was drawn for, in the order in which they came."""
        with self._reading() as connection:
            return list(
                connection.scalars(
                    select(PairRow.key)
                    .join(PairRenderRow, PairRenderRow.pair_id == PairRow.id)
                    .join(RenderRow, RenderRow.id == PairRenderRow.render_id)
                    .where(RenderRow.spec_key == spec_key)
                    .order_by(PairRow.id)
                )
            )

    def hashes(self) -> dict[str, str]:
        """The SHA-256 of each picture's pixels by its spec key; empty where it was refused."""
        with self._reading() as connection:
            rows = connection.execute(
                select(RenderRow.spec_key, RenderRow.sha256).order_by(RenderRow.id)
            )
            return {row[0]: row[1] for row in rows}

    def profiles(self, model: str) -> dict[str, str]:
        """The numerics profile of each picture of a model, by its spec key."""
        with self._reading() as connection:
            rows = connection.execute(
                select(RenderRow.spec_key, SpecRow.profile)
                .join(SpecRow, SpecRow.render_id == RenderRow.id)
                .join(ModelRow, ModelRow.id == RenderRow.model_id)
                .where(ModelRow.name == model)
            )
            return {row[0]: sys.intern(row[1]) for row in rows}

    def ways(self) -> dict[str, list[tuple[dict[str, Any], int]]]:
        """By model: with which steps, guidance, scheduler and size the plainly prompted pictures of
        audits were drawn, and how many so; the commonest first.
        """
        columns = (
            SpecRow.num_inference_steps,
            SpecRow.guidance_scale,
            SpecRow.scheduler,
            SpecRow.width,
            SpecRow.height,
        )
        count = func.count()
        asked = (
            select(ModelRow.name, count, *columns)
            .select_from(RenderRow)
            .join(SpecRow, SpecRow.render_id == RenderRow.id)
            .join(ModelRow, ModelRow.id == RenderRow.model_id)
            .where(RenderRow.seed < FIRST_REPAIR_SEED, RenderRow.staged.is_(False))
            .group_by(ModelRow.name, *columns)
            .order_by(ModelRow.name, count.desc(), *columns)
        )
        found: dict[str, list[tuple[dict[str, Any], int]]] = {}
        with self._reading() as connection:
            for model, many, *values in connection.execute(asked):
                way = {column.key: value for column, value in zip(columns, values, strict=True)}
                found.setdefault(model, []).append((way, many))
        return found

    def _kept_specs(self) -> Iterator[tuple[str, str, str]]:
        """Key, hash of the pixels and document of every picture, as they lie there."""
        rows = select(RenderRow.id, RenderRow.spec_key, RenderRow.sha256, SpecRow.document)
        rows = rows.join(SpecRow, SpecRow.render_id == RenderRow.id).order_by(RenderRow.id)
        after = 0
        while True:
            with self._reading() as connection:
                page = connection.execute(rows.where(RenderRow.id > after).limit(CHUNK)).all()
            if not page:
                return
            after = page[-1][0]
            for _, key, sha256, document in page:
                yield key, sha256, document

    def image(self, sha256: str) -> Image:
        """The picture of this hash, RGB, its pixels verified.

        Raises:
            StoreError: its file is missing, cannot be read, or has changed.
        """
        return self._pictures.read(sha256)

    def image_file(self, sha256: str) -> bytes:
        """The WebP file of this hash, its pixels verified.

        Raises:
            StoreError: it is missing, cannot be read, or has changed.
        """
        return self._pictures.read_file(sha256)

    def image_path(self, sha256: str) -> Path:
        """Where the picture of this hash lies, a WebP file; a copy of it where that is a bucket.

        Raises:
            StoreError: it lies in a bucket, and is missing there or cannot be had.
        """
        return self._pictures.path(sha256)

    def image_place(self, sha256: str) -> str:
        """The path or the address at which the picture of this hash lies, for people."""
        return self._pictures.place(sha256)

    def models(self) -> list[str]:
        """Ids of all models that have drawn something."""
        with self._reading() as connection:
            return list(connection.scalars(select(ModelRow.name).order_by(ModelRow.name)))


_RENDERS = select(
    RenderRow.id,
    RenderRow.spec_key,
    RenderRow.sha256,
    RenderRow.seconds,
    RenderRow.device,
    RenderRow.refusal,
    SpecRow.document,
).join(SpecRow, SpecRow.render_id == RenderRow.id)


def _render_row(item: Drawn) -> dict[str, Any]:
    return {
        "spec_key": item.render.spec_key,
        "seed": item.spec.seed,
        "staged": len(item.spec.stages) > 1,
        "sha256": item.render.sha256,
        "seconds": _finite(item.render.seconds),
        "device": documents.refuse_broken(item.render.device, "render.device"),
        "refusal": documents.refuse_broken(item.render.refusal, "render.refusal"),
    }


def _spec_row(spec: RenderSpec) -> dict[str, Any]:
    return {
        "prompt": spec.prompt,
        "num_inference_steps": spec.num_inference_steps,
        "guidance_scale": spec.guidance_scale,
        "scheduler": spec.scheduler,
        "height": spec.height,
        "width": spec.width,
        "profile": spec.profile,
    }


def _finite(seconds: float) -> float:
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"seconds are finite and not below 0, got {seconds}")
    return float(seconds)


def _image_of(item: Drawn) -> Image:
    if item.image is None:
        raise ValueError(f"the render of {item.render.spec_key} was not refused, yet has no image")
    if picture_hash(item.image) != item.render.sha256:
        raise ValueError(f"the image of {item.render.spec_key} has another hash than its render")
    return item.image


def _render(row: Any) -> Render:
    return Render(row.spec_key, row.sha256, row.seconds, row.device, row.refusal)


def add_drawn(
    connection: Connection,
    drawn: Sequence[Drawn],
    new: Mapping[str, Drawn],
    sizes: Mapping[str, int],
) -> None:
    """Add the rows of pictures whose files are there, and link all of them to their pairs.

    Args:
        connection: in a transaction that writes.
        drawn: all pictures that came.
        new: those of them that may lack a row, by their keys.
        sizes: of their files in bytes, by their hashes.

    Raises:
        UnknownNameError: a pair is not in the store.
    """
    specs = {key: documents.document(item.spec) for key, item in new.items()}
    models = intern(connection, ModelRow, (item.spec.model for item in new.values()))
    insert_new(
        connection,
        RenderRow,
        [
            _render_row(item)
            | {
                "model_id": models[item.spec.model],
                "num_bytes": sizes.get(item.render.sha256, 0),
            }
            for item in new.values()
        ],
    )
    renders = ids_of(connection, RenderRow.spec_key, RenderRow.id, list(new))
    insert_new(
        connection,
        SpecRow,
        [
            _spec_row(item.spec) | {"render_id": renders[key], "document": specs[key]}
            for key, item in new.items()
        ],
    )
    wanted: dict[str, list[str]] = {}
    for item in drawn:
        wanted.setdefault(item.pair_key, []).append(item.render.spec_key)
    add_links(connection, wanted)


def add_links(connection: Connection, wanted: Mapping[str, Iterable[str]]) -> None:
    """Say of pairs, by their keys, that pictures which are there are theirs.

    Raises:
        UnknownNameError: a pair or a picture is not in the store.
    """
    links = unlinked(connection, wanted)
    insert_new(
        connection,
        PairRenderRow,
        [{"pair_id": pair, "render_id": render} for pair, render in sorted(links)],
    )
    checkers = connection.scalars(select(CheckerRow.id)).all()
    said = answered(connection, checkers, sorted({render for _, render in links}))
    match_questions(connection, {(render, question) for _, render, question in said})


def unlinked(connection: Connection, wanted: Mapping[str, Iterable[str]]) -> set[tuple[int, int]]:
    """The numbers of pairs and pictures that belong together, and are not said to yet.

    Raises:
        UnknownNameError: a pair or a picture is not in the store.
    """
    pairs = ids_of(connection, PairRow.key, PairRow.id, list(wanted))
    for pair_key in wanted:
        if pair_key not in pairs:
            raise UnknownNameError(f"no pair in the store has the key {pair_key!r}; add it first")
    renders = known_ids(connection, RenderRow, (key for keys in wanted.values() for key in keys))
    links = {(pairs[pair], renders[key]) for pair, keys in wanted.items() for key in keys}
    for some in chunks(list(renders.values())):
        links.difference_update(
            connection.execute(
                select(PairRenderRow.pair_id, PairRenderRow.render_id).where(
                    PairRenderRow.render_id.in_(some)
                )
            ).tuples()
        )
    return links
