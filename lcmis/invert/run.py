"""From a picture to prompts: every method side by side, judged by an encoder that none of them saw.

From Python::

    from lcmis.check.pictures import open_picture
    from lcmis.invert.run import InversionSettings, invert
    from lcmis.plugins.settings import CheckerSettings, ModelSettings

    settings = InversionSettings(
        ModelSettings("stable-diffusion-v1-5/stable-diffusion-v1-5"),
        guard=CheckerSettings("clip", "ViT-H-14/laion2b_s32b_b79k"),
        guide=CheckerSettings("clip", "ViT-L-14/datacomp_xl_s13b_b90k"),
        methods=("pez",),
    )
    best, *others = invert(open_picture("photo.jpg"), settings)
    print(best.prompt, best.image_similarity)
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lcmis.errors import (
    CheckError,
    ConfigError,
    ItemError,
    OutOfBudget,
    RenderError,
    ServiceClosed,
    TextModelError,
)
from lcmis.machine.budget import Budget, refuse_no_time
from lcmis.plugins import registry
from lcmis.plugins.opening import (
    open_encoder,
    open_inverter,
    open_language_model,
    open_model,
    open_text_model,
    open_writer,
)
from lcmis.plugins.optional import gradients_of, sketch_of
from lcmis.plugins.protocols import (
    Encoder,
    ImageModel,
    Inverter,
    TextModel,
    Tools,
    Writer,
)
from lcmis.plugins.settings import CheckerSettings, ModelSettings, TextModelSettings
from lcmis.render import draw
from lcmis.text.phrases import own_table
from lcmis.types import FIRST_CERTIFICATE_SEED, FIRST_REPAIR_SEED, RenderSpec, Stage

if TYPE_CHECKING:
    from PIL.Image import Image

CONFIDENCE = 0.95
"""Of every interval."""
PLAIN = "a picture"
"""Says nothing of what is to be seen; many models refuse an empty prompt."""


@dataclass(frozen=True, slots=True)
class InversionSettings:
    """Who inverts, with what, and who judges."""

    model: ModelSettings
    """Paints the prompts; its gradients are what some methods follow."""
    guard: CheckerSettings
    """The encoder that reports; never the one that guides."""
    guide: CheckerSettings | None = None
    """The encoder that methods search with; None where none of them needs one."""
    methods: tuple[str, ...] = ()
    """Registered inverters; empty is all of them."""
    writer: str = ""
    """A registered writer or a folder: what turns embeddings into text; empty is none."""
    text_model: TextModelSettings | None = None
    table: str = ""
    """A TOML file of phrases, for methods that put them together; empty is the shipped one."""
    fluency: str = ""
    """A causal language model: a registered name, a folder or a hub name; empty is none."""
    seeds: int = 8
    """Pictures that a found prompt is judged by."""
    pictures: int = 60
    """That each method may paint while it searches."""
    seconds: float | None = None
    """That each method may search; None is as long as it likes."""
    seed: int = 0
    """For all that methods decide by chance."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over pictures with its 95 % interval by Student's t."""

    value: float
    low: float | None
    """None where one picture tells nothing of the spread."""
    high: float | None
    total: int


@dataclass(frozen=True, slots=True)
class Painting:
    """One picture painted from a found prompt."""

    seed: int
    picture: Image = field(repr=False, compare=False, metadata={"shown": False})


@dataclass(frozen=True, slots=True)
class JudgedPrompt:
    """A prompt as the guard sees it, beside one or more reference pictures; cosines in [-1, 1]."""

    prompt: str
    tokens: int
    """As the guard reads it, start and end included."""
    text_similarities: tuple[float, ...]
    """Of the prompt and each reference."""
    image_similarities: tuple[Mean | None, ...]
    """Of the pictures painted from it and each reference; None where none could be painted."""
    unpainted: str
    """Why pictures are missing; empty if none is."""
    perplexity: float | None
    """None without a language model."""
    paintings: tuple[Painting, ...] = ()


@dataclass(frozen=True, slots=True)
class Inverted:
    """What one method makes of a picture."""

    method: str
    """Its registered name."""
    inverter: str
    """Its id."""
    prompt: str
    """The one it believes best; empty if it found none."""
    found: tuple[str, ...]
    """All prompts, in the order in which they were found."""
    failure: str
    """What ended it early; empty if nothing did."""
    spent: str
    """Which budget ended it; empty if it ended by itself."""
    seconds: float
    """Of its search; judging is not counted."""
    pictures: int
    """Painted by its search."""
    text_calls: int
    """Replies that it asked of the text model."""
    judged: JudgedPrompt | None = None
    """That prompt by the guard; None until it is judged, and where there is none."""

    @property
    def text_similarity(self) -> float | None:
        """Of that prompt and the picture, by the guard."""
        return self.judged.text_similarities[0] if self.judged else None

    @property
    def image_similarity(self) -> Mean | None:
        """Of what that prompt paints and the picture, by the guard."""
        return self.judged.image_similarities[0] if self.judged else None


@dataclass(frozen=True, slots=True)
class InversionProgress:
    """How far an inversion is, as told to whoever watches."""

    activity: str
    """``"painting"``, or the method at work."""
    detail: str
    """The prompt found last, or what is painted."""
    done: int
    methods: int


Watch = Callable[[InversionProgress], None]


def invert(
    picture: Image, settings: InversionSettings, watch: Watch | None = None
) -> tuple[Inverted, ...]:
    """Prompts for a picture by every method of the settings, the best first.

    Raises:
        UserError: whatever is wrong with the settings, before anything heavy happens.
    """
    return Inversion(settings, watch).invert(picture)


class Inversion:
    """Methods, models and judges of an inversion, opened and not yet loaded.

    Raises:
        UserError: whatever is wrong with the settings, before anything heavy happens.
    """

    def __init__(self, settings: InversionSettings, watch: Watch | None = None) -> None:
        self.settings = settings
        self.watch = watch
        _refuse_impossible(settings)
        names = settings.methods or tuple(sorted(registry.names("inverters")))
        self.inverters: dict[str, Inverter] = {
            name: open_inverter(name) for name in dict.fromkeys(names)
        }
        self.phrases = own_table(settings.table, self.inverters)
        self.model: ImageModel = open_model(_one_by_one(settings.model))
        self.guard = open_encoder(settings.guard)
        self.guide = open_encoder(settings.guide) if settings.guide else None
        if self.guide and self.guide.encoder_id == self.guard.encoder_id:
            raise ConfigError(
                f"{self.guard.encoder_id} cannot guide the search and judge it too: name another "
                f"encoder with --guard"
            )
        self.writer: Writer | None = None
        if settings.writer:
            self.writer = open_writer(settings.writer, settings.model.device)
        self.text_model: TextModel | None = None
        if settings.text_model:
            self.text_model = open_text_model(settings.text_model)
        self.language_model = open_language_model(settings.fluency) if settings.fluency else None
        self.denoiser, self.no_gradients = gradients_of(self.model)

    # ── every method ─────────────────────────────────────────────────────────────────────────

    def invert(self, picture: Image) -> tuple[Inverted, ...]:
        """Prompts for a picture by every method, the best first; one that fails stops no other."""
        self._load(picture)
        found = [self._attempt(name, picture, place) for place, name in enumerate(self.inverters)]
        return tuple(sorted(found, key=_standing, reverse=True))

    def _load(self, picture: Image) -> None:
        """So that the first method is not charged for what all of them use."""
        self._tell("loading", "")
        self.guard.see([picture])
        if self.guide:
            self.guide.see([picture])
        self.paint_once(PLAIN, 0)

    def _attempt(self, name: str, picture: Image, place: int) -> Inverted:
        self._tell(name, "", place)
        searched = self.search(name, picture, lambda prompt: self._tell(name, prompt, place))
        if not searched.prompt:
            return searched
        self._tell(name, f"judging {searched.prompt}", place)
        return dataclasses.replace(searched, judged=self.judge(searched.prompt, [picture]))

    def search(
        self, name: str, picture: Image, tell: Callable[[str], None] = lambda _: None
    ) -> Inverted:
        """Let one method look for prompts within its budget, and judge nothing."""
        inverter, settings = self.inverters[name], self.settings
        budget = Budget(pictures=settings.pictures, seconds=settings.seconds, whose="its")
        easel = _Easel(budget, self.paint_once)
        text_model = _Counted(self.text_model) if self.text_model else None
        found: list[str] = []
        failure = spent = ""
        try:
            for prompt in inverter.invert(picture, self._tools(easel, text_model)):
                found.append(prompt)
                tell(prompt)
                budget.refuse_late()
        except OutOfBudget as error:
            spent = str(error)
        except ItemError as error:
            failure = str(error)
        return Inverted(
            method=name,
            inverter=inverter.inverter_id,
            prompt=self._best(picture, found, interrupted=bool(failure or spent)),
            found=tuple(found),
            failure=failure,
            spent=spent,
            seconds=budget.seconds,
            pictures=budget.pictures,
            text_calls=text_model.calls if text_model else 0,
        )

    def _tools(self, easel: _Easel, text_model: TextModel | None) -> Tools:
        return Tools(
            paint=easel.paint,
            encoder=self.guide,
            denoiser=self.denoiser,
            writer=self.writer,
            text_model=text_model,
            phrases=self.phrases,
            seed=self.settings.seed,
            no_gradients=self.no_gradients,
        )

    def _best(self, picture: Image, found: Sequence[str], *, interrupted: bool) -> str:
        """What a method says last; of one that was cut off, what the guide finds nearest."""
        if not found:
            return ""
        if not (interrupted and self.guide):
            return found[-1]
        return max(zip(similarities(self.guide, [picture], found)[0], found, strict=True))[1]

    # ── judging and painting ─────────────────────────────────────────────────────────────────

    def judge(self, prompt: str, references: Sequence[Image]) -> JudgedPrompt:
        """A prompt by the guard, painted on seeds that no search has used."""
        seen = self.guard.see(references)
        texts = (seen @ self.guard.read([prompt]).T)[:, 0].tolist()
        paintings, unpainted = self.paint(prompt)
        images: tuple[Mean | None, ...] = (None,) * len(references)
        if paintings:
            painted = self.guard.see([one.picture for one in paintings])
            images = tuple(mean(row) for row in (seen @ painted.T).tolist())
        return JudgedPrompt(
            prompt=prompt,
            tokens=self.guard.num_tokens(prompt),
            text_similarities=tuple(texts),
            image_similarities=images,
            unpainted=unpainted,
            perplexity=self._perplexity(prompt),
            paintings=tuple(paintings),
        )

    def paint(self, prompt: str) -> tuple[list[Painting], str]:
        """A prompt on the seeds that judge, and why pictures are missing."""
        seeds = range(FIRST_CERTIFICATE_SEED, FIRST_CERTIFICATE_SEED + self.settings.seeds)
        try:
            specs = [self._spec(prompt, seed) for seed in seeds]
        except RenderError as error:
            return [], str(error)
        pictures = draw(self.model, specs)
        painted = [
            Painting(seed, picture)
            for seed, picture in zip(seeds, pictures, strict=True)
            if not isinstance(picture, RenderError)
        ]
        reasons = [str(picture) for picture in pictures if isinstance(picture, RenderError)]
        return painted, reasons[0] if reasons else ""

    def plain(self, picture: Image) -> Mean | None:
        """How similar pictures of :data:`PLAIN` are: what any prompt has to beat."""
        self._tell("painting", PLAIN)
        return self.judge(PLAIN, [picture]).image_similarities[0]

    def _perplexity(self, prompt: str) -> float | None:
        if self.language_model is None:
            return None
        try:
            return self.language_model.perplexity(prompt)
        except CheckError:
            return None  # too short to have one

    def _spec(self, prompt: str, seed: int) -> RenderSpec:
        return self.model.spec((Stage(prompt),), seed)

    def paint_once(self, prompt: str, place: int) -> Image | None:
        """The picture of a seed that may be searched on; None where there is none."""
        try:
            spec = sketch_of(self.model, self._spec(prompt, FIRST_REPAIR_SEED + place))
            (picture,) = draw(self.model, [spec])
        except RenderError:
            return None
        return None if isinstance(picture, RenderError) else picture

    def _tell(self, activity: str, detail: str, done: int = 0) -> None:
        if self.watch is not None:
            self.watch(InversionProgress(activity, detail, done, len(self.inverters)))


# ── what one method paints ───────────────────────────────────────────────────────────────────────


class _Easel:
    """Paints for one method: the same prompt and seed again costs nothing."""

    def __init__(self, budget: Budget, paint: Callable[[str, int], Image | None]) -> None:
        self._budget = budget
        self._paint = paint
        self._painted: dict[tuple[str, int], Image | None] = {}

    def paint(self, prompt: str, place: int) -> Image | None:
        """A prompt with the n-th seed.

        Raises:
            OutOfBudget: the method's pictures, or its seconds, are spent.
        """
        key = (prompt, place)
        if key not in self._painted:
            self._budget.refuse_late()
            self._budget.pay([key])
            self._painted[key] = self._paint(prompt, place)
        return self._painted[key]


class _Counted:
    """A text model that counts what it is asked; where it is closed for good, the method that asks
    fails, and the others go on.
    """

    def __init__(self, model: TextModel) -> None:
        self._model = model
        self.model_id = model.model_id
        self.sees_images = model.sees_images
        self.calls = 0

    def complete(
        self,
        messages: Sequence[dict[str, str]],
        images: Sequence[Image] = (),
        schema: dict[str, Any] | None = None,
    ) -> str:
        """The model's reply.

        Raises:
            TextModelError: no reply.
            ProposalError: a reply that cannot be used.
        """
        self.calls += 1
        try:
            return self._model.complete(messages, images, schema)
        except ServiceClosed as error:
            raise TextModelError(str(error)) from error


# ── what is asked for ────────────────────────────────────────────────────────────────────────────


def _one_by_one(settings: ModelSettings) -> ModelSettings:
    """A search asks for one picture at a time, and a batch of sixteen would be filled for it."""
    return settings if settings.batch_size else dataclasses.replace(settings, batch_size=1)


def _refuse_impossible(settings: InversionSettings) -> None:
    counts = {"--seeds": settings.seeds, "--pictures": settings.pictures}
    for name, count in counts.items():
        if count < 1:
            raise ConfigError(f"{name} is {count}, but it is at least 1")
    refuse_no_time(settings.seconds)


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────


def similarities(
    encoder: Encoder, pictures: Sequence[Image], texts: Sequence[str]
) -> list[list[float]]:
    """Cosines in [-1, 1], a row for each picture and a column for each text."""
    rows: list[list[float]] = (encoder.see(pictures) @ encoder.read(texts).T).tolist()
    return rows


def mean(values: Sequence[float]) -> Mean:
    """Of cosines, with its 95 % interval by Student's t, cut to what a cosine can be.

    Raises:
        statistics.StatisticsError: no values.
    """
    from scipy.stats import t

    middle, count = statistics.fmean(values), len(values)
    if count < 2:
        return Mean(middle, None, None, count)
    half = t.ppf((1 + CONFIDENCE) / 2, count - 1) * statistics.stdev(values) / count**0.5
    return Mean(middle, max(-1.0, float(middle - half)), min(1.0, float(middle + half)), count)


def _standing(found: Inverted) -> tuple[float, float]:
    """Best first: by what its prompt paints, then by what it says."""
    image, text = found.image_similarity, found.text_similarity
    return (image.value if image else -2.0, text if text is not None else -2.0)
