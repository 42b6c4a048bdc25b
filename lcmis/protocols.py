"""The plugs: what a model, checker or proposer must offer to take part in an audit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from lcmis.types import Adapter, Answer, ConceptPair, Question, RenderSpec, Stage

if TYPE_CHECKING:
    from PIL.Image import Image

    from lcmis.errors import RenderError


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How a user names an image model and wants it run; None leaves a choice to the model."""

    name: str
    """A registered name, a hub name or a folder."""
    revision: str | None = None
    adapters: tuple[Adapter, ...] = ()
    device: str = "auto"
    """``auto`` takes an accelerator if there is one; ``cuda`` where there is none is an error."""
    dtype: str = "auto"
    """``float32``, ``float16``, ``bfloat16``; ``auto`` is float32 on a CPU, else bfloat16."""
    offload: str = "none"
    """``none``, ``model`` or ``sequential``: what rests in main memory between uses."""
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    """A diffusers scheduler class, e.g. ``EulerDiscreteScheduler``."""
    height: int | None = None
    width: int | None = None
    negative_prompt: str = ""
    batch_size: int | None = None


@dataclass(frozen=True, slots=True)
class CheckerSettings:
    """How a user names a checker and wants it run."""

    kind: str
    """A registered kind: ``clip``, ``vqa``, …"""
    name: str = ""
    """What that kind calls a model: ``ViT-B-32/laion2b_s34b_b79k``, a hub name, a folder; empty
    where the kind is one model."""
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = None


@runtime_checkable
class ImageModel(Protocol):
    """Draws pictures from specifications.

    Retries and storage are the harness's; a plug only draws. A spec is made by :meth:`spec`, so
    that the model alone decides what its defaults are. Making the object reads configuration only
    and imports no torch: weights are loaded by the first :meth:`generate`, so that planning, or an
    audit with nothing left to do, costs nothing.
    """

    model_id: str
    """``name@revision``, the revision resolved."""
    supports_stages: bool
    """Whether more than one stage can be drawn."""
    supports_seeds: bool
    """Whether the same spec gives the same picture again."""
    batch_size: int
    """The one batch shape it draws; :meth:`generate` pads what is shorter."""

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


@runtime_checkable
class Checker(Protocol):
    """Tells how surely a picture shows what a question asks.

    As with models, making the object is light; the first :meth:`score` loads the weights.
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


class Proposer(Protocol):
    """Finds concept pairs that may fail."""

    def propose(self, count: int, known: frozenset[str]) -> Iterator[ConceptPair]:
        """Yield up to ``count`` pairs whose keys are not in ``known``."""
        ...


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
