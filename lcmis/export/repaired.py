"""Repaired prompts as files for other tools, with their model, seeds, scores and certificate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lcmis import findings
from lcmis.errors import ConfigError
from lcmis.findings.notes import NOTHING, Noted
from lcmis.findings.words import percent, several
from lcmis.plugins.opening import Openable
from lcmis.store import Store
from lcmis.types import (
    Adapter,
    Certificate,
    ConceptPair,
    Embedding,
    Seen,
    Stage,
    StageManner,
    Standing,
    stage_starts,
)

if TYPE_CHECKING:
    from lcmis.findings import RepairFinding


@dataclass(frozen=True, slots=True)
class RepairedPrompt:
    """One pair with the way of prompting that was found for it, and all that proves it.

    Raises:
        ValueError: the certificate is another pair's, or one from elsewhere another candidate's.
    """

    pair: ConceptPair
    certificate: Certificate
    standing: Standing
    """Among all certificates of the store: whether it counts as repaired."""
    num_inference_steps: int
    guidance_scale: float
    scheduler: str
    """As the model reports it: the class in diffusers."""
    height: int
    width: int
    negative_prompt: str
    """All that the pictures were kept away from: the model's own and the candidate's."""
    seen: tuple[Seen, ...] = ()
    """What the judge saw in the repaired pictures, one a seed of the certificate."""
    threshold: float = 0.5
    """Score from which a concept counted as present."""
    source: str = ""
    """Hub name or folder from which diffusers loads the model; by default its id, less the
    revision."""
    revision: str = ""
    """Of a hub model; empty for a folder."""
    adapters: tuple[Adapter, ...] = ()
    embeddings: tuple[Embedding, ...] = ()
    vae: str = ""
    """Another one than the model's own, ``name@revision``."""
    base: str = ""
    """Of a single file: the model that says how it is built, ``name@revision``."""
    variant: str = ""
    """Of the weights of a folder that holds several."""
    dtype: str = "float32"
    """Number format in which diffusers loads the weights."""
    elsewhere: tuple[Certificate, ...] = ()
    """Of the same candidate on other models."""
    helps_on: tuple[str, ...] = ()
    """Those where it stands among all certificates of the store."""
    noted: Noted = NOTHING
    """What people left on it, and on its pair."""

    def __post_init__(self) -> None:
        if self.certificate.nomination.pair != self.pair.key:
            raise ValueError(f"the certificate is not about {self.pair.prompt!r}")
        if any(one.nomination != self.certificate.nomination for one in self.elsewhere):
            raise ValueError("a certificate from elsewhere is about another candidate")

    @property
    def model(self) -> str:
        """``name@revision``."""
        return self.certificate.nomination.model

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What replaces the pair's prompt."""
        return self.certificate.nomination.candidate.stages

    @property
    def manners(self) -> frozenset[StageManner]:
        """In which the stages are drawn, beside being told; most tools know none."""
        return self.certificate.nomination.candidate.manners

    @property
    def location(self) -> str:
        """Where diffusers finds the model."""
        return self.source or self.model.partition("@")[0]

    def starts(self) -> tuple[tuple[int, str], ...]:
        """``(step, prompt)``: from which denoising step, counted from 0, each prompt rules.

        A stage too short for one whole step gives way to its successor.
        """
        ruling = stage_starts(self.stages, self.num_inference_steps)
        return tuple((step, stage.prompt) for step, stage in ruling.items())

    def summary(self) -> str:
        """The certificate in one line, what the repair costs included."""
        one = self.certificate
        costs = f", but {'; '.join(one.collateral)}" if one.collateral else ""
        judged = one.judge if self.threshold == 0.5 else f"{one.judge} at {self.threshold:g}"
        told = "repaired" if self.standing.proved else "NOT repaired"
        if one.passed and not self.standing.proved:
            told += f" among {self.standing.among} certificates, though it passes alone"
        return (
            f"{told}: "
            f"{percent(one.before.value)}% right before, {percent(one.after.value)}% after, "
            f"{one.wins} wins, {one.losses} losses, "
            f"p = {one.anytime_p:.2g} at any number of looks, "
            f"McNemar's for one look {one.p:.2g}, "
            f"on {len(one.seeds)} fresh seeds, judged by {judged}{costs}"
        )


def told_only(one: RepairedPrompt, tool: str) -> str:
    """Why a tool that tells a model one prompt at a time cannot say a repair; empty if it can."""
    if not one.manners:
        return ""
    said = str(one.certificate.nomination.candidate)
    return f"{one.pair.prompt!r} for {one.model}: {said!r} is more than {tool} can be told"


def repaired_prompt(
    found: RepairFinding, source: str = "", threshold: float = 0.5
) -> RepairedPrompt:
    """A certified repair, ready for other tools.

    Args:
        found: On the model it was found for, and on others.
        source: Whence diffusers loads that model.
        threshold: Score from which a concept counted as present.
    """
    spec = found.spec
    return RepairedPrompt(
        pair=found.pair,
        certificate=found.certificate,
        standing=found.standing,
        num_inference_steps=spec.num_inference_steps,
        guidance_scale=spec.guidance_scale,
        scheduler=spec.scheduler,
        height=spec.height,
        width=spec.width,
        negative_prompt=spec.negative_prompt,
        seen=found.seen,
        threshold=threshold,
        source=source,
        noted=found.noted,
        adapters=spec.adapters,
        embeddings=spec.embeddings,
        vae=spec.vae,
        base=spec.base,
        variant=spec.variant,
        dtype=spec.dtype or "float32",
        elsewhere=tuple(one.certificate for one in found.elsewhere),
        helps_on=tuple(one.model for one in found.elsewhere if one.standing.proved),
    )


def repaired_prompts(
    store: Store, checker_id: str, *, threshold: float = 0.5, every: bool = False
) -> list[RepairedPrompt]:
    """The best certified prompt of each pair and model, ready to be exported.

    Args:
        store: The facts.
        checker_id: Whose scores certify.
        threshold: Score from which a concept counts as present.
        every: Also prompts whose certificate does not stand among all of the store.

    Raises:
        ConfigError: there is none; the sentence says whether there is one that does not stand.
    """
    found = findings.find_repairs(store, checker_id, threshold=threshold)
    chosen = findings.best_repairs(found, every=every)
    if not chosen and (others := findings.best_repairs(found, every=True)):
        raise ConfigError(
            f"{several(len(others), 'repair')} in this store, and none stands as proved at a "
            f"threshold of {threshold:g}: export them all the same with --every, or search "
            f"on with `lcmis repair`"
        )
    known = Openable(findings.past_models(store))
    return [repaired_prompt(item, _source(known, item), threshold) for item in chosen]


def _source(known: Openable, found: RepairFinding) -> str:
    """Whence diffusers loads who drew it; empty where that cannot be opened here."""
    model, _ = next(known.named(found.model), (None, None))
    return str(getattr(model, "source", ""))
