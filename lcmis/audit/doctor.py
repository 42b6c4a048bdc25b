"""Is this machine fit: versions, device, memory, checkers on known pictures, equal bits."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import permutations
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw

from lcmis.errors import CheckError
from lcmis.machine.versions import REPORTED_PACKAGES
from lcmis.plugins import registry
from lcmis.plugins.opening import open_checker, open_model
from lcmis.plugins.optional import notes_of, way_of
from lcmis.plugins.protocols import Checker, ImageModel, KnownCase
from lcmis.plugins.settings import AuditSettings, CheckerSettings
from lcmis.render import draw
from lcmis.render.proved import Proved
from lcmis.render.rows import MOST_PINNED, pins_rows
from lcmis.types import Question, QuestionKind, RenderSpec, Stage

SAFE_SQLITE = (3, 51, 3)
"""Before it, two connections that write at one moment can, very rarely, corrupt a WAL database."""

MISTAKES_ALLOWED = 0.1
"""Share of known pictures that a checker may get wrong and still count as working."""

BIT_EQUAL = "pictures are bit-equal"
"""What is asked of a model once."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one examination found."""

    name: str
    state: Literal["ok", "note", "fault"]
    sentence: str


def examine(config: AuditSettings, folder: Path) -> Iterator[Finding]:
    """Examine the machine, then every checker and model of a configuration, one finding each."""
    yield from _versions()
    yield _memory()
    yield _disk(folder)
    yield _device()
    for settings in config.checkers:
        checker = open_checker(settings)
        yield check_known_cases(checker, _known_cases(settings))
        if way_of(checker):
            yield Finding(checker.checker_id, "ok", way_of(checker))
    for model_settings in config.models:
        model = open_model(model_settings)
        for sentence in notes_of(model):
            yield Finding(model.model_id, "note", sentence)
        yield check_batches(model)


def _versions() -> Iterator[Finding]:
    names = ", ".join(f"{name} {version(name)}" for name in REPORTED_PACKAGES)
    yield Finding("versions", "ok", f"Python {sys.version.split()[0]}, {names}")
    found = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < SAFE_SQLITE:
        yield Finding(
            "database",
            "note",
            f"SQLite {found} is sound for one audit at a time; for several writers at once use "
            f"PostgreSQL, or Python with SQLite {'.'.join(map(str, SAFE_SQLITE))} or newer",
        )
    else:
        yield Finding("database", "ok", f"SQLite {found}")


def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available / 2**30
    state: Literal["ok", "note"] = "ok" if free >= 2 else "note"
    return Finding(
        "memory", state, f"{free:.1f} GiB free; large models want offload=model below 16"
    )


def _disk(folder: Path) -> Finding:
    place = next(p for p in (folder.resolve(), *folder.resolve().parents) if p.exists())
    free = shutil.disk_usage(place).free / 2**30
    if free < 1:
        return Finding(
            "disk", "fault", f"{free:.1f} GiB free at {place}: make room before an audit"
        )
    return Finding("disk", "ok", f"{free:.0f} GiB free at {place}, about 1 MiB a picture of 1024²")


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        return Finding("device", "ok", f"{card.name}, {card.total_memory / 2**30:.0f} GiB")
    if torch.backends.mps.is_available():
        return Finding("device", "ok", "Apple GPU (mps)")
    threads = torch.get_num_threads()
    return Finding("device", "note", f"no GPU: {threads} CPU threads, enough for small models only")


# ── checkers on pictures whose truth is known ────────────────────────────────────────────────────


def check_known_cases(checker: Checker, cases: Sequence[KnownCase]) -> Finding:
    """Ask a checker what is known: the right side of 0.5 in nine of ten, or it is at fault."""
    asked = [case for case in cases if checker.takes(case.question)]
    try:
        answers = checker.score([case.picture for case in asked], [case.question for case in asked])
    except CheckError as error:
        return Finding(checker.checker_id, "fault", str(error))
    right = abstained = 0
    for case, (answer,) in zip(asked, answers, strict=True):
        if answer.value is None:
            abstained += 1
        else:
            right += (answer.value >= 0.5) == case.holds
    silent = f", {abstained} unanswered" if abstained else ""
    sentence = f"{right} of {len(asked)} known pictures read rightly{silent}"
    if right < (1 - MISTAKES_ALLOWED) * len(asked):
        return Finding(
            checker.checker_id, "fault", f"{sentence}: do not trust its rates; try another checker"
        )
    return Finding(checker.checker_id, "ok", sentence)


def _known_cases(settings: CheckerSettings) -> list[KnownCase]:
    """Cases from the checker's own world where it names one, else plain shapes."""
    kind = settings.kind if settings.kind in registry.names("known_cases") else "vqa"
    return list(registry.load("known_cases", kind)())


def shapes() -> Iterator[KnownCase]:
    """A coloured shape on white, asked for by its own name and by another's.

    Simple enough for every checker that is worth its name.
    """
    names = ("red circle", "blue square", "green triangle")
    for shown, other in permutations(names, 2):
        for asked, holds in ((shown, True), (other, False)):
            contrast = tuple(
                f"a {name} on a white background" for name in (asked, _else(asked, shown, other))
            )
            yield KnownCase(
                _shape(shown), Question(QuestionKind.A_PRESENT, asked, contrast=contrast), holds
            )


def _else(asked: str, shown: str, other: str) -> str:
    return other if asked == shown else shown


def _shape(name: str, size: int = 256) -> Image.Image:
    colour, shape = name.split()
    picture = Image.new("RGB", (size, size), "white")
    pen = ImageDraw.Draw(picture)
    low, middle, high = size // 5, size // 2, size - size // 5
    outlines = {
        "circle": lambda: pen.ellipse((low, low, high, high), fill=colour),
        "square": lambda: pen.rectangle((low, low, high, high), fill=colour),
        "triangle": lambda: pen.polygon(((middle, low), (high, high), (low, high)), fill=colour),
    }
    outlines[shape]()
    return picture


# ── models, bit for bit ──────────────────────────────────────────────────────────────────────────


def check_batches(model: ImageModel) -> Finding:
    """Draw pictures alone and together, in another order: the bits must not care.

    What held is kept on this machine, and not asked again while model, profile, device and packages
    are the same; see :class:`lcmis.render.proved.Proved`.
    """
    specs = _examined(model)
    proved = Proved(model.model_id, specs[0].profile)
    kept = proved.get(BIT_EQUAL)
    if kept is not None:
        return Finding(model.model_id, "ok", f"{kept}, as was proved before on this machine")
    together = draw(model, specs)
    reverse = list(reversed(draw(model, list(reversed(specs)))))
    alone = [draw(model, [spec])[0] for spec in specs]
    failed = [item for item in (*together, *reverse, *alone) if isinstance(item, Exception)]
    if failed:
        return Finding(model.model_id, "fault", f"could not draw: {failed[0]}")
    bits = [
        [item.tobytes() for item in drawn if isinstance(item, Image.Image)]
        for drawn in (together, reverse, alone)
    ]
    if bits[0] == bits[1] == bits[2]:
        staged = ", stages among them" if len(specs[-1].stages) > 1 else ""
        sentence = (
            f"pictures are bit-equal alone, together and in any order{staged} ({specs[0].profile})"
        )
        proved.keep(BIT_EQUAL, sentence)
        return Finding(model.model_id, "ok", sentence)
    pinned = pins_rows(specs[0].device, MOST_PINNED) and model.batch_size > MOST_PINNED
    instead = f"{MOST_PINNED}, where its place follows from its seed" if pinned else "1"
    return Finding(
        model.model_id,
        "fault",
        f"a picture depends on its neighbours or its place under {specs[0].profile}: run with "
        f"--batch {instead}",
    )


def _examined(model: ImageModel) -> list[RenderSpec]:
    """Two pictures of one prompt, one of another, and one of both where prompts can be switched;
    where batches are drawn here, as many more as fill one, so that every row is tried.
    """
    circle, both = Stage("a red circle"), Stage("a blue square beside a green triangle")
    specs = [model.spec((circle,), 0), model.spec((circle,), 1), model.spec((both,), 2)]
    if model.supports_stages:
        specs.append(model.spec((Stage(circle.prompt, 0.5), both), 0))
    if specs[0].device in ("cpu", "cuda", "mps"):
        specs += [model.spec((circle,), seed) for seed in range(len(specs), model.batch_size)]
    return specs
