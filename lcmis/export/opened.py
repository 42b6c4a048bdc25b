"""An audit from Python: data frames, and pairs, pictures and comparisons that show themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from lcmis import findings
from lcmis.errors import ConfigError, UnknownNameError
from lcmis.export import frames
from lcmis.export.frames import library
from lcmis.export.report.album import Album, Copy, copy_of
from lcmis.findings import AllPairs, ModelFinding, OnePair, OnePicture, PairFinding, words
from lcmis.findings.comparison import Comparison, compare, opened
from lcmis.findings.pairs import tell_pairs
from lcmis.findings.telling import Telling, Tells
from lcmis.judge import Decision
from lcmis.machine import letters
from lcmis.store import Store
from lcmis.types import Verdict

LARGE = 512
"""Pixels of the longer side of a picture that is shown alone."""
SHOWN = 6
"""Pictures of a pair and model that a notebook shows: those of its first seeds."""
DISCORDANT = 6
"""Pairs of a comparison whose pictures it shows."""


class OpenAudit(Tells):
    """A store that is read and never changed: `lcmis.open` makes one.

    Frames are pandas or polars, whichever is installed, or Arrow tables. Their columns bear the
    names that the terminal's tables have; shares and probabilities lie in [0, 1].

    Args:
        store: the audit's folder, or a database URL.
        pictures: where the pictures lie, if the store is a URL.
        checker: part of the id of the one whose scores decide; that of the last audit by default.
        threshold: score from which a concept counts as present; the last audit's by default.
        frames: ``"pandas"``, ``"polars"`` or ``"arrow"``; the first library that is installed.

    Raises:
        StoreError: there is no such store.
        UnknownNameError: nothing has been checked in it yet, or no checker is called so.
        ConfigError: a library for frames that is none, or is not installed.
    """

    def __init__(
        self,
        store: str | Path = "audit",
        *,
        pictures: str | Path | None = None,
        checker: str | None = None,
        threshold: float | None = None,
        frames: str | None = None,
    ) -> None:
        self._kind = library(frames)
        self.store = Store(
            str(store), pictures=Path(pictures) if pictures else None, read_only=True
        )
        self.checker = findings.deciding_checker(self.store, checker)
        audit = findings.last_audit(self.store.runs())
        usual = findings.threshold_of(audit)
        self.threshold = usual if threshold is None else threshold
        self._rule = findings.rule_of(audit) if audit else None
        if not 0 < self.threshold <= 1:
            raise ConfigError(
                f"threshold is {self.threshold:g}, but it lies above 0 and at 1 at the most"
            )

    # ── data frames ──────────────────────────────────────────────────────────────────────────

    def pairs(self) -> Any:
        """A row a pair and model, worst first: how many pictures are right, and the verdict."""
        return self._frame(frames.pairs_table(self.findings()))

    def pictures(self) -> Any:
        """A row a picture and pair: how it was drawn, what was seen of it, and its file."""
        return self._frame(frames.pictures_table(self.store, self.checker, self.threshold))

    def scores(self) -> Any:
        """A row for each answer of each checker to each question."""
        return self._frame(frames.scores_table(self.store))

    def repairs(self) -> Any:
        """A row a repair that was found, proved or not, the most useful first."""
        return self._frame(frames.proofs_table(self.store, self.checker, self.threshold))

    def models(self) -> Any:
        """A row a model: its rate, and how many pairs pass, fail and are open."""
        return self._frame(frames.models_table(self._models()))

    def labels(self) -> Any:
        """A row for each answer of a person that stands."""
        return self._frame(frames.labels_table(self.store))

    def _frame(self, table: Any) -> Any:
        return frames.frame(table, self._kind)

    # ── what shows itself ────────────────────────────────────────────────────────────────────

    def findings(self) -> list[PairFinding]:
        """What every model makes of every pair, worst first."""
        return findings.find_pairs(
            self.store, self.checker, rule=self._rule, threshold=self.threshold
        )

    def pair(self, what: str) -> ShownPair:
        """The one pair of which these words, this prompt or this key speak.

        Raises:
            UnknownNameError: there is none, or there are several.
        """
        found = findings.look_up(self.store, what, checker=self.checker, threshold=self.threshold)
        if isinstance(found, AllPairs):
            prompts = list(dict.fromkeys(one.pair.prompt for one in found.pairs))
            raise UnknownNameError(
                f"{what!r} speaks of {words.several(len(prompts), 'pair')}: say which, as in "
                f"{', '.join(map(repr, prompts[:4]))}"
            )
        if not isinstance(found, OnePair):
            raise UnknownNameError(f"{what!r} is no pair: .picture() shows a picture")
        return ShownPair(found, self.store)

    def picture(self, key: str) -> ShownPicture:
        """The picture of this key, or of the only one that begins so.

        Raises:
            UnknownNameError: none, or more than one.
        """
        found = findings.look_up(self.store, key, checker=self.checker, threshold=self.threshold)
        if not isinstance(found, OnePicture):
            raise UnknownNameError(f"{key!r} is no picture's key: .pictures() lists them")
        return ShownPicture(found, self.store)

    def compare(self, first: str, second: str) -> ShownComparison:
        """Two models of this store, or other stores, on the same pairs and seeds, as
        `lcmis compare` names and compares them.

        Raises:
            UnknownNameError: no such model or store.
        """
        with opened((first, second), self.store, checker=self.checker) as sides:
            return ShownComparison(compare(*sides, threshold=self.threshold))

    def telling(self) -> Telling:
        """A row a model."""
        found = self._models()
        names = words.short_names([one.model for one in found])
        rows = [
            (
                names[one.model],
                words.rate(one.aligned),
                str(len(one.decided(Decision.PASSES))),
                str(len(one.decided(Decision.FAILS))),
                str(one.pictures),
            )
            for one in found
        ]
        columns = ("model", "pictures right", "pairs pass", "fail", "pictures")
        return Telling("audit", columns, tuple(rows), f"judged by {self.checker}")

    def _models(self) -> list[ModelFinding]:
        by_model: dict[str, list[PairFinding]] = {}
        for one in self.findings():
            by_model.setdefault(one.model, []).append(one)
        others = [name for name in self.store.checkers() if name != self.checker]
        return findings.find_models(
            self.store,
            dict(sorted(by_model.items())),
            [self.checker, *others],
            rule=self._rule,
            threshold=self.threshold,
        )


@dataclass(frozen=True, slots=True, repr=False)
class ShownPair(Tells):
    """One pair over all models, with the first pictures of each."""

    found: OnePair
    store: Store

    def telling(self) -> Telling:
        """A row a model, as `lcmis show` has it."""
        pair, found = self.found.pair, self.found.findings
        told = tell_pairs(pair.prompt, found)
        below = f"{words.short_key(pair.key)}; judged by {self.found.checker}"
        return Telling(told.title, told.columns, told.rows, below)

    def _repr_html_(self) -> str:
        album = Album(self.store)
        names = words.short_names([one.model for one in self.found.findings])
        strips = (
            _strip(
                names[one.model],
                (
                    (album.copy(item.spec_key), words.verdict(verdict, one.pair), verdict)
                    for item, verdict in list(
                        zip(one.evidence, one.judgement.verdicts, strict=True)
                    )[:SHOWN]
                ),
            )
            for one in self.found.findings
        )
        return self.telling().html("".join(strips))


@dataclass(frozen=True, slots=True, repr=False)
class ShownPicture(Tells):
    """One picture, how it was drawn, and all that was said of it."""

    found: OnePicture
    store: Store

    def telling(self) -> Telling:
        """A row an answer."""
        spec = self.found.spec
        rows = [
            (
                words.short_name(score.checker),
                f"{question.kind.replace('_', ' ')}: {question.text}",
                score.answer.option,
                words.score(score.answer.value),
            )
            for question, score in self.found.scores
        ]
        drawn = (
            f"{words.short_name(spec.model)}, seed {spec.seed}, {spec.num_inference_steps} steps, "
            f"guidance {spec.guidance_scale:g}, {spec.width}×{spec.height}; "
            f"{words.short_key(spec.key)}"
        )
        refused = self.found.render.refusal
        below = f"{drawn}; refused by the model: {refused}" if refused else drawn
        return Telling(
            spec.prompt, ("checker", "question", "option", "probability"), tuple(rows), below
        )

    def _repr_html_(self) -> str:
        render = self.found.render
        image = "" if render.refusal else _image(copy_of(self.store.image(render.sha256), LARGE))
        return self.telling().html(image)


@dataclass(frozen=True, slots=True, repr=False)
class ShownComparison(Tells):
    """Two models on the same pairs and seeds, with pictures on which they differ."""

    found: Comparison

    def telling(self) -> Telling:
        """Who is better by how much, and a row for each pair on which they differ."""
        return self.found.telling()

    def _repr_html_(self) -> str:
        names = words.two_names(self.found.first, self.found.second)
        strips = []
        for one in self.found.discordant[:DISCORDANT]:
            first = one.only_first[:1] or one.only_second[:1]
            shown = (
                (_file_copy(file), name, Verdict.ALIGNED if right else Verdict.BOTH_MISSING)
                for files in first
                for file, name, right in zip(
                    files, names, (bool(one.only_first), not one.only_first), strict=True
                )
            )
            strips.append(_strip(one.pair.prompt, shown))
        return self.telling().html("".join(strips))


def _file_copy(file: str) -> Copy:
    from PIL import Image

    if not file:
        return Copy(reason="refused by the model")
    try:
        with Image.open(file) as image:
            return copy_of(image.convert("RGB"))
    except OSError:
        return Copy(reason="the file of this picture is missing or damaged")


def _strip(title: str, shown: Iterable[tuple[Copy, str, Verdict]]) -> str:
    """Pictures side by side, what they show below each."""
    cells = "".join(
        f'<figure style="display:inline-block;margin:0 8px 8px 0;vertical-align:top">'
        f"{_image(copy)}<figcaption>{'✓' if verdict is Verdict.ALIGNED else '✗'} "
        f"{_text(said)}</figcaption></figure>"
        for copy, said, verdict in shown
    )
    return f"<p>{_text(title)}</p><div>{cells}</div>"


def _image(copy: Copy) -> str:
    if not copy.source:
        return f"<p>{_text(copy.reason)}</p>"
    return f'<img src="{copy.source}" width="{copy.width}" height="{copy.height}" alt="">'


def _text(said: str) -> str:
    return escape(letters.visible(said))
