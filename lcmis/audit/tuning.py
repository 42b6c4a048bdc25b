"""Which ways of computing pay on this machine: each measured beside the usual one, and kept."""

from __future__ import annotations

import dataclasses
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from PIL.Image import Image
from tomlkit import TOMLDocument
from tomlkit.exceptions import TOMLKitError

from lcmis.audit.config import read_toml
from lcmis.check import questions_for
from lcmis.errors import ConfigError, RenderError
from lcmis.machine.device import choose_device, has_bfloat16, num_cores
from lcmis.machine.files import replacing
from lcmis.plugins.opening import open_model
from lcmis.plugins.optional import sketch_of
from lcmis.plugins.protocols import Checker, ImageModel
from lcmis.plugins.settings import ModelSettings
from lcmis.render import draw
from lcmis.types import ConceptPair, Question, RenderSpec, Stage

PAYS = 1.03
"""How many times as fast a way must be to be taken; less is noise."""
ROUNDING = "N"
"""Class of what keeps the mathematics and changes the rounding."""
EXACT = "E"
"""Class of what changes no bit."""
LOSSY = "L"
"""Class of what draws another picture: it may search, and proves nothing."""
SEARCHED_BY = {"cache": ("first-block:0.12", "taylor-seer:5"), "search_dtype": ("float8",)}
"""Settings by which only searches are drawn, and what is tried where the user has set none."""


@dataclass(frozen=True, slots=True)
class Computing:
    """Settings of a model that are tried together."""

    name: str
    settings: Mapping[str, Any]

    @property
    def is_lossy(self) -> bool:
        """Whether only searches are drawn so."""
        return not SEARCHED_BY.keys().isdisjoint(self.settings)


@dataclass(frozen=True, slots=True)
class MeasuredWay:
    """One way of computing, beside the usual one on the same machine in the same minutes."""

    way: Computing
    profile: str
    pictures_per_second: float
    ratio: float
    """How many times as fast as the usual way, drawn just before and just after it."""
    first_seconds: float
    """Of the first batch: what loading and compiling cost once."""
    equal: int
    """Pictures of which no bit is another."""
    pictures: int
    largest: int
    """The largest difference of a pixel's value, of 255."""
    turned: int
    """Answers to whether a concept is there that are on the other side of the threshold."""
    answers: int
    """How many were asked; 0 without a checker."""
    refusal: str = ""
    """Why this way cannot be gone here; then nothing was measured."""

    @property
    def kind(self) -> str:
        """``L`` of what only searches are drawn by; else ``E`` where no bit of any picture changed,
        and ``N`` where one did.
        """
        if self.way.is_lossy:
            return LOSSY
        return EXACT if self.equal == self.pictures else ROUNDING


def ways_of(
    settings: ModelSettings, device: str, batch_size: int, *, compiled: bool
) -> list[Computing]:
    """What is tried on a kind of device, that which most often pays first.

    Args:
        settings: the user's; what they set is not tried otherwise.
        device: on which the model draws.
        batch_size: of the model as it is.
        compiled: whether to try what takes minutes to compile.
    """
    ways = [Computing("channels_last", {"channels_last": True})]
    if device == "cpu":
        ways += [Computing("vae_decoding = sliced", {"vae_decoding": "sliced"})]
        if has_bfloat16():
            ways += [Computing("dtype = bfloat16", {"dtype": "bfloat16"})]
        if (half := num_cores() // 2) > 0:  # two batches are measured, and so drawn side by side
            ways += [Computing(f"threads = {half}", {"threads": half})]
    else:
        ways += [
            Computing("attention_backend = _native_cudnn", {"attention_backend": "_native_cudnn"}),
        ]
    if compiled:
        ways += [
            Computing("compiled = regional", {"compiled": "regional"}),
            Computing(
                "compiled = whole, VAE too", {"compiled": "whole", "vae_decoding": "compiled"}
            ),
        ]
    ways += [
        Computing(f"batch_size = {size}", {"batch_size": size})
        for size in (2 * batch_size, batch_size // 2)
        if size
    ]
    usual = ModelSettings(settings.name)
    return [
        way
        for way in ways
        if all(getattr(settings, name) == getattr(usual, name) for name in way.settings)
    ]


class Tuning:
    """Measures one model on this machine.

    Args:
        settings: as the user has them.
        pairs: whose prompts are drawn, turn by turn.
        checker: asked of all pictures whether the concepts are there; None asks nothing.
        threshold: from which score on one is.
        compiled: whether to try what takes minutes to compile.
        seconds: after which no further way is tried.
        clock: gives seconds.

    Raises:
        UserError: the model cannot be opened.
    """

    def __init__(
        self,
        settings: ModelSettings,
        pairs: Sequence[ConceptPair],
        checker: Checker | None = None,
        *,
        threshold: float = 0.5,
        compiled: bool = True,
        seconds: float = 600.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.settings = settings
        self._pairs, self._checker, self._threshold = pairs, checker, threshold
        self._compiled, self._seconds, self._clock = compiled, seconds, clock
        self._usual = open_model(settings)
        self._asked: list[list[bool | None]] = []
        self.untried: list[Computing] = []
        """What there was no time for."""

    def measure(self) -> Iterator[MeasuredWay]:
        """Every way by itself, then all together that paid, then what only searches are drawn by;
        the usual way comes first.
        """
        started = self._clock()
        device = choose_device(self.settings.device).partition(":")[0]
        count = 2 * self._usual.batch_size
        reference, first = self._timed(self._usual, count)
        pictures, seconds = self._timed(self._usual, count)
        self._asked = self._answers(pictures)
        yield self._told(
            Computing("as it is", {}), self._usual, reference, pictures, [1.0], seconds, first
        )
        paid: dict[str, Any] = {}
        ways = ways_of(self.settings, device, self._usual.batch_size, compiled=self._compiled)
        self.untried = [way for way in ways if not self._is_usual(way)]

        def is_late() -> bool:
            return self._clock() - started > self._seconds

        while self.untried and not is_late():
            way = self.untried.pop(0)
            found = self._try(way, reference, count)
            yield found
            if found.ratio >= PAYS and not any(name in paid for name in way.settings):
                paid |= way.settings
        if len(paid) > 1:
            self.untried.append(Computing("together", paid))
        self.untried += self._lossy(device)
        while self.untried and not is_late():
            yield self._try(self.untried.pop(0), reference, count)

    def _is_usual(self, way: Computing) -> bool:
        """Whether the model computes so already."""
        try:
            model = open_model(dataclasses.replace(self.settings, **way.settings))
        except ConfigError:
            return False  # why not is told when it is tried
        usual, other = (self._spec(one, 0, lossy=False).profile for one in (self._usual, model))
        return usual == other

    def _lossy(self, device: str) -> Iterator[Computing]:
        """What the user has set, else what is often taken where that can act and gain anything."""
        for setting, usual in SEARCHED_BY.items():
            said = getattr(self.settings, setting)
            gains = setting != "search_dtype" or device != "cpu"
            for value in [said] if said else usual if gains else ():
                alone = {**dict.fromkeys(SEARCHED_BY), setting: value}
                way = Computing(f"{setting} = {value}", alone)
                try:
                    open_model(dataclasses.replace(self.settings, **way.settings))
                except ConfigError:
                    continue
                yield way

    def _try(self, way: Computing, reference: Sequence[Image], count: int) -> MeasuredWay:
        try:
            model = open_model(dataclasses.replace(self.settings, **way.settings))
            _, first = self._timed(model, model.batch_size, lossy=way.is_lossy)
        except ConfigError as error:
            return MeasuredWay(way, "", 0.0, 0.0, 0.0, 0, 0, 0, 0, 0, str(error))
        _, before = self._timed(self._usual, count)
        pictures, once = self._timed(model, count, lossy=way.is_lossy)
        _, twice = self._timed(model, count, lossy=way.is_lossy)
        _, after = self._timed(self._usual, count)
        ratios = [before / once, after / twice]
        return self._told(way, model, reference, pictures, ratios, (once + twice) / 2, first)

    def _told(
        self,
        way: Computing,
        model: ImageModel,
        reference: Sequence[Image],
        pictures: Sequence[Image],
        ratios: Sequence[float],
        seconds: float,
        first: float,
    ) -> MeasuredWay:
        import numpy as np

        gaps = [
            int(np.abs(np.asarray(one, dtype=np.int16) - np.asarray(other, dtype=np.int16)).max())
            for one, other in zip(reference, pictures, strict=True)
        ]
        answers = self._answers(pictures)
        both = [
            (one, other)
            for before, now in zip(self._asked, answers, strict=True)
            for one, other in zip(before, now, strict=True)
            if one is not None and other is not None
        ]
        return MeasuredWay(
            way=way,
            profile=self._spec(model, 0, lossy=way.is_lossy).profile,
            pictures_per_second=len(pictures) / seconds,
            ratio=sum(ratios) / len(ratios),
            first_seconds=first,
            equal=gaps.count(0),
            pictures=len(pictures),
            largest=max(gaps),
            turned=sum(one != other for one, other in both),
            answers=len(both),
        )

    def _spec(self, model: ImageModel, place: int, *, lossy: bool) -> RenderSpec:
        pair = self._pairs[place % len(self._pairs)]
        spec = model.spec((Stage(pair.prompt),), place)
        return sketch_of(model, spec) if lossy else spec

    def _timed(
        self, model: ImageModel, count: int, *, lossy: bool = False
    ) -> tuple[list[Image], float]:
        specs = [self._spec(model, place, lossy=lossy) for place in range(count)]
        started = self._clock()
        drawn = draw(model, specs)
        seconds = self._clock() - started
        failed = next((one for one in drawn if isinstance(one, RenderError)), None)
        if failed is not None:
            raise ConfigError(f"{model.model_id} cannot be measured: {failed}")
        return [one for one in drawn if not isinstance(one, RenderError)], seconds

    def _answers(self, pictures: Sequence[Image]) -> list[list[bool | None]]:
        """Of each picture, whether each of its concepts is there; None where nothing was said."""
        if self._checker is None:
            return [[] for _ in pictures]
        checker = self._checker
        asked: list[tuple[Image, Question]] = []
        counts = []
        for place, picture in enumerate(pictures):
            pair = self._pairs[place % len(self._pairs)]
            questions = [
                one
                for one in questions_for(checker, pair)
                if one.kind.value.endswith("present") and checker.takes(one)
            ]
            counts.append(len(questions))
            asked += [(picture, question) for question in questions]
        given = iter(checker.score([one for one, _ in asked], [other for _, other in asked]))
        return [
            [
                None if answer.value is None else answer.value >= self._threshold
                for _ in range(count)
                for answer in next(given)
            ]
            for count in counts
        ]


def best_of(found: Sequence[MeasuredWay]) -> MeasuredWay:
    """The fastest way that pays and draws the model's own pictures; the usual one, which is the
    first, where none does.
    """
    paying = [one for one in found[1:] if one.ratio >= PAYS and one.kind != LOSSY]
    return max(paying, key=lambda one: one.ratio, default=found[0])


# ── into a file ──────────────────────────────────────────────────────────────────────────────────


def lines_of(settings: Mapping[str, Any]) -> list[str]:
    """Settings as a file of TOML spells them."""
    spelled = {True: "true", False: "false"}
    return [
        f"{name} = {spelled[value] if isinstance(value, bool) else _quoted(value)}"
        for name, value in settings.items()
    ]


def refuse_unwritable(path: Path, names: Iterable[str]) -> None:
    """Check, before anything is measured, that what pays could be written there.

    Raises:
        ConfigError: as :func:`write_settings`, of any of these models.
    """
    told, _, _ = _parsed(path)
    for name in names:
        _place_of(name, told, path)
    with replacing(path) as draft:
        draft.unlink()


def write_settings(path: Path, name: str, settings: Mapping[str, Any]) -> None:
    """Put settings under a model's name in an audit.toml; all else in it stays as it is.

    Raises:
        ConfigError: the file is no TOML, does not name the model in one table of its own, or cannot
            be written; it is then as it was.
    """
    told, document, ends = _parsed(path)
    place = _place_of(name, told, path, settings)
    told["models"][place] |= settings
    table = document["models"][place]
    for setting, value in settings.items():
        table[setting] = value
    written = document.as_string().replace("\n", ends)
    if _said(written) != told:
        raise ConfigError(
            f"{path} is laid out so that nothing can be added safely, and is left as it was: put "
            f"these lines under {name!r} yourself: {'; '.join(lines_of(settings))}"
        )
    with replacing(path) as draft:
        draft.write_bytes(written.encode())


def _parsed(path: Path) -> tuple[dict[str, Any], TOMLDocument, str]:
    """What a file says, its layout with plain ends of lines, and how its own lines end."""
    told = read_toml(path)
    text, ends = path.read_bytes().decode(), "\n"
    if text.count("\r\n") == text.count("\n") > 0:
        text, ends = text.replace("\r\n", "\n"), "\r\n"
    try:
        return told, tomlkit.parse(text), ends
    except TOMLKitError as error:
        raise ConfigError(f"{path} is no valid TOML: {error}; mend that line") from error


def _said(text: str) -> dict[str, Any] | None:
    """What a text says; None where it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _place_of(
    name: str, told: Mapping[str, Any], path: Path, settings: Mapping[str, Any] | None = None
) -> int:
    """Of a model's table among all of them."""
    models = told.get("models", [])
    listed = models if isinstance(models, list) else []
    named = [
        place
        for place, one in enumerate(listed)
        if isinstance(one, dict) and one.get("name") == name
    ]
    if len(named) == 1:
        return named[0]
    lines = f", with these lines in it: {'; '.join(lines_of(settings))}" if settings else ""
    if named:
        raise ConfigError(
            f'{path} has {len(named)} tables [[models]] with name = "{name}": leave one{lines}'
        )
    raise ConfigError(f'{path} has no table [[models]] with name = "{name}": write one{lines}')


def _quoted(value: Any) -> str:
    return str(value) if isinstance(value, int | float) else f'"{value}"'
