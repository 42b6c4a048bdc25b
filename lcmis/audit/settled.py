"""An audit that has nothing left to do, remembered beside its store with what it concluded.

What is left to do is the plan minus the store, and both may be large. Here the two are named
instead: the plan by all that it is made from, the store by how much it holds. While neither has
changed, nothing is missing and what was concluded stands; where anything has, the file means
nothing, and all is worked out again. It is no fact: whoever deletes it loses a few seconds.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcmis.audit.provenance import withheld_settings
from lcmis.errors import ConfigError, ItemError, StoreError
from lcmis.findings.summary import ModelSummary
from lcmis.machine.files import replacing
from lcmis.machine.paths import shipped
from lcmis.machine.versions import versions
from lcmis.plugins.settings import AuditSettings
from lcmis.propose.formats.outcomes import SetRead
from lcmis.store import Growth, Store
from lcmis.types import Stage

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from lcmis.plugins.protocols import Checker, ImageModel

WORST = 12
"""Pairs of a model that a table shows."""


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """What an audit concludes, as its closing tables show it."""

    models: tuple[ModelSummary, ...]
    checkers: tuple[str, ...]
    """The first one decided."""
    drawn: int
    """Pictures drawn by this run."""
    seconds: float
    failures: int
    """Items that failed in this run and have not succeeded since."""
    spent: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FirstPicture:
    """The first picture of a model's plan: its key names steps, size and numerics profile too."""

    prompt: str
    spec_key: str


@dataclass(frozen=True, slots=True)
class Settled:
    """That nothing of a plan is missing from a store."""

    made_from: str
    """A hash of all that the plan and what is concluded follow from."""
    probes: tuple[FirstPicture, ...]
    """One a model, in their order."""
    run_id: str
    """A run that this very database knows."""
    growth: Growth
    """As :func:`growth_of` has it."""
    summary: AuditSummary
    sets: tuple[SetRead, ...]
    """Other people's sets among the pairs."""


def recall(config: AuditSettings, store: Store) -> Settled | None:
    """What was remembered of this audit, as far as the store tells whether it still holds; no
    picture's row is read for it.
    """
    file = _file(config, store)
    if file is None or not file.exists():
        return None
    try:
        said = _adapter().validate_json(file.read_bytes())
    except (OSError, ValueError):  # another lcmis's, or nobody's: all is worked out again
        return None
    return said if said.growth == growth_of(store) and store.has_run(said.run_id) else None


def is_of(
    settled: Settled,
    config: AuditSettings,
    models: Sequence[ImageModel],
    checkers: Sequence[Checker],
) -> bool:
    """Whether the plan is still made from the same."""
    prompts = [one.prompt for one in settled.probes]
    return settled.made_from == made_from(config, models, checkers) and (
        settled.probes == probes(config, models, prompts)
    )


def remember(config: AuditSettings, store: Store, settled: Settled) -> None:
    """Keep it for the next run; where there is no place for it, that one works all out again."""
    file = _file(config, store)
    text = _adapter().dump_json(settled)
    if file is not None and _adapter().validate_json(text) == settled:
        try:
            with replacing(file) as draft:
                draft.write_bytes(text)
        except ConfigError:
            return  # a full disk is told of where facts are written


def made_from(
    config: AuditSettings, models: Sequence[ImageModel], checkers: Sequence[Checker]
) -> str:
    """Name all that decides what is planned and concluded, but for the store: settings, files of
    pairs, plugins, and the code that reads them.
    """
    digest = hashlib.sha256()
    for part in (
        withheld_settings(config),
        *(_content(Path(name)) for name in config.pairs),
        *(model.model_id for model in models),
        *(checker.checker_id for checker in checkers),
        json.dumps(versions(), sort_keys=True),
        *_code([*models, *checkers]),
    ):
        digest.update(f"{len(part)}:{part}".encode(errors="surrogatepass"))
    return digest.hexdigest()


def probes(
    config: AuditSettings, models: Sequence[ImageModel], prompts: Sequence[str]
) -> tuple[FirstPicture, ...] | None:
    """The first picture that each model would be asked for; None where one cannot be."""
    if len(prompts) != len(models):
        return None
    found = []
    for model, prompt in zip(models, prompts, strict=True):
        try:
            found.append(FirstPicture(prompt, model.spec((Stage(prompt),), config.first_seed).key))
        except ItemError:
            return None
    return tuple(found)


def growth_of(store: Store) -> Growth:
    """How much the store holds, but for runs and who worked in them: they are no part of a plan."""
    return dataclasses.replace(store.growth(), runs=0, shifts=0)


def _file(config: AuditSettings, store: Store) -> Path | None:
    try:
        folder = store.folder
    except StoreError:
        return None
    mark = hashlib.sha256(withheld_settings(config).encode(errors="surrogatepass")).hexdigest()
    return folder / f"settled-{mark[:16]}.json"


def _content(file: Path) -> str:
    """Of a file of pairs; a catalogue that we ship is part of the code."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _code(plugins: Iterable[Any]) -> Iterable[str]:
    """Every file of ours and of the plugins' modules, with its size and time."""
    package = Path(__file__).resolve().parents[1]
    files = [*package.rglob("*.py"), *shipped("data").glob("*.toml")]
    files += shipped("data").glob("pairs/*")
    for plugin in plugins:
        module = sys.modules.get(type(plugin).__module__)
        files += [Path(module.__file__)] if module is not None and module.__file__ else []
    for file in sorted(set(files)):
        told = file.stat()
        yield f"{file} {told.st_size} {told.st_mtime_ns}"


@cache
def _adapter() -> TypeAdapter[Settled]:
    from pydantic import TypeAdapter

    return TypeAdapter(Settled)
