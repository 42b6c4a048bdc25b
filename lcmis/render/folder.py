"""Pictures made elsewhere: a folder, and a manifest that says which prompt each one answers."""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError, RenderError
from lcmis.machine.hub import file_digest, safe_name
from lcmis.machine.pictures import (
    BROKEN,
    IMPORTED,
    MANIFESTS,
    TooLargeError,
    UnscaledError,
    flat,
    opened,
    upright_size,
    within,
)
from lcmis.plugins.settings import ModelSettings
from lcmis.render.unfollowed import unfollowed
from lcmis.text.words import lines, plain
from lcmis.types import RenderSpec, Stage

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a manifest."""

    file: str
    """Path relative to the folder."""
    prompt: str
    seed: int | None


class FolderModel:
    """Hands out pictures that another program has made, as if it drew them.

    The folder holds ``manifest.csv`` or ``manifest.jsonl`` with the fields ``file``, ``prompt``
    and, if known, ``seed``; a manifest of another name, such as an import leaves, stands for its
    folder. With seeds, a picture is found by its prompt and seed; without, seed i
    asks for the i-th picture of that prompt, counted from 0 in the order of the manifest.

    Raises:
        ConfigError: no folder, no manifest or two, a line that cannot be understood, a file that is
            missing or lies outside the folder, or settings that only a model could follow.
    """

    supports_stages = False
    batch_size = 16

    def __init__(self, settings: ModelSettings) -> None:
        place = Path(settings.name).expanduser()
        folder = place.parent if place.is_file() else place
        if not folder.is_dir():
            raise ConfigError(f"there is no folder {settings.name!r} with pictures: check the path")
        _refuse_drawing_settings(settings)
        self._folder = folder.resolve()
        manifest = self._folder / place.name if place.is_file() else _manifest(self._folder)
        entries = _read(manifest)
        self.supports_seeds = all(entry.seed is not None for entry in entries)
        if not self.supports_seeds and any(entry.seed is not None for entry in entries):
            raise ConfigError(
                f"{manifest} gives a seed for some pictures only: give one for each, or for none"
            )
        self._files = _by_prompt(entries, manifest)
        for entry in entries:
            self._path(entry.file)
        name = safe_name(self._folder.name)
        if manifest.name not in (*MANIFESTS, IMPORTED):  # several models may share a folder
            name += f"-{safe_name(manifest.name.removesuffix(f'.{IMPORTED}'))}"
        self.model_id = f"folder:{name}@{_content_hash(self._folder, manifest, entries)}"
        self._size = lru_cache(maxsize=None)(self._read_size)

    def spec(self, stages: tuple[Stage, ...], seed: int) -> RenderSpec:
        """The specification under which one picture of the folder is known.

        Raises:
            RenderError: the folder has no picture of this prompt and seed, or it cannot be read.
        """
        if len(stages) != 1:
            raise RenderError(f"{self.model_id} holds finished pictures: it cannot switch prompts")
        height, width = self._size(self._find(stages[0].prompt, seed))
        return RenderSpec(
            model=self.model_id,
            stages=stages,
            seed=seed,
            num_inference_steps=1,
            guidance_scale=0.0,
            scheduler="none",
            height=height,
            width=width,
            profile="file",
            device="file",
        )

    def generate(self, specs: Sequence[RenderSpec]) -> list[Image | RenderError]:
        """Open every picture, as :func:`~lcmis.machine.pictures.flat` makes it, or say why not."""
        return [self._open(spec) for spec in specs]

    def _find(self, prompt: str, seed: int) -> str:
        files = self._files.get(plain(prompt))
        if files is None:
            near = difflib.get_close_matches(prompt, self._files, n=1)
            hint = f"; the nearest is {near[0]!r}" if near else ""
            raise RenderError(f"{self.model_id} has no picture of {prompt!r}{hint}")
        if seed not in files:
            raise RenderError(
                f"{self.model_id} has {len(files)} pictures of {prompt!r} (seeds {min(files)} to "
                f"{max(files)}), and none of seed {seed}"
            )
        return files[seed]

    def _path(self, file: str) -> Path:
        path = within(self._folder, file).resolve()
        if not path.is_relative_to(self._folder):
            raise ConfigError(
                f"the manifest of {self._folder.name} names {file!r}, which lies outside the "
                f"folder: copy the picture into it"
            )
        if not path.is_file():
            raise ConfigError(
                f"the manifest of {self._folder.name} names {file!r}, which does not exist: "
                f"add the file or take the line out"
            )
        return path

    def _read_size(self, file: str) -> tuple[int, int]:
        with self._opened(file) as picture:
            return upright_size(picture)

    def _open(self, spec: RenderSpec) -> Image | RenderError:
        try:
            file = self._find(spec.prompt, spec.seed)
            with self._opened(file) as picture:
                return flat(picture)
        except RenderError as error:
            return error
        except UnscaledError as error:
            return RenderError(f"{self.model_id}: {file} {error}")
        except BROKEN as error:
            return RenderError(f"{self.model_id}: {file} is damaged ({error})")

    def _opened(self, file: str) -> Image:
        try:
            return opened(self._path(file))
        except TooLargeError as error:
            raise RenderError(f"{self.model_id}: {file} {error}: make it smaller") from error
        except BROKEN as error:
            raise RenderError(f"{self.model_id}: {file} is no picture ({error})") from error


def _refuse_drawing_settings(settings: ModelSettings) -> None:
    if setting := unfollowed(settings, "height", "width"):
        raise ConfigError(
            f"{settings.name} holds finished pictures, so {setting} can change nothing: "
            f"leave it out"
        )


def _manifest(folder: Path) -> Path:
    found = [folder / name for name in (*MANIFESTS, IMPORTED) if (folder / name).is_file()]
    if len(found) > 1:
        raise ConfigError(
            f"{folder} has {len(found)} manifests: name the one you mean, folder:{found[-1]}"
        )
    if not found:
        raise ConfigError(
            f"{folder} has 0 manifests: run lcmis import --images {folder}, or write one "
            f"{' or '.join(MANIFESTS)} with the fields file, prompt and, if known, seed"
        )
    return found[0]


def _read(manifest: Path) -> list[Entry]:
    try:
        text = manifest.read_text(encoding="utf-8-sig")  # spreadsheets put a mark in front
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{manifest} cannot be read as UTF-8 text: {error}") from error
    entries = []
    for number, fields in _lines(manifest, text):
        file, prompt, seed = fields.get("file"), fields.get("prompt"), fields.get("seed")
        if not isinstance(file, str) or not isinstance(prompt, str) or not file or not prompt:
            raise ConfigError(f"{manifest}, line {number}: file and prompt must both be given")
        entries.append(Entry(file, plain(prompt), _seed(seed, manifest, number)))
    if not entries:
        raise ConfigError(f"{manifest} names no pictures: add a line for each")
    return entries


def _lines(manifest: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    if manifest.suffix == ".csv":
        reader = csv.DictReader(io.StringIO(text, newline=""))
        return [(reader.line_num, row) for row in reader]
    read = []
    for number, line in lines(text):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{manifest}, line {number} is no JSON: {error}") from error
        if not isinstance(fields, dict):
            raise ConfigError(f"{manifest}, line {number} is no JSON object")
        read.append((number, fields))
    return read


def _seed(value: Any, manifest: Path, number: int) -> int | None:
    if value is None or value == "":
        return None
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal() or int(text) >= 2**63:
        raise ConfigError(
            f"{manifest}, line {number}: the seed {value!r} is no whole number in [0, 2**63)"
        )
    return int(text)


def _by_prompt(entries: Sequence[Entry], manifest: Path) -> dict[str, dict[int, str]]:
    files: dict[str, dict[int, str]] = {}
    for entry in entries:
        pictures = files.setdefault(entry.prompt, {})
        seed = len(pictures) if entry.seed is None else entry.seed
        if seed in pictures:
            raise ConfigError(
                f"{manifest} names two pictures of {entry.prompt!r} with seed {seed}: "
                f"keep one of them"
            )
        pictures[seed] = entry.file
    return files


def _content_hash(folder: Path, manifest: Path, entries: Sequence[Entry]) -> str:
    """Twelve hex digits over the manifest and every picture it names."""
    total = hashlib.blake2b(file_digest(manifest), digest_size=6)
    with ThreadPoolExecutor() as pool:
        for digest in pool.map(file_digest, [within(folder, one.file) for one in entries]):
            total.update(digest)
    return total.hexdigest()
