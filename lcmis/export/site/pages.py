"""The pages of a site: an overview, every pair with its pictures, a grid, repairs, comparisons."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment

from lcmis import __version__, findings
from lcmis.errors import ConfigError
from lcmis.export.report import Report, gather, html
from lcmis.export.report.contents import ModelPart
from lcmis.export.report.page import environment_of
from lcmis.findings import PairFinding, RepairFinding, notes, short, words
from lcmis.findings.comparison import Audited, Comparison, compare
from lcmis.findings.notes import Noted
from lcmis.judge import Decision
from lcmis.machine import letters
from lcmis.store import Evidence, Store
from lcmis.types import About, ConceptPair, Verdict

COMPARED = 6
"""Couples of models that are compared, at the most."""
WORST = 12
"""Pairs with pictures on the first page."""
SHOWN = 4
"""Pictures of each of them."""
DISCORDANT = 200
"""Pairs on which two models differ, at the most."""


@dataclass(frozen=True, slots=True)
class Site:
    """What was written."""

    num_pages: int
    num_pictures: int
    num_bytes: int
    missing: int
    """Pictures whose files are missing or damaged: their places say so."""


@dataclass(frozen=True, slots=True)
class SitePicture:
    """One picture as a page shows it."""

    file: str
    """Below the site's folder; empty where there is none."""
    caption: str
    """What is seen of it, in words."""
    is_right: bool | None
    model: str
    seed: int
    key: str
    reason: str = ""
    """Why there is no file."""
    noted: Noted = notes.NOTHING
    """What people left on it."""


@dataclass(frozen=True, slots=True)
class PaintedPair:
    """One pair as one model paints it."""

    model: str
    found: PairFinding
    pictures: tuple[SitePicture, ...]

    @property
    def page(self) -> str:
        """The file of its pair."""
        return page_of(self.found.pair)

    @property
    def two(self) -> tuple[SitePicture, ...]:
        """A wrong picture and a right one, where there are such."""
        wrong = next((one for one in self.pictures if one.is_right is False), None)
        right = next((one for one in self.pictures if one.is_right), None)
        return tuple(one for one in (wrong, right) if one is not None)


def page_of(pair: ConceptPair) -> str:
    """The file of a pair: named by its key, and by nothing that anybody wrote."""
    return f"pair/{pair.key.rpartition(':')[2]}.html"


def write_site(
    store: Store,
    folder: Path,
    *,
    checker: str | None = None,
    threshold: float | None = None,
    model: str | None = None,
) -> Site:
    """Write every page and picture into a folder that is empty.

    Args:
        store: The facts.
        folder: It exists.
        checker: Part of the id of the one that decides; that of the last run by default.
        threshold: Score from which a concept counts as present; that of the last run by default.
        model: Only models whose name contains this.

    Raises:
        UserError: there is nothing to show.
    """
    report = gather(store, checker, threshold, worst=0)
    parts = [part for part in report.models if model is None or model in part.finding.model]
    if not parts:
        raise ConfigError(
            f"there are no pictures{f' of {model!r}' if model else ''}: models "
            f"{', '.join(part.finding.model for part in report.models) or 'none: run lcmis audit'}"
        )
    noted = notes.noted(store.notes())
    shelf = _Shelf(store, folder, noted)
    rows = [
        PaintedPair(part.name, found, tuple(shelf.shown(found, part.name)))
        for part in parts
        for found in part.finding.pairs
    ]
    pages = _Pages(folder, report, parts)
    worst = sorted(
        (row for row in rows if row.found.judgement.failing is Decision.FAILS),
        key=lambda row: findings.severity(row.found),
    )
    pages.write("index.html", "index", worst=worst[:WORST], failing=len(worst), shown=SHOWN)
    pages.write("pairs.html", "pairs", rows=sorted(rows, key=lambda one: one.found.pair.prompt))
    by_pair: dict[str, list[PaintedPair]] = {}
    for row in rows:
        by_pair.setdefault(row.found.pair.key, []).append(row)
    for some in by_pair.values():
        pair = some[0].found.pair
        said = noted.get((About.PAIR, pair.key), notes.NOTHING)
        pages.write(some[0].page, "pair", pair=pair, rows=some, noted=said)
    pages.write("pictures.html", "pictures", count=sum(len(row.pictures) for row in rows))
    chosen = {part.finding.model for part in parts}
    changes = [
        (
            one.found,
            list(shelf.changes(one.found)),
            noted.get((About.REPAIR, one.found.certificate.nomination.key), notes.NOTHING),
        )
        for one in report.repairs
        if one.found.model in chosen
    ]
    pages.write("repairs.html", "repairs", repairs=changes)
    compared = list(_compared(store, report, parts))
    pages.write(
        "compare.html",
        "compare",
        compared=[(one, shelf.discordant(one)) for one in compared],
        most=DISCORDANT,
    )
    (folder / "report.html").write_text(html(gather(store, checker, threshold)), encoding="utf-8")
    for name in ("site.css", "site.js", "grid.js"):
        text = (Path(__file__).parent / "templates" / name).read_text("utf-8")
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "data.js").write_text(_data(rows), encoding="ascii")
    return Site(pages.count + 1, shelf.num_pictures, shelf.num_bytes, shelf.missing)


def _compared(store: Store, report: Report, parts: Sequence[ModelPart]) -> Iterable[Comparison]:
    """The models two by two, as long as there are few."""
    prefix = report.rule.fair if report.rule else 1
    sides = [Audited(store, part.finding.model, report.checker, prefix) for part in parts]
    couples = itertools.islice(itertools.combinations(sides, 2), COMPARED)
    return [compare(*couple, threshold=report.threshold) for couple in couples]


def _data(rows: Iterable[PaintedPair]) -> str:
    """Every picture for the grid, as a script: a page from the disk may read nothing else."""
    prompts: dict[str, int] = {}
    pages: list[str] = []
    models: dict[str, int] = {}
    pictures = []
    for row in rows:
        prompt = letters.visible(row.found.pair.prompt)
        if row.page not in prompts:
            prompts[row.page] = len(pages)
            pages.append(prompt)
        models.setdefault(row.model, len(models))
        for one in row.pictures:
            right = {True: 1, False: 0, None: 2}[one.is_right]
            pictures.append(
                [
                    one.file,
                    prompts[row.page],
                    models[row.model],
                    one.seed,
                    right,
                    letters.visible(one.caption),
                    one.key,
                    letters.visible(_words_of(one.noted)),
                ]
            )
    found = {
        "prompts": pages,
        "pages": list(prompts),
        "models": list(map(letters.visible, models)),
        "pictures": pictures,
    }
    return f"window.SITE = {json.dumps(found, separators=(',', ':'))};\n"


def _words_of(noted: Noted) -> str:
    """All that people left on a picture, in one line."""
    stars = [f"★ {', '.join(noted.stars)}"] if noted.stars else []
    comments = [f"{note.rater}: {' '.join(note.text.split())}" for note in noted.comments]
    return " · ".join((*stars, *noted.tags, *comments))


class _Shelf:
    """Pictures of a site: each file copied once, as the store keeps it."""

    def __init__(
        self, store: Store, folder: Path, noted: Mapping[tuple[About, str], Noted]
    ) -> None:
        self._store = store
        self._folder = folder
        self._noted = noted
        self._files: dict[str, str] = {}
        self.num_pictures = self.num_bytes = self.missing = 0

    def shown(self, found: PairFinding, model: str) -> Iterable[SitePicture]:
        """The pictures of a finding, in the order of their seeds."""
        drawn = self._store.renders_of(item.spec_key for item in found.evidence)
        for item, verdict in zip(found.evidence, found.judgement.verdicts, strict=True):
            render = drawn[item.spec_key][1]
            yield self._shown(item, verdict, found.pair, model, render.sha256, render.refusal)

    def changes(self, found: RepairFinding) -> Iterable[tuple[SitePicture, SitePicture]]:
        """Before and after of a repair, seed by seed."""
        both = [key for one in found.pictures for key in (one.before.spec_key, one.after.spec_key)]
        drawn = self._store.renders_of(both)
        for one in found.pictures:
            sides = ((one.before, one.was, "before"), (one.after, one.now, "after"))
            before, after = (
                self._shown(
                    item,
                    verdict,
                    found.pair,
                    name,
                    drawn[item.spec_key][1].sha256,
                    drawn[item.spec_key][1].refusal,
                )
                for item, verdict, name in sides
            )
            yield before, after

    def discordant(self, found: Comparison) -> list[tuple[Any, SitePicture, SitePicture]]:
        """Of each pair on which two models differ, one seed on which they do."""
        names = words.two_names(found.first, found.second)
        rows = []
        for one in found.discordant[:DISCORDANT]:
            first_right = bool(one.only_first)
            files = (one.only_first or one.only_second)[0]
            first, second = (
                SitePicture(
                    self._copied(Path(file).stem) if file else "",
                    "right" if right else "wrong",
                    right,
                    name,
                    0,
                    "",
                    "" if file else "refused by the model",
                )
                for file, name, right in zip(
                    files, names, (first_right, not first_right), strict=True
                )
            )
            rows.append((one, first, second))
        return rows

    def _shown(
        self,
        item: Evidence,
        verdict: Verdict,
        pair: ConceptPair,
        model: str,
        sha256: str,
        refusal: str,
    ) -> SitePicture:
        file = "" if refusal else self._copied(sha256)
        said = words.verdict(verdict, pair)
        seen = ", ".join(filter(None, (item.intruder_a, item.intruder_b)))
        caption = f"{said}; seen as {seen}" if seen and verdict is not Verdict.ALIGNED else said
        reason = refusal and f"refused by the model: {refusal}"
        if not file and not refusal:
            reason = "the file of this picture is missing or damaged"
        is_right = verdict is Verdict.ALIGNED if verdict.is_scored else None
        key = words.short_key(item.spec_key)
        noted = self._noted.get((About.PICTURE, item.spec_key), notes.NOTHING)
        return SitePicture(file, caption, is_right, model, item.seed, key, reason, noted)

    def _copied(self, sha256: str) -> str:
        if sha256 not in self._files:
            self._files[sha256] = self._copy(sha256)
        return self._files[sha256]

    def _copy(self, sha256: str) -> str:
        """Where it lies in the site. Bytes are copied as they are; pixels are not looked at."""
        name = f"pictures/{sha256[:2]}/{sha256}.webp"
        place = self._folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(self._store.image_path(sha256), place)
        except FileNotFoundError:
            self.missing += 1
            return ""
        with place.open("rb") as file:
            head = file.read(12)
        if not (head.startswith(b"RIFF") and head.endswith(b"WEBP")):
            place.unlink()
            self.missing += 1
            return ""
        self.num_pictures += 1
        self.num_bytes += place.stat().st_size
        return name


class _Pages:
    """Writes pages from templates."""

    def __init__(self, folder: Path, report: Report, parts: Sequence[ModelPart]) -> None:
        self._folder = folder
        self._shared: Mapping[str, Any] = {
            "report": report,
            "parts": parts,
            "version": __version__,
            "Decision": Decision,
            "Verdict": Verdict,
        }
        self.count = 0

    def write(self, name: str, template: str, **told: Any) -> None:
        """One page; ``up`` leads from it to the folder of the site."""
        path = self._folder / name
        path.parent.mkdir(exist_ok=True)
        up = "../" * name.count("/")
        page = _environment().get_template(f"{template}.html.j2")
        path.write_text(page.render(up=up, here=name, **self._shared, **told), encoding="utf-8")
        self.count += 1


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = environment_of("lcmis.export.site")
    environment.filters.update(
        missing=words.missing,
        level=words.level,
        short_name=words.short_name,
        page_of=page_of,
        in_short=short.model,
        outcome=lambda found: words.outcome(
            passed=found.certificate.passed, proved=found.standing.proved
        ),
        in_words=lambda found: words.compared(found, *words.two_names(found.first, found.second)),
        names=lambda found: words.two_names(found.first, found.second),
    )
    return environment
