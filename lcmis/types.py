"""The vocabulary: every value that travels between rooms."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Self

_quoted = json.encoder.encode_basestring
KEY_VERSION = "k1"
"""Goes in front of every key, so that another way of hashing can never be mistaken for this one."""


def content_key(value: Any) -> str:
    """Name a value by its content, e.g. ``"k1:9f2c…"`` (128 bits).

    Fields at their default are left out, so that a field added later keeps the keys of all that is
    already stored; fields marked ``identity=False`` never count.

    Raises:
        TypeError: the value holds something that has no canonical form (a float that is not finite,
            a set, an object that is no dataclass).
    """
    return canonical_key(_canonical(value))


def canonical_key(text: str) -> str:
    """The same of a value that is spelled out already: JSON with sorted names and no spaces."""
    return f"{KEY_VERSION}:{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


def _canonical(value: Any) -> str:
    """JSON with sorted names and no spaces, written in one go: keys are a fact of every picture."""
    kind: Any = type(value)
    return _writer(kind)(value)


@cache
def _writer(kind: Any) -> Callable[[Any], str]:
    """How values of one type are written: found once, since keys hold few types many times."""
    if kind is str:
        return _quoted
    if kind is int:
        return int.__repr__
    if issubclass(kind, tuple):
        return lambda value: f"[{','.join(map(_canonical, value))}]"
    if issubclass(kind, float):
        return _number
    if dataclasses.is_dataclass(kind):
        return partial(_fields, kind)
    if issubclass(kind, enum.Enum):
        return lambda value: json.dumps(value.value, ensure_ascii=False)
    if issubclass(kind, str | int | None):
        return partial(json.dumps, ensure_ascii=False)
    if issubclass(kind, Mapping):
        return _named
    raise TypeError(f"{kind.__name__} cannot be part of a key")


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise TypeError(f"{value} cannot be part of a key: only finite numbers have one spelling")
    return float.__repr__(value)


def _fields(kind: Any, value: Any) -> str:
    parts = []
    for name, quoted, usual in identity_of(kind):
        item = getattr(value, name)
        if item is not usual and item != usual:
            parts.append(quoted + _canonical(item))
    return f"{{{','.join(parts)}}}"


def _named(value: Mapping[Any, Any]) -> str:
    named = {str(name): item for name, item in value.items()}
    parts = [f"{_quoted(name)}:{_canonical(named[name])}" for name in sorted(named)]
    return f"{{{','.join(parts)}}}"


def key_number(text: str) -> int:
    """A number in [0, 2**64) that belongs to a text: for seeds, and for draws by lot."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


@cache
def identity_of(kind: type[Any]) -> tuple[tuple[str, str, Any], ...]:
    """Of the fields that count in a key, by name: name, how it begins in JSON, and default."""
    return tuple(
        (entry.name, f"{_quoted(entry.name)}:", entry.default)
        for entry in sorted(dataclasses.fields(kind), key=lambda entry: entry.name)
        if entry.metadata.get("identity", True)
    )


class Keyed:
    """A value whose key is its content's, hashed when it is first asked for."""

    __slots__ = ("_key",)
    _key: str

    @property
    def key(self) -> str:
        """Named by all fields that count."""
        try:
            return self._key
        except AttributeError:
            return self.named(content_key(self))._key

    def named(self, key: str) -> Self:
        """Itself, which need not be hashed: it was kept under this key, or is named by another."""
        object.__setattr__(self, "_key", key)
        return self

    def __hash__(self) -> int:
        return hash(self.key)


# ── what is asked ────────────────────────────────────────────────────────────────────────────────


class Side(enum.StrEnum):
    """Which of a pair's two concepts is meant."""

    A = "a"
    B = "b"


@dataclass(frozen=True, slots=True)
class Concept:
    """Something that can be drawn."""

    name: str
    """What people call it, without an article: ``"tea cup"``."""
    description: str = ""
    """How it looks, naming neither itself nor a synonym: ``"a small white porcelain cup …"``."""
    synonyms: tuple[str, ...] = ()
    """Other names for the same thing."""


@dataclass(frozen=True, slots=True)
class Intruder:
    """A latent concept: nobody asks for it, and it may take the place of one that was asked for."""

    concept: Concept
    replaces: Side
    prompt: str
    """The pair's prompt with the intruder in the place of the concept it displaces: what the
    model is suspected to have drawn."""


@dataclass(frozen=True, slots=True)
class ConceptPair(Keyed):
    """Two concepts asked for together, and what a model may paint in their stead.

    Raises:
        ValueError: the prompt is empty, or both concepts bear one name.
    """

    __hash__ = Keyed.__hash__  # or it would be that of all fields, at every question

    a: Concept
    b: Concept
    prompt: str
    """The test prompt, naming both concepts."""
    sentences: tuple[str, ...] = ()
    """Longer prompts that ask for the same two concepts."""
    intruders: tuple[Intruder, ...] = ()
    """Suspected latent concepts, likeliest first."""
    pattern: str = field(default="", metadata={"identity": False})
    """The kind of conflict, e.g. ``"drink and wrong vessel"``."""
    source: str = field(default="", metadata={"identity": False})
    """Who proposed it."""
    licence: str = field(default="", metadata={"identity": False})

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise ValueError("a pair needs a prompt that asks for both concepts; this one is empty")
        if self.a.name.casefold() == self.b.name.casefold():
            raise ValueError(f"a pair needs two concepts; both are called {self.a.name!r}")

    def as_json(self) -> str:
        """All that a pair says, on one line: a file of another tool carries it along, and
        :func:`lcmis.propose.catalogue.pair_of_record` reads it again, with the same key.
        """
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    def concept(self, side: Side) -> Concept:
        """The concept on one side."""
        return self.a if side is Side.A else self.b

    def intruders_of(self, side: Side) -> tuple[Intruder, ...]:
        """The suspects that would displace the concept on one side, likeliest first."""
        return tuple(intruder for intruder in self.intruders if intruder.replaces is side)


# ── what is drawn ────────────────────────────────────────────────────────────────────────────────


class StageManner(enum.StrEnum):
    """How a stage is drawn where the model is not simply told its prompt."""

    TOGETHER = "together"
    """Several prompts are followed at once, their guidance added up."""
    EXCITED = "excited"
    """The latents are moved until words that the model looks at least are looked at."""
    REFINED = "refined"
    """A second model draws it, from where the first one stops."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A prompt that is followed beside a stage's own."""

    prompt: str
    weight: float = 1.0
    """Of its guidance; below 0 it is steered away from."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A prompt, and the fraction of the denoising at which it hands over to the next one.

    Raises:
        ValueError: a weight that nothing stands beside or that is not finite, excited words that
            the prompt does not say, or two manners at once.
    """

    prompt: str
    denoising_end: float = 1.0
    """In (0, 1]; 1.0 is the end of the picture."""
    beside: tuple[Beside, ...] = ()
    """Followed at once with the prompt: the noise that is predicted for each, less that for the
    negative prompt, is added up by weights, and the sum is what guidance strengthens."""
    weight: float = 1.0
    """Of the prompt's own guidance, where others stand beside it."""
    excited: tuple[str, ...] = ()
    """Words of the prompt: in the first half of the denoising the latents are moved so that the one
    that is attended to least is attended to more."""
    refiner: str = ""
    """The model that draws this stage in the place of the first one, ``name@revision``."""

    def __post_init__(self) -> None:
        if not (self.beside or self.excited or self.refiner or self.weight != 1):
            return
        object.__setattr__(self, "weight", float(self.weight))
        if self.weight != 1 and not self.beside:
            raise ValueError(f"the weight {self.weight:g} counts only where prompts stand beside")
        if not all(math.isfinite(one) for one in (self.weight, *(p.weight for p in self.beside))):
            raise ValueError("the weights of prompts are finite numbers")
        if len(self.manners) > 1:
            raise ValueError(f"a stage is drawn in one manner, not {sorted(self.manners)}")
        absent = [word for word in self.excited if word not in self.prompt or not word.strip()]
        if absent:
            raise ValueError(f"{self.prompt!r} does not say {absent[0]!r}, so it cannot be excited")

    @property
    def manners(self) -> frozenset[StageManner]:
        """How it is drawn; none where the model is told its prompt and no more."""
        if not (self.beside or self.excited or self.refiner):
            return frozenset()
        has = {
            StageManner.TOGETHER: self.beside,
            StageManner.EXCITED: self.excited,
            StageManner.REFINED: self.refiner,
        }
        return frozenset(manner for manner, given in has.items() if given)

    @property
    def said(self) -> str:
        """Everything that it says, as people read it."""
        if self.beside:
            parts = (Beside(self.prompt, self.weight), *self.beside)
            return " AND ".join(
                one.prompt if one.weight == 1 else f"{one.prompt} :{one.weight:g}" for one in parts
            )
        if self.excited:
            return f"{self.prompt} (attending to {', '.join(self.excited)})"
        return f"{self.prompt} (drawn by {self.refiner})" if self.refiner else self.prompt


def stage_starts(stages: tuple[Stage, ...], num_inference_steps: int) -> dict[int, Stage]:
    """Map the step at which each stage begins to that stage.

    Steps count from 0. A stage too short for one whole step gives way to its successor; one that
    would begin after the last step never rules.
    """
    starts = [0, *(round(stage.denoising_end * num_inference_steps) for stage in stages[:-1])]
    ruling = dict(zip(starts, stages, strict=True))
    ruling.pop(num_inference_steps, None)
    return ruling


def manners_of_stages(stages: tuple[Stage, ...]) -> frozenset[StageManner]:
    """All in which some stage is drawn."""
    return frozenset().union(*(stage.manners for stage in stages))


def _refuse_odd_stages(stages: tuple[Stage, ...]) -> None:
    ends = [stage.denoising_end for stage in stages]
    if not ends or ends != sorted(set(ends)) or ends[0] <= 0 or ends[-1] != 1.0:
        raise ValueError(f"stages must rise strictly within (0, 1] and end at 1.0, got {ends}")
    if len(stages) > 1 and any(stage.excited for stage in stages):
        raise ValueError("words are excited in a picture of one stage only")
    if any(stage.refiner for stage in stages[:-1]) or (len(stages) == 1 and stages[0].refiner):
        raise ValueError("a refiner draws the last of several stages")


@dataclass(frozen=True, slots=True)
class Adapter:
    """Low-rank weights laid over a model."""

    name: str
    """A hub name or a folder; ``name@revision`` once resolved."""
    weight: float = 1.0
    """How strongly they act; 1 as they were trained."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """A word of one's own that a text encoder was taught (textual inversion)."""

    name: str
    """A file, a folder or a hub name; ``name@revision`` once resolved."""
    token: str = ""
    """How prompts spell it; empty is what its file says, or else the file's own name."""


@dataclass(frozen=True, slots=True)
class RenderSpec(Keyed):
    """Everything that decides the pixels of one picture, and nothing else.

    Raises:
        ValueError: no stages, stages that do not rise within (0, 1] and end at 1.0, a seed outside
            [0, 2**63), or a size, step count or guidance that no picture can have.
    """

    __hash__ = Keyed.__hash__  # or it would be that of all fields, at every question

    model: str
    """``name@revision``."""
    stages: tuple[Stage, ...]
    seed: int
    num_inference_steps: int
    guidance_scale: float
    scheduler: str
    """Name and settings, as :class:`lcmis.plugins.protocols.ImageModel` reports them."""
    height: int
    width: int
    profile: str
    """Numerics profile: device kind, dtype, batch shape and what an accelerator is called, e.g.
    ``"cpu-float32-b16"`` or ``"cuda-bfloat16-b4 on NVIDIA H100 80GB HBM3"``. Bits are equal within
    one profile and one set of library versions."""
    adapters: tuple[Adapter, ...] = ()
    negative_prompt: str = ""
    embeddings: tuple[Embedding, ...] = ()
    vae: str = ""
    """Another one than the model's own, ``name@revision``."""
    base: str = ""
    """Of a single file: the model that it took its configuration and what it lacks from,
    ``name@revision``."""
    variant: str = ""
    """Of the weights in a folder that holds several, e.g. ``"fp16"``, where one was asked for."""
    device: str = field(default="", compare=False, metadata={"identity": False})
    """Kind of device that draws it, e.g. ``"cuda"``, or ``"service"``; empty where nobody said.
    What it does to the pixels is in the profile already: it is no part of the identity."""
    dtype: str = field(default="", compare=False, metadata={"identity": False})
    """Number format of the weights, e.g. ``"float16"``; empty where there are none, or none known.
    In the profile as well."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "guidance_scale", float(self.guidance_scale))  # 7 and 7.0: one key
        _refuse_odd_stages(self.stages)
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"a seed lies in [0, 2**63), got {self.seed}")
        if self.num_inference_steps < 1 or self.height < 1 or self.width < 1:
            raise ValueError(
                f"a picture needs at least one step and one pixel, got "
                f"{self.num_inference_steps} steps at {self.width}x{self.height}"
            )
        if not math.isfinite(self.guidance_scale) or self.guidance_scale < 0:
            raise ValueError(f"guidance is a finite number from 0 up, got {self.guidance_scale}")

    @property
    def manners(self) -> frozenset[StageManner]:
        """In which its stages are drawn, beside being told."""
        return manners_of_stages(self.stages)

    @property
    def prompt(self) -> str:
        """The prompt that the picture ends with."""
        return self.stages[-1].prompt


_SEEDLESS = operator.attrgetter(*(name for name, _, _ in identity_of(RenderSpec) if name != "seed"))


class Siblings:
    """Names pictures that differ from a first one in their seeds alone, as
    :func:`content_key` would, at a fifth of its price.
    """

    def __init__(self, first: RenderSpec) -> None:
        self._before, _, self._after = _canonical(first).partition(f'"seed":{first.seed:d},')
        self._said = _SEEDLESS(first)

    def name(self, others: Iterable[RenderSpec]) -> None:
        """Give those their keys that are alike; the others find theirs when they are asked."""
        for other in others:
            if _SEEDLESS(other) == self._said:
                other.named(self.key(other.seed))

    def key(self, seed: int) -> str:
        """Of the one that is drawn from this seed."""
        return canonical_key(f'{self._before}"seed":{seed:d},{self._after}')


@dataclass(frozen=True, slots=True)
class Render:
    """One picture that was drawn, or refused by the model's own safety filter."""

    spec_key: str
    sha256: str
    """Of the pixels (RGB, row by row), in hex; empty when refused."""
    seconds: float
    """Its share of the batch's wall time."""
    device: str
    refusal: str = ""
    """Why the model would not draw it; empty for a picture."""


# ── what is seen ─────────────────────────────────────────────────────────────────────────────────


class QuestionKind(enum.StrEnum):
    """What a question wants to know of a picture."""

    A_PRESENT = "a_present"
    B_PRESENT = "b_present"
    RELATION = "relation"
    INTRUDER_A = "intruder_a"
    INTRUDER_B = "intruder_b"
    LIKENESS = "likeness"
    """How like the picture is to these words. No verdict rests on it: what is like a tea cup need
    not be one. Asked only of checkers that measure it."""

    @property
    def is_choice(self) -> bool:
        """Whether the answer is one of several options instead of a yes or no."""
        return self in (QuestionKind.INTRUDER_A, QuestionKind.INTRUDER_B)


NONE_OF_THESE = "none of these"
"""The option of a forced choice that stands for all that was not listed."""


@dataclass(frozen=True, slots=True)
class Question(Keyed):
    """Something asked of a picture, independent of how a checker words it."""

    __hash__ = Keyed.__hash__  # or it would be that of all fields, at every question

    kind: QuestionKind
    text: str
    """What may be there: a concept's name, or a whole prompt for a relation."""
    options: tuple[str, ...] = ()
    """Forced choice: the concept asked for, its intruders, and :data:`NONE_OF_THESE`, in the order
    in which they are shown."""
    contrast: tuple[str, ...] = ()
    """Whole prompts for checkers that compare: the one asked, then its counterfactuals."""
    synonyms: tuple[tuple[str, ...], ...] = ()
    """Other names for checkers that look for them too: one tuple for the text, or one for each
    option in order; empty where none is known, or the checker reads none."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where in a picture something was found.

    Raises:
        ValueError: an edge lies outside of [0, 1], or the edges are in the wrong order.
    """

    left: float
    """Of the picture's width, from the left, in [0, 1]."""
    top: float
    """Of the picture's height, from the top, in [0, 1]."""
    right: float
    bottom: float
    words: str = ""
    """What was looked for: a concept's name, or a synonym."""

    def __post_init__(self) -> None:
        if not (0 <= self.left <= self.right <= 1 and 0 <= self.top <= self.bottom <= 1):
            raise ValueError(
                f"a box lies within the picture, from 0 to 1, got {self.left:g} to {self.right:g} "
                f"and {self.top:g} to {self.bottom:g}"
            )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a checker says to one question about one picture, for one option.

    Raises:
        ValueError: a value or mass outside [0, 1] (NaN included), an abstention without a reason,
            or a reason beside a value.
    """

    value: float | None
    """How surely the option holds, in [0, 1]; None where the checker abstains."""
    option: str = ""
    """The option meant; empty for a yes/no question."""
    reason: str = ""
    """Why there is no value."""
    mass: float = 1.0
    """Probability that the model gave to any of the allowed answers, in [0, 1]."""
    box: Box | None = None
    """Where it was found best; None where nothing was looked for in places."""

    def __post_init__(self) -> None:
        if self.value is not None and not 0 <= self.value <= 1:
            raise ValueError(f"a score lies in [0, 1], got {self.value}")
        if not 0 <= self.mass <= 1:
            raise ValueError(f"a probability mass lies in [0, 1], got {self.mass}")
        if (self.value is None) != bool(self.reason):
            raise ValueError("an abstention has a reason, and a value has none")


@dataclass(frozen=True, slots=True)
class Score:
    """An :class:`Answer` as a fact: which checker said it of which picture."""

    render: str
    """The picture's spec key."""
    checker: str
    """``kind:model@revision``: scores of two checkers are never compared."""
    question: str
    """The question's key."""
    answer: Answer


@dataclass(frozen=True, slots=True)
class Label:
    """What a person says to one question about one picture."""

    render: str
    question: str
    answer: str
    """``"yes"``, ``"no"``, ``"unsure"``, or the option chosen; ``"withdrawn"`` takes back the
    rater's latest answer to the same question about the same picture."""
    rater: str
    at: str
    """When, in UTC, ISO 8601."""
    unasked: bool = False
    """Whether the rater chose the picture himself, having seen what the checkers said: such a
    label tells the truth of one picture, and nothing of how often a checker errs."""


class NoteKind(enum.StrEnum):
    """What a person leaves on something."""

    COMMENT = "comment"
    TAG = "tag"
    STAR = "star"


class About(enum.StrEnum):
    """What a note can be left on."""

    PICTURE = "picture"
    PAIR = "pair"
    REPAIR = "repair"


@dataclass(frozen=True, slots=True)
class Note:
    """A word that a person left on a picture, a pair or a repair; it decides nothing.

    None is changed: to take one back is one more note that names it.
    """

    about: About
    subject: str
    """Key of the picture, of the pair, or of the nomination that a repair rests on."""
    kind: NoteKind
    text: str
    """Of a comment or a tag; a star has none, nor has what takes a note back."""
    rater: str
    at: str
    """When, in UTC, ISO 8601."""
    withdraws: str = ""
    """Key of the note that this one takes back; empty for a note that says something."""

    @property
    def key(self) -> str:
        """Named by who said what of what, and when: two machines' notes never collide."""
        return content_key(self)


# ── what is concluded ────────────────────────────────────────────────────────────────────────────


class Verdict(enum.StrEnum):
    """What one picture shows of a pair, under a threshold."""

    ALIGNED = "aligned"
    A_MISSING = "a_missing"
    B_MISSING = "b_missing"
    BOTH_MISSING = "both_missing"
    UNSCORED = "unscored"
    REFUSED = "refused"

    @property
    def is_scored(self) -> bool:
        """Whether it counts in a rate: silence is not absence."""
        return self not in (Verdict.UNSCORED, Verdict.REFUSED)


@dataclass(frozen=True, slots=True)
class Rate:
    """A proportion of pictures with its interval, all in [0, 1]."""

    value: float
    low: float
    high: float
    total: int
    """Pictures counted; with none, the interval is all of [0, 1]."""
    stopped: str = "fixed"
    """How the number of pictures was chosen; decides which interval is valid."""


@dataclass(frozen=True, slots=True)
class LevelRange:
    """The severity levels, 1 (nearly always right) to 5 (never right), that an interval allows."""

    low: int
    high: int

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}–{self.high}"


# ── who looks ────────────────────────────────────────────────────────────────────────────────────

BETWEEN_MEMBERS = " and "
"""Stands between the names of a panel's members in its id."""
BETWEEN_REVISIONS = "-and-"
"""Likewise between their revisions."""
PANEL, COMPARED = "panel:", "compared:"
"""How the ids of checkers begin that ask others."""


def panel_id(members: Sequence[str]) -> str:
    """The id of a panel of checkers with these ids: all names, then all revisions."""
    names, revisions = zip(*(one.split("@", 1) for one in members), strict=True)
    return f"{PANEL}{BETWEEN_MEMBERS.join(names)}@{BETWEEN_REVISIONS.join(revisions)}"


def seats_of(checker_id: str) -> tuple[str, ...]:
    """The ids of a panel's members in their order; of any other checker its own."""
    if not checker_id.startswith(PANEL):
        return (checker_id,)
    names, _, revisions = checker_id.removeprefix(PANEL).partition("@")
    both = zip(names.split(BETWEEN_MEMBERS), revisions.split(BETWEEN_REVISIONS), strict=True)
    return tuple(f"{name}@{revision}" for name, revision in both)


def members_of(checker_id: str) -> tuple[str, ...]:
    """The checkers that look where this one is asked: those of a panel, the one behind a
    comparison, or itself.
    """
    return tuple(
        one.removeprefix(COMPARED).rpartition("+")[0] if one.startswith(COMPARED) else one
        for one in seats_of(checker_id)
    )


def share_a_member(one: str, other: str) -> bool:
    """Whether the same checker looks where either of two is asked: then one cannot certify what
    the other has found.
    """
    return not set(members_of(one)).isdisjoint(members_of(other))


# ── what is tried ────────────────────────────────────────────────────────────────────────────────

FIRST_REPAIR_SEED = 2**31
"""Seeds from here on belong to repairs, those below to audits: a picture drawn to mend a pair never
counts among those that show how often it fails."""
FIRST_CERTIFICATE_SEED = 3 * 2**30
"""Seeds from here to 2**32 certify; those between the two search."""
CERTIFICATE_BLOCK = 2**10
"""Seeds that belong to one nomination; the first block of all is that of certificates made before
each nomination had its own."""


def certificate_block(number: int) -> range:
    """The seeds that belong to whatever has this number; never those of the first block."""
    blocks = (2**32 - FIRST_CERTIFICATE_SEED) // CERTIFICATE_BLOCK
    first = FIRST_CERTIFICATE_SEED + CERTIFICATE_BLOCK * (1 + number % (blocks - 1))
    return range(first, first + CERTIFICATE_BLOCK)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Another way of prompting for a pair.

    Raises:
        ValueError: stages that do not rise within (0, 1] and end at 1.0.
    """

    stages: tuple[Stage, ...]
    negative_prompt: str = ""
    """Added to whatever the model is told to keep away from anyway."""

    def __post_init__(self) -> None:
        _refuse_odd_stages(self.stages)

    @property
    def key(self) -> str:
        """Named by what the model is told."""
        return content_key(self)

    @property
    def manners(self) -> frozenset[StageManner]:
        """In which its stages are drawn, beside being told."""
        return manners_of_stages(self.stages)

    def __str__(self) -> str:
        said = " → ".join(
            stage.said
            if stage.denoising_end == 1
            else f"{stage.said} (to {stage.denoising_end:.0%})"
            for stage in self.stages
        )
        return f"{said} (without: {self.negative_prompt})" if self.negative_prompt else said


@dataclass(frozen=True, slots=True)
class Seen:
    """What a checker saw of both concepts in the picture of one seed; scores in [0, 1]."""

    seed: int
    a: float | None
    """None where it abstained, or where there is no picture."""
    b: float | None
    a_described: float | None = None
    """Of a guide that measures likeness: to the description, where ``a`` is to the name."""
    b_described: float | None = None

    @property
    def worse(self) -> float | None:
        """The score of the concept that is shown less; None unless both are known."""
        a, b = _higher(self.a, self.a_described), _higher(self.b, self.b_described)
        return None if a is None or b is None else min(a, b)


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate as a fact: tried on these seeds, and seen so by the checker that guides."""

    pair: str
    """The pair's key."""
    model: str
    repairer: str
    guide: str
    """Id of the checker that guided the search; it never certifies what was found."""
    candidate: Candidate
    seen: tuple[Seen, ...]
    """One a seed, in the order they were asked for."""
    cache: str = ""
    """By which its pictures were drawn, faster and not quite as the model draws, and what was asked
    of them; empty where they are as the model draws them of itself."""

    @property
    def key(self) -> str:
        """Named by all of it."""
        return content_key(self)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The candidate's."""
        return self.candidate.stages

    @property
    def negative_prompt(self) -> str:
        """The candidate's."""
        return self.candidate.negative_prompt

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those it was tried on."""
        return tuple(item.seed for item in self.seen)

    @property
    def fitness(self) -> float | None:
        """Mean over seeds of the worse of the two concepts, in [0, 1]; None if nothing was seen."""
        return _mean([item.worse for item in self.seen])

    def mean(self, side: Side) -> float | None:
        """Mean score of one concept, in [0, 1]; None if nothing was seen.

        Of likenesses the mean over names or over descriptions, whichever is higher.
        """
        if side is Side.A:
            named, described = "a", "a_described"
        else:
            named, described = "b", "b_described"
        return _higher(
            *(_mean([getattr(item, name) for item in self.seen]) for name in (named, described))
        )

    def right(self, threshold: float = 0.5) -> tuple[int, int]:
        """``(right, total)``: pictures that show both concepts, of those that were seen."""
        worse = [item.worse for item in self.seen if item.worse is not None]
        return sum(score >= threshold for score in worse), len(worse)


@dataclass(frozen=True, slots=True)
class Nomination:
    """What a search chose for a pair: a fact, to be certified on seeds that it never saw."""

    pair: str
    """The pair's key."""
    model: str
    repairer: str
    guide: str
    candidate: Candidate
    budget: int
    """Pictures that the search might ask for."""
    pictures: int = field(metadata={"identity": False})
    """Different pictures that it did ask for, drawn then or found in the store."""
    ended: str = field(metadata={"identity": False})
    """``"found"`` where the search was content, or why it stopped."""
    seconds: float | None = None
    """That the search might take; None is as long as the pictures lasted."""
    calls: int | None = None
    """That it might make to its text model; None where it had none."""
    given: tuple[str, ...] = ()
    """What else decided its way, e.g. ``"text model chat:…"``, ``"guard clip:…"``."""
    reference: str = field(default="", metadata={"identity": False})
    """Where its reference picture came from; empty where it asked for none."""

    @property
    def key(self) -> str:
        """Named by who chose what for which pair and model."""
        return content_key(self)

    @property
    def fresh_seeds(self) -> range:
        """Those that prove this nomination and no other, whichever model draws them.

        Two nominations of a pair share none (but for chance, one in a million): else the second
        would be chosen among candidates on seeds that the first had already been read from.
        """
        return certificate_block(key_number(self.key))


@dataclass(frozen=True, slots=True)
class Certificate:
    """Whether a nominated candidate draws a pair more often right, on fresh seeds.

    An opinion, computed from facts under a threshold and never stored.
    """

    nomination: Nomination
    judge: str
    """Id of the checker that decided, never the guide."""
    seeds: tuple[int, ...]
    """Those on which both pictures were judged."""
    unjudged: int
    """Seeds left out because one of the two pictures was refused, failed or not scored."""
    before: Rate
    after: Rate
    levels_before: LevelRange
    levels_after: LevelRange
    wins: int
    """Seeds that only the candidate draws right."""
    losses: int
    """Seeds that only the plain prompt draws right."""
    p: float
    """Two-sided exact McNemar, which is right for a number of seeds fixed beforehand and looked at
    once. It decides nothing."""
    anytime_p: float
    """Two-sided, and right however often the certificate is looked at again on more seeds: what
    decides."""
    collateral: tuple[str, ...] = ()
    """What the candidate costs, a sentence each."""
    alpha: float = 0.05
    model: str = ""
    """Which model drew both pictures, where that is not the nomination's."""

    @property
    def passed(self) -> bool:
        """Whether the pair counts as repaired: more right than before, and not by chance.

        Of this one, whatever else was looked at: :func:`lcmis.judge.proved` says which of many.
        """
        return self.anytime_p < self.alpha and self.wins > self.losses

    @property
    def harms(self) -> bool:
        """Whether the candidate is right less often than the plain prompt, and not by chance."""
        return self.anytime_p < self.alpha and self.losses > self.wins


@dataclass(frozen=True, slots=True)
class Expected:
    """What a repair showed and what it would show on other seeds, shares of pictures."""

    gained: float
    """After minus before, as seen, in [-1, 1]."""
    gain: float
    """The same, shrunk towards the mean of all that were looked at."""
    after: float
    """Right pictures of the repaired prompt, shrunk likewise, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a certificate is worth among all that were looked at with it."""

    proved: bool
    """Whether it stands: it passes, and not because so many were looked at."""
    among: int
    """Certificates that were looked at, itself included."""
    expected: Expected


def _higher(named: float | None, described: float | None) -> float | None:
    return max((one for one in (named, described) if one is not None), default=None)


def _mean(scores: list[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None


# ── what is known beside ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a text model or a checker was asked and what it said, as a fact; no endpoint's key is
    ever in it.
    """

    request: str
    """Named by all that decides the reply: the same question is found again by this."""
    model: str
    messages: tuple[tuple[str, str], ...]
    """``(role, text)`` in order."""
    reply: str
    """Empty where there is none."""
    reason: str
    """Why there is no reply that can be used; empty if there is one."""
    images: tuple[str, ...] = ()
    """SHA-256 of each picture's mode, size and pixels."""
    schema: str = ""
    """The JSON schema asked for; of pictures and checkers, JSON of how they were asked for."""
    seconds: float = 0.0
    at: str = ""
    """When it began, in UTC, ISO 8601."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What a checker wants to know of a picture: names what it asks a service for that."""

    checker: str
    """Its id, which names all that decides what it is asked and how that is read."""
    picture: str
    """SHA-256 of the pixels, as a :class:`Render` has it."""
    question: str
    """The question's key."""

    @property
    def key(self) -> str:
        """Under which what was asked and said is kept, as :class:`Exchange` has it."""
        return content_key(self)


@dataclass(frozen=True, slots=True)
class Run:
    """Provenance: one start of an audit."""

    run_id: str
    started_at: str
    """UTC, ISO 8601."""
    command: str
    config: str
    """The whole configuration as JSON, secrets left out."""
    versions: str
    """Package versions as JSON."""
    git_revision: str
    device: str
    models: tuple[str, ...] = ()
    """Ids, as the configuration orders them; empty in a run of an lcmis that did not keep them."""
    checkers: tuple[str, ...] = ()
    """Ids, the deciding one first; empty in a run of an lcmis that did not keep them."""


@dataclass(frozen=True, slots=True)
class Shift:
    """What one worker of a run did for a while with one model or checker, or what befell it."""

    run_id: str
    worker: str
    """Its name; empty for the process that was started itself."""
    node: str
    device: str
    plugin: str
    """Id of the model or the checker; empty where ``sentence`` is all there is to say."""
    at: str
    """When it ended, in UTC, ISO 8601."""
    seconds: float
    """How long it lasted."""
    busy: float
    """Seconds in which its device worked on what came of it."""
    pictures: int = 0
    answers: int = 0
    failures: int = 0
    """Items that could not be drawn or checked."""
    log: str = ""
    """File in which it says more, on its own node."""
    sentence: str = ""
    """Why it died or works no more."""

    @property
    def key(self) -> str:
        """Named by its content: a store that is merged twice has it once."""
        return content_key(self)


@dataclass(frozen=True, slots=True)
class Failure:
    """One item that failed, beside the facts: it will be tried again on the next run."""

    item: str
    """Key of the spec or picture."""
    stage: str
    """``"render"``, ``"check"``, ``"ask"`` for what a text model did not answer, or ``"repair"``
    for a way of repairing that could not be tried."""
    sentence: str
    at: str
    """UTC, ISO 8601."""
