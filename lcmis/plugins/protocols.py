"""The plugs: what a model, checker or repairer must offer to take part in an audit."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from lcmis.types import (
    Answer,
    Candidate,
    ConceptPair,
    Exchange,
    Question,
    RenderSpec,
    Side,
    Stage,
    StageManner,
    Trial,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from PIL.Image import Image

    from lcmis.errors import RenderError

Item = TypeVar("Item")


@runtime_checkable
class ImageModel(Protocol):
    """Draws pictures from specifications.

    Retries and storage are the harness's; a plug only draws. A spec is made by :meth:`spec`, so
    that the model alone decides what its defaults are. Making the object reads configuration only
    and imports no torch: weights are loaded by the first :meth:`generate`, so that planning, or an
    audit with nothing left to do, costs nothing. What it may offer beside all this, such as a price
    or gradients, is in :mod:`lcmis.plugins.optional`.
    """

    model_id: str
    """``name@revision``, the revision resolved."""
    supports_stages: bool
    """Whether more than one stage can be drawn."""
    supports_seeds: bool
    """Whether the same spec gives the same picture again."""
    batch_size: int
    """The one batch shape it draws; :meth:`generate` pads what is shorter.

    A smaller one may be set, by who finds that a batch does not fit. It counts from the next spec
    on: pictures are drawn in that shape, and where they may depend on it, the profile of a spec
    says so and its key is another. Specs made before are then no longer drawn.
    """

    def spec(self, stages: tuple[Stage, ...], seed: int) -> RenderSpec:
        """The full specification of one picture under this model's settings.

        Raises:
            RenderError: a prompt is longer than the text encoder reads, with the count.
        """
        ...

    def generate(self, specs: Sequence[RenderSpec]) -> list[Image | RenderError]:
        """Draw every spec; one RGB picture, or the reason there is none, in order.

        A picture does not depend on its neighbours or its place. A refusal by the model's own
        filter is a :class:`lcmis.errors.Refusal`, any other failure a plain ``RenderError``.

        Raises:
            torch.OutOfMemoryError: the batch does not fit; the caller looks for a size that does.
        """
        ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """One picture of those that were asked for together."""

    spec: RenderSpec
    drawn: Image | RenderError
    seconds: float
    """That it took, beside others."""


class Arrivals(Protocol):
    """Pictures that are drawn in the background; who leaves them early stops them."""

    def __iter__(self) -> Iterator[list[Arrival]]:
        """Those that have come since the last look, at least one at a time, until all have.

        Raises:
            ServiceClosed: no more can come; all that came have been handed over before.
        """
        ...

    def stop(self) -> list[Arrival]:
        """Ask for no more; gives those that had come and were not looked at to the end: the last
        ones that were handed over may be among them.
        """
        ...


@dataclass(frozen=True, slots=True)
class Bill:
    """What a service would be asked, and what that costs at the most."""

    questions: int = 0
    tokens_read: int = 0
    """Of questions and pictures."""
    tokens_written: int = 0
    price: float | None = None
    """In the currency of the prices that were given; None where none were."""

    def times(self, count: int) -> Bill:
        """So many pictures of the same kind."""
        price = None if self.price is None else self.price * count
        return Bill(
            self.questions * count, self.tokens_read * count, self.tokens_written * count, price
        )

    def __add__(self, other: Bill) -> Bill:
        unknown = self.price is None or other.price is None
        return Bill(
            self.questions + other.questions,
            self.tokens_read + other.tokens_read,
            self.tokens_written + other.tokens_written,
            None if unknown else (self.price or 0.0) + (other.price or 0.0),
        )


@dataclass(frozen=True, slots=True)
class Work:
    """What drawing cost, in rows through the denoiser: one picture, one call; guidance's second
    row is not counted.
    """

    alone: int = 0
    """Of all pictures, each drawn by itself from its first call to its last, without filler."""
    run: int = 0
    """Run, the filler rows of batches that were not full included."""
    useful: int = 0
    """Of those, rows of pictures whose outcome nobody knew yet."""
    skipped: int = 0
    """Not run since other pictures had begun so, filler rows included."""

    def __add__(self, other: Work) -> Work:
        return Work(
            self.alone + other.alone,
            self.run + other.run,
            self.useful + other.useful,
            self.skipped + other.skipped,
        )

    def __sub__(self, other: Work) -> Work:
        return Work(
            self.alone - other.alone,
            self.run - other.run,
            self.useful - other.useful,
            self.skipped - other.skipped,
        )


@runtime_checkable
class Checker(Protocol):
    """Tells how surely a picture shows what a question asks.

    As with models, making the object is light; the first :meth:`score` loads the weights. One that
    compares pictures with texts may offer its encoder: :mod:`lcmis.plugins.optional`.
    """

    checker_id: str
    """``kind:model@revision``: scores of two ids are never compared."""

    def takes(self, question: Question) -> bool:
        """Whether it answers such a question; light, and always the same for one question."""
        ...

    def score(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, ...]]:
        """Answer question i about image i.

        Returns:
            In order, per question: one :class:`Answer` for a yes/no question, one per option for a
            forced choice, and none for a question that it does not take. A value of None is an
            abstention with its reason.
        """
        ...


@dataclass(frozen=True, slots=True)
class KnownCase:
    """A picture and a question whose answer is known, to prove a checker on the user's machine."""

    picture: Image
    question: Question
    holds: bool
    """Whether a sound checker scores it at 0.5 or more."""


class TextModel(Protocol):
    """Writes text in reply to messages."""

    model_id: str
    sees_images: bool

    def complete(
        self,
        messages: Sequence[dict[str, str]],
        images: Sequence[Image] = (),
        schema: dict[str, Any] | None = None,
    ) -> str:
        """The reply's text; ``schema`` asks for JSON of that shape."""
        ...


class KeepsExchanges(Protocol):
    """What a store does for exchanges."""

    def replies(self, request: str) -> list[str]:
        """Every reply to a request that could be used, the oldest first."""
        ...

    def exchanges_of(self, request: str) -> list[Exchange]:
        """All that was asked and said under a request, the oldest first; failed ones too."""
        ...

    def last_exchange(self, model: str) -> Exchange | None:
        """The newest one with a model or checker in which something was said."""
        ...

    def add_exchange(self, exchange: Exchange) -> None:
        """Keep what was asked and said."""
        ...


@runtime_checkable
class AsksService(Protocol):
    """A checker whose replies cost something: each is kept as it comes, and asked for once."""

    kept: KeepsExchanges | None
    """Where replies are looked for before a service is asked; may be set."""


@runtime_checkable
class TellsAttempts(Protocol):
    """A text model that may ask more than once for one reply, and tells of each time."""

    record: Callable[[Exchange], None] | None
    """Told of every attempt as it ends, failed ones included; may be set."""


# ── inversion: from a picture to a prompt ────────────────────────────────────────────────────────


class Encoder(Protocol):
    """Embeds pictures and texts in one space; gradients reach the embeddings of the words.

    All embeddings that it returns have length one and lie on ``device`` in float32.
    """

    encoder_id: str
    """``clip:model@revision``."""
    device: str

    @property
    def context_length(self) -> int:
        """Tokens that it reads, start and end included."""
        ...

    def see(self, pictures: Sequence[Image]) -> torch.Tensor:
        """Pictures as (n, joint), without gradient."""
        ...

    def read(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts as (n, joint), without gradient; a text that is too long is cut."""
        ...

    def vocabulary(self) -> torch.Tensor:
        """Embeddings of the tokens that words are made of, (tokens, dim); special ones left out."""
        ...

    def read_embeddings(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Word embeddings (n, length, dim), without start and end, as (n, joint); with gradient."""
        ...

    def text_of(self, rows: Sequence[int]) -> str:
        """What tokens spell, given as rows of :meth:`vocabulary`."""
        ...

    def num_tokens(self, text: str) -> int:
        """Of a text, start and end included."""
        ...


class Denoiser(Protocol):
    """A diffusion model's parts, for gradients with respect to what it is told.

    Embeddings are contextual, from start to end of the text, (n, length, dim), on ``device`` in
    float32. Where they are asked for ``padded`` they have their padding behind them and are what
    the model draws by; without it they are shorter, and their loss is near to that. Weights are
    frozen.
    """

    denoiser_id: str
    """The image model's id."""
    device: str

    @property
    def encodes_like(self) -> str:
        """Content hash of its text encoder's weights; a :class:`Writer` with the same reads it."""
        ...

    def read(self, prompt: str, *, padded: bool = False) -> torch.Tensor:
        """What the text encoder makes of a prompt, (1, length, dim), without gradient.

        Raises:
            RenderError: the prompt is longer than the text encoder reads.
        """
        ...

    def vocabulary(self) -> torch.Tensor:
        """Embeddings of the tokens that words are made of, (tokens, dim); special ones left out."""
        ...

    def read_embeddings(self, embeddings: torch.Tensor, *, padded: bool = False) -> torch.Tensor:
        """Word embeddings (n, length, dim), without start and end, through the text encoder:
        (n, length + 2, dim), or longer if padded; with gradient.
        """
        ...

    def text_of(self, rows: Sequence[int]) -> str:
        """What tokens spell, given as rows of :meth:`vocabulary`."""
        ...

    def pooled(self, embeddings: torch.Tensor) -> torch.Tensor:
        """The one vector (n, dim) of contextual embeddings that stands for the whole text."""
        ...

    def latents(self, picture: Image) -> torch.Tensor:
        """A picture in latent space, (1, channels, height, width), without gradient."""
        ...

    def loss(
        self,
        latents: torch.Tensor,
        embeddings: torch.Tensor,
        generator: torch.Generator,
        *,
        samples: int = 4,
        times: tuple[float, float] = (0.0, 1.0),
    ) -> torch.Tensor:
        """Mean squared error of the noise predicted for ``samples`` noised latents, with gradient:
        a scalar for one text, (n,) for more, which all face the same noise.

        Noise and times are drawn by the generator, which is on the CPU; ``times`` is from where to
        where on the schedule, 0 being clean and 1 noise.
        """
        ...

    def attention(self, picture: Image, prompt: str) -> dict[str, torch.Tensor]:
        """For each word of the prompt, where its cross-attention looks: (height, width) of the
        latents, each map summing to one.
        """
        ...

    def influence(self, picture: Image, prompt: str, others: Sequence[str]) -> list[torch.Tensor]:
        """Where the model would draw the picture otherwise if the prompt were each of the others:
        (height, width) of the latents, summing to one unless nothing would change.
        """
        ...


class LanguageModel(Protocol):
    """Tells how natural a text reads."""

    language_model_id: str
    """``name@revision``: perplexities of two ids are never compared."""

    def perplexity(self, text: str) -> float:
        """In [1, ∞), lower is more fluent.

        Raises:
            CheckError: this text has none.
        """
        ...


class Writer(Protocol):
    """Turns an embedding of a text encoder back into text."""

    writer_id: str
    """``e2t:name@revision``."""
    encodes_like: str
    """Which text encoder's embeddings it reads: a content hash of that encoder's weights."""

    def write(self, embeddings: torch.Tensor, count: int = 1) -> list[list[str]]:
        """Up to ``count`` texts for each pooled embedding of (n, dim), likeliest first."""
        ...


class CorrectingWriter(Writer, Protocol):
    """A writer that looks again, by what its texts are read as."""

    corrects: bool
    """Whether it can."""

    def correct(
        self,
        embeddings: torch.Tensor,
        reached: torch.Tensor,
        texts: Sequence[str],
        count: int = 1,
    ) -> list[list[str]]:
        """Up to ``count`` better texts for each embedding of (n, dim), likeliest first; the n texts
        were read as ``reached``, (n, dim).
        """
        ...


@dataclass(frozen=True, slots=True)
class PhraseTable:
    """Phrases that a prompt can be put together of."""

    subject: tuple[str, ...]
    medium: tuple[str, ...]
    flavour: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tools:
    """What an inversion may use; what nobody gave is None."""

    paint: Callable[[str, int], Image | None]
    """Draws a prompt with the n-th seed, n from 0; None where there is no picture. May raise
    :class:`lcmis.errors.OutOfBudget`."""
    encoder: Encoder | None = None
    """Guides; never judges."""
    guard: Encoder | None = None
    """Held out: neither guides nor judges."""
    denoiser: Denoiser | None = None
    writer: Writer | None = None
    text_model: TextModel | None = None
    phrases: PhraseTable | None = None
    """The user's own; None is the one that is shipped."""
    seed: int = 0
    """For all that is decided by chance."""
    no_gradients: str = ""
    """Why there is no denoiser, and what to do; empty where nobody knows."""


class Need(enum.StrEnum):
    """What a method cannot search without, beside a model and a guide."""

    TEXT_MODEL = "text model"
    SEEING_TEXT_MODEL = "text model that sees pictures"
    ENCODER = "encoder"
    """Of the guide."""
    DENOISER = "denoiser"
    """The image model's own, with gradients."""
    WRITER = "writer"


class Inverter(Protocol):
    """Finds prompts for a picture."""

    @property
    def inverter_id(self) -> str:
        """Names the algorithm and whatever settings change its way."""
        ...

    def invert(self, reference: Image, tools: Tools) -> Iterator[str]:
        """Prompts as they are found, each once, the one it believes best last.

        Raises:
            InversionError: a tool that the method needs is not there; the sentence names it.
            TextModelError: no reply.
            ProposalError: a text model's reply cannot be used.
        """
        ...


# ── repair ───────────────────────────────────────────────────────────────────────────────────────


def lost_of(a_missing: int, b_missing: int) -> Side:
    """The concept that is missing more often; A where both are missing as often."""
    return Side.B if b_missing > a_missing else Side.A


@dataclass(frozen=True, slots=True)
class Case:
    """A pair that fails, and what a repairer may know of it and of its model."""

    pair: ConceptPair
    num_inference_steps: int
    supports_stages: bool
    supports_negative_prompt: bool
    batch_size: int
    """Pictures drawn at once: asking for fewer takes as long."""
    seeds: range
    """All that may be searched on; trials on the same seeds can be compared picture by picture."""
    threshold: float
    """Score from which a concept counts as present, in (0, 1)."""
    budget: int
    """Different pictures that may be asked for."""
    a_missing: int
    """Pictures of the audit that lack concept A, alone or together with B."""
    b_missing: int
    intruder: str = ""
    """What was painted instead most often; empty if nobody can name it."""
    painted_first: Side | None = None
    """What a text model would lay down alone before the other joins it; None without one."""
    other_prompts: tuple[str, ...] = ()
    """Rewritings by a text model; none without one."""
    text_model: TextModel | None = None
    """For what else a repairer wants to ask."""
    instruction: str = ""
    """How a text model is told to rewrite prompts; empty where nobody evolved one."""
    expect: (
        Callable[[Sequence[Candidate]], tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]
        | None
    ) = field(default=None, repr=False)
    """What the audit and other pairs tell of candidates: of their shares of right pictures the
    expected ones, (candidates,), and the covariance, (candidates, candidates). None where nobody
    knows."""
    reference: Image | None = field(default=None, repr=False)
    """A picture that shows what is asked for, or nearly; None until :meth:`Evaluate.equip`, and
    where nobody has one."""
    tools: Tools | None = field(default=None, repr=False)
    """For inversions; None until :meth:`Evaluate.equip`."""
    manners: frozenset[StageManner] = frozenset()
    """In which the model can draw a stage, beside being told its prompt."""
    refiner: str = ""
    """Id of the model that may draw the last stage, where a stage can be refined."""
    likeness_weight: float | None = None
    """Where the guide measures likeness: what means of its scores are multiplied by; ``threshold``
    then says nothing of them. None where its scores say whether a concept is there."""

    @property
    def lost(self) -> Side:
        """The concept that is missing more often."""
        return lost_of(self.a_missing, self.b_missing)

    @property
    def first(self) -> Side:
        """The concept to try first alone: by the text model, else the lost one."""
        return self.lost if self.painted_first is None else self.painted_first


class Evaluate(Protocol):
    """Draws and checks candidates for one case; all that a repairer can do.

    Every trial is remembered; the best one is picked outside, unless the repairer says which.
    """

    def __call__(
        self, stages: tuple[Stage, ...], *, seeds: Sequence[int] = (), negative_prompt: str = ""
    ) -> Trial:
        """Try one candidate; without seeds, on the first eight of the case.

        Raises:
            OutOfBudget: the pictures, or the seconds, are spent.
            ValueError: a seed that is not among the case's.
        """
        ...

    def together(self, asked: Sequence[tuple[Candidate, Sequence[int]]]) -> list[Trial]:
        """Try several candidates, each on its seeds, with as few batches as that takes.

        A candidate that the model cannot read (its prompt is too long, it cannot switch) is a
        trial in which nothing was seen.

        Raises:
            OutOfBudget: they are more than what is left; what is left is drawn and remembered.
            ValueError: a seed that is not among the case's.
        """
        ...

    def attempt(self, what: str, source: Callable[[], Iterable[Item]]) -> list[Item]:
        """What a source yields, candidates or what leads to them; where an item fails, the failure
        is recorded with ``what`` was attempted. What was yielded until then stands, also where the
        source has spent a budget: who goes on to draw is told if that was the pictures or the
        seconds.
        """
        ...

    def equip(self, case: Case, *, reference: bool = True) -> Case:
        """The case with tools for inversions, and with the best reference picture there is by now.

        Tools are light. A reference is drawn and pasted if need be, so it is asked for only by who
        needs it; where none can be had, the reason is recorded and the case has none.

        Raises:
            OutOfBudget: the seconds are spent.
        """
        ...


class Repairer(Protocol):
    """Looks for a way of prompting that brings the lost concept back.

    It only asks, and returns when it is content; it need not catch :class:`OutOfBudget`. All that
    it decides by chance comes from a generator seeded by the pair's key, so that a search that was
    cut off goes the same way again. What it may say beside all this, such as which candidate it
    ends with, is in :mod:`lcmis.plugins.optional`.
    """

    repairer_id: str
    """Names the algorithm and whatever settings change its way."""

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until content."""
        ...
