"""EDITOR: an embedding moved by gradients through the image model, and read back as text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import torch

from lcmis.errors import InversionError, RenderError
from lcmis.invert.methods.fit import Fit
from lcmis.plugins.optional import corrects
from lcmis.plugins.protocols import CorrectingWriter, Denoiser, Encoder, Need, Tools, Writer
from lcmis.text.asking import caption

if TYPE_CHECKING:
    from PIL.Image import Image

RANDOM_TEXTS, RANDOM_WORDS = 512, 8
"""By which the space of texts is measured; words of the text encoder's vocabulary."""
SMALLEST_VARIANCE = 1e-4
"""That a direction is given, as a share of the largest."""


@dataclass(frozen=True, slots=True)
class Editor:
    """Captions a picture, moves what the text encoder makes of the caption until the image model
    expects the picture, and has a writer put the moved vectors in words.

    Source: Li et al., EDITOR, arXiv 2506.03067, with the settings of their code, scaled down.
    Deviations: the loss is that of the predicted noise in latent space, at times and noise drawn
    anew in each step, instead of pixels after five steps of one sampler on one seed. So the vectors
    do not fit a seed, and a step costs one pass through the U-Net instead of five and none through
    the decoder; but no snapshot is the best by its loss, and all are read. Several beams of each
    compete, and the caption with them: those nearest to the picture by an encoder are painted, as
    the paper's twenty are, and compared by the same encoder, which is never the one that reports.
    A writer with a corrector looks at its texts again, as theirs does, and what is nearest to the
    snapshot's vector goes on (Morris et al., EMNLP 2023, section 4).
    Steps are as long as vectors of texts vary in each direction: AdamW goes the same way in all of
    them, also where no text goes, and no writer can read what is found there.

    Args:
        iterations: steps of AdamW.
        every: steps between two snapshots; the start is the first.
        half_cycle: steps in which the learning rate goes from ``low_rate`` to ``high_rate``, and
            back; in deviations of vectors of texts.
        samples: noised latents in each step.
        times: how much noise, from 0 to 1: near 0 the picture tells all, and words nothing.
        beams: texts read from one snapshot.
        corrections: times that a writer with a corrector looks at them again, at most; theirs, too.
        most: texts that are painted, besides the caption.
        paintings: pictures of each.
        neutral: where the way starts if no text model sees pictures.
    """

    iterations: int = 40
    every: int = 5
    half_cycle: int = 10
    low_rate: float = 0.3
    high_rate: float = 0.5
    samples: int = 4
    times: tuple[float, float] = (0.4, 1.0)
    beams: int = 4
    corrections: int = 20
    most: int = 6
    paintings: int = 2
    neutral: str = "a picture"

    needs = frozenset({Need.DENOISER, Need.WRITER, Need.ENCODER})

    @property
    def inverter_id(self) -> str:
        """The algorithm."""
        return "editor"

    def invert(self, reference: Image, tools: Tools) -> Iterator[str]:
        """The caption if there is one, then what was read and is better, the best last.

        Raises:
            InversionError: the image model gives no gradients, no writer reads its text encoder, or
                there is no encoder to choose by.
            RenderError: the caption is longer than the image model reads.
            TextModelError: no caption.
            OutOfBudget: as it paints.
        """
        denoiser, writer, encoder = _needed(tools)
        start, to_beat = self.neutral, -math.inf
        fit = Fit(encoder, reference)
        if tools.text_model is not None and tools.text_model.sees_images:
            start = caption(tools.text_model, reference)
            yield start
            to_beat = fit.painted(start, tools.paint, self.paintings)
        pooled = torch.cat(list(self._snapshots(denoiser, reference, start, tools.seed)))
        written = writer.write(pooled, self.beams)
        if corrects(writer):
            read = cache(partial(_pooled, denoiser))  # snapshots near each other say the same
            written = [
                self._corrected(wanted, drafts, read, writer)
                for wanted, drafts in zip(pooled, written, strict=True)
            ]
        texts = sorted({text for texts in written for text in texts} - {start})
        fit.of_all(texts)
        nearest = sorted(texts, key=fit.of)[-self.most :]  # none if all still read as the caption
        liked = {text: fit.painted(text, tools.paint, self.paintings) for text in nearest}
        yield from (
            text for text in sorted(nearest, key=liked.__getitem__) if liked[text] > to_beat
        )

    def _snapshots(
        self, denoiser: Denoiser, reference: Image, start: str, seed: int
    ) -> Iterator[torch.Tensor]:
        """Pooled vectors (1, dim) of the embedding on its way; the start token stays as it is."""
        dice = torch.Generator().manual_seed(seed)
        spread = _spread(denoiser, dice)
        latents, whole = denoiser.latents(reference), denoiser.read(start)
        free = torch.zeros_like(whole[:, 1:]).requires_grad_()
        optimizer = torch.optim.AdamW([free], lr=self.high_rate)
        schedule = torch.optim.lr_scheduler.CyclicLR(
            optimizer, self.low_rate, self.high_rate, self.half_cycle, cycle_momentum=False
        )
        yield denoiser.pooled(whole)
        for step in range(1, self.iterations + 1):
            moved = torch.cat([whole[:, :1], whole[:, 1:] + free @ spread.T], dim=1)
            loss = denoiser.loss(latents, moved, dice, samples=self.samples, times=self.times)
            (free.grad,) = torch.autograd.grad(loss, free)
            optimizer.step()
            schedule.step()
            if step % self.every == 0:
                moved = torch.cat([whole[:, :1], whole[:, 1:] + free.detach() @ spread.T], dim=1)
                yield denoiser.pooled(moved)

    def _corrected(
        self,
        wanted: torch.Tensor,
        drafts: list[str],
        read: Callable[[str], torch.Tensor | None],
        writer: CorrectingWriter,
    ) -> list[str]:
        """The ``beams`` texts whose pooled vectors are nearest to one, (dim,), after all steps."""
        reached: dict[str, torch.Tensor] = {}
        nearness: dict[str, float] = {}
        kept: list[str] = []
        new = drafts
        for left in reversed(range(self.corrections + 1)):
            for text in new:
                vector = read(text)
                if vector is not None and text not in reached:
                    reached[text], nearness[text] = vector, _cosine(wanted, vector)
            nearest = sorted(reached, key=nearness.__getitem__, reverse=True)[: self.beams]
            if nearest == kept:
                break  # it says nothing better
            kept = nearest
            if left:
                there = torch.stack([reached[text] for text in kept])
                found = writer.correct(wanted.expand_as(there), there, kept, self.beams)
                new = [text for texts in found for text in texts]
        return kept


def _pooled(denoiser: Denoiser, text: str) -> torch.Tensor | None:
    """A text as one vector, (dim,); None if it is too long."""
    try:
        return denoiser.pooled(denoiser.read(text))[0]
    except RenderError:
        return None


def _cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))


def _spread(denoiser: Denoiser, dice: torch.Generator) -> torch.Tensor:
    """The square root of the covariance of pooled vectors, (dim, dim), of texts of random words."""
    words = denoiser.vocabulary()
    rows = torch.randint(len(words), (RANDOM_TEXTS, RANDOM_WORDS), generator=dice)
    with torch.no_grad():
        read = [denoiser.read_embeddings(words[batch]) for batch in rows.to(words.device).split(64)]
    pooled = torch.cat([denoiser.pooled(contextual) for contextual in read])
    variances, directions = torch.linalg.eigh(torch.cov(pooled.T))
    return directions * variances.clamp(min=SMALLEST_VARIANCE * variances.max()).sqrt()


def _needed(tools: Tools) -> tuple[Denoiser, Writer, Encoder]:
    """What the method cannot do without."""
    if tools.denoiser is None:
        why = tools.no_gradients or "it offers none: take a Stable Diffusion 1 or 2 model"
        raise InversionError(f"editor follows the gradient of the image model, but {why}")
    if tools.writer is None:
        raise InversionError(
            "editor needs a writer to put embeddings in words and there is none: name one that "
            "was trained for the text encoder of the image model"
        )
    if tools.encoder is None:
        raise InversionError(
            "editor chooses among texts by an encoder and there is none: "
            "let an open_clip model guide"
        )
    if tools.writer.encodes_like != tools.denoiser.encodes_like:
        raise InversionError(
            f"{tools.writer.writer_id} reads the embeddings of another text encoder than that of "
            f"{tools.denoiser.denoiser_id}: name a writer that was trained for this one"
        )
    return tools.denoiser, tools.writer, tools.encoder
