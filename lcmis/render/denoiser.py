"""A pipeline's parts with gradients to what it is told: what is the same for all denoisers."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from lcmis.machine.pictures import flat

if TYPE_CHECKING:
    from PIL.Image import Image

WATCHED = (0.3, 0.5, 0.7)
"""Shares of the schedule at which attention is looked at: shapes are there, and not yet settled."""
WORD = re.compile(r"\w+(?:['\N{RIGHT SINGLE QUOTATION MARK}-]\w+)*")


class PipelineDenoiser(ABC):
    """Gradients through a pipeline, weights frozen.

    Args:
        denoiser_id: the image model's id.
        device: where the pipeline lies.
        size: height and width in pixels of what the model draws.
        load: gives the pipeline; called once, at the first use.
        recomputes: whether the network computes its layers again as gradients come back (gradient
            checkpointing), which takes about a third longer and far less memory; by default as is
            usual for the family.
        reads: tokens of a prompt that the pipeline is told to read; 0 where it is told no number.
    """

    usually_recomputes: ClassVar[bool] = True
    halves: ClassVar[bool] = False
    """Whether gradients may go through weights in bfloat16."""

    def __init__(
        self,
        denoiser_id: str,
        device: str,
        size: tuple[int, int],
        load: Callable[[], Any],
        *,
        recomputes: bool | None = None,
        reads: int = 0,
    ) -> None:
        self.denoiser_id = denoiser_id
        self.device = device
        self.recomputes = self.usually_recomputes if recomputes is None else recomputes
        self._size = size
        self._load = load
        self._told_to_read = reads

    @property
    @abstractmethod
    def encodes_like(self) -> str:
        """Content hash of the text encoders' weights."""

    @abstractmethod
    def read(self, prompt: str, *, padded: bool = False) -> torch.Tensor:
        """What the text encoders make of a prompt, (1, length, dim).

        Raises:
            RenderError: the prompt is longer than they read.
        """

    @abstractmethod
    def vocabulary(self) -> torch.Tensor:
        """Vectors of the tokens that words are made of, (tokens, dim)."""

    @abstractmethod
    def read_embeddings(self, embeddings: torch.Tensor, *, padded: bool = False) -> torch.Tensor:
        """Vectors (n, length, dim) in the places of words, as (n, length + 2, dim)."""

    @abstractmethod
    def text_of(self, rows: Sequence[int]) -> str:
        """What tokens spell, given as rows of :meth:`vocabulary`."""

    def pooled(self, embeddings: torch.Tensor) -> torch.Tensor:
        """The vector at the end of the text, (n, dim)."""
        return embeddings[:, -1]

    @torch.no_grad()
    def latents(self, picture: Image) -> torch.Tensor:
        """A picture, cut to the shape that the model draws, (1, channels, height, width)."""
        height, width = self._size
        pixels = self._pipeline.image_processor.preprocess(
            flat(picture), height, width, resize_mode="crop"
        )
        vae = self._pipeline.vae
        seen = vae.encode(pixels.to(self.device, vae.dtype)).latent_dist.mode().float()
        return self._scaled(seen, vae.config)

    def loss(
        self,
        latents: torch.Tensor,
        embeddings: torch.Tensor,
        generator: torch.Generator,
        *,
        samples: int = 4,
        times: tuple[float, float] = (0.0, 1.0),
    ) -> torch.Tensor:
        """Mean squared error of what the network predicts, averaged over noised latents.

        Embeddings of several texts, (n, length, dim), all face the same noise, and each gets a
        loss of its own.

        Args:
            latents: (1, channels, height, width).
            embeddings: contextual ones, with padding or without, (n, length, dim).
            generator: on the CPU, so that a seed means the same on every device.
            samples: noised latents for each text; all run in one batch.
            times: from where to where on the schedule, 0 being clean and 1 noise.

        Returns:
            A scalar for one text, (n,) for more.
        """
        total = self._schedule.config.num_train_timesteps
        first, last = (round(share * total) for share in times)
        steps = torch.randint(first, max(last, first + 1), (samples,), generator=generator)
        noise = torch.randn((samples, *latents.shape[1:]), generator=generator)
        steps, noise = steps.to(self.device), noise.to(self.device)
        clean = latents.expand(samples, -1, -1, -1)
        texts = len(embeddings)
        predicted = self._predicted(
            self._mixed(clean, noise, steps).repeat(texts, 1, 1, 1),
            steps.repeat(texts),
            self._as_long_as_drawn(embeddings).repeat_interleave(samples, dim=0),
        )
        wanted = self._wanted(clean, noise, steps).repeat(texts, 1, 1, 1)
        losses = (predicted - wanted).square().flatten(1).mean(1).view(texts, samples).mean(1)
        return losses[0] if texts == 1 else losses

    @torch.no_grad()
    def attention(self, picture: Image, prompt: str) -> dict[str, torch.Tensor]:
        """For each word of a prompt, where its attention looks when the picture is drawn.

        Averaged over heads, layers of all resolutions, three amounts of noise, and the tokens of a
        word; a word that stands there twice has one map. Each map (height, width) of the latents
        sums to one.

        Raises:
            RenderError: the prompt is longer than the text encoders read.

        Source: Tang et al., ACL 2023 (DAAM, section 3), over noised pictures instead of a drawing.
        """
        noisy, steps = self._noised(picture)
        shape = (noisy.shape[2], noisy.shape[3])
        text = self.read(prompt, padded=True).expand(len(WATCHED), -1, -1)
        layers = self._looks(noisy, steps, text)
        maps = torch.stack([_as_map(scores, shape) for scores in layers]).mean(0)
        words: dict[str, list[int]] = {}
        for word in WORD.finditer(prompt):
            inside = self._places(prompt, word.start(), word.end())
            words.setdefault(word.group(), []).extend(inside)
        return {word: _to_one(maps[rows].mean(0)) for word, rows in words.items() if rows}

    @torch.no_grad()
    def influence(self, picture: Image, prompt: str, others: Sequence[str]) -> list[torch.Tensor]:
        """Where a picture would be drawn otherwise if the prompt were each of the others.

        The absolute difference of what the network predicts under both, averaged over channels and
        over the amounts of noise of :meth:`attention`; (height, width) of the latents, sums to one
        unless it is zero everywhere.

        Raises:
            RenderError: one of the prompts is longer than the text encoders read.

        Source: Couairon et al., "DiffEdit", ICLR 2023, section 3.2, step 1; theirs is one amount of
        noise, drawn ten times.
        """
        noisy, steps = self._noised(picture)
        asked, *instead = (
            self._predicted(noisy, steps, self.read(said, padded=True).expand(len(steps), -1, -1))
            for said in (prompt, *others)
        )
        changes = [(one - asked).abs().mean((0, 1)) for one in instead]
        return [_to_one(changed) if changed.any() else changed for changed in changes]

    def _noised(self, picture: Image) -> tuple[torch.Tensor, torch.Tensor]:
        """A picture under each amount of noise that is looked at, and the steps they belong to."""
        latents = self.latents(picture)
        total = self._schedule.config.num_train_timesteps
        steps = torch.tensor([round(share * total) for share in WATCHED], device=self.device)
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
        clean = latents.expand(len(WATCHED), -1, -1, -1)
        return self._mixed(clean, noise.to(self.device).expand_as(clean), steps), steps

    # ── what a family says of itself ─────────────────────────────────────────────────────────

    @property
    @abstractmethod
    def _network(self) -> Any:
        """What predicts."""

    @property
    @abstractmethod
    def _schedule(self) -> Any:
        """The noise that the model was trained with, whatever sampler draws."""

    @abstractmethod
    def _scaled(self, seen: torch.Tensor, config: Any) -> torch.Tensor:
        """What the VAE sees in a picture, (1, channels, height, width), as the network is told it.

        Args:
            seen: by the VAE.
            config: of the VAE.
        """

    @abstractmethod
    def _mixed(self, clean: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """Latents with the noise of their steps."""

    @abstractmethod
    def _wanted(
        self, clean: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor
    ) -> torch.Tensor:
        """What the network was trained to predict."""

    @abstractmethod
    def _predicted(
        self, noisy: torch.Tensor, steps: torch.Tensor, embeddings: torch.Tensor
    ) -> torch.Tensor:
        """What the network makes of noised latents and of texts with padding, one for each."""

    @abstractmethod
    def _looks(
        self, noisy: torch.Tensor, steps: torch.Tensor, embeddings: torch.Tensor
    ) -> list[torch.Tensor]:
        """Of every layer, how much each place of the picture looks at each token of the text:
        (batch · heads, places, tokens).
        """

    @abstractmethod
    def _places(self, prompt: str, start: int, end: int) -> list[int]:
        """Tokens of :meth:`_looks` that letters of a prompt fall into."""

    @property
    @abstractmethod
    def _reads(self) -> int:
        """Places of a text with its padding."""

    # ── the parts ────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _pipeline(self) -> Any:
        pipeline = self._load()
        for name, part in pipeline.components.items():
            if isinstance(part, torch.nn.Module):
                part.requires_grad_(False)
                if name in ("unet", "transformer"):
                    way = "enable" if self.recomputes else "disable"
                    getattr(part, f"{way}_gradient_checkpointing")()
        return pipeline

    def _as_long_as_drawn(self, embeddings: torch.Tensor) -> torch.Tensor:
        lacking = self._reads - embeddings.shape[1]
        return torch.cat([embeddings, embeddings[:, -1:].expand(-1, lacking, -1)], dim=1)


def _as_map(scores: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """One layer's attention as (tokens, height, width) of the latents."""
    places = scores.shape[1]
    height = round(math.sqrt(places * shape[0] / shape[1]))
    maps = scores.mean(0).T.reshape(1, -1, height, places // height)
    larger = torch.nn.functional.interpolate(maps, shape, mode="bilinear", align_corners=False)
    return larger[0]


def _to_one(values: torch.Tensor) -> torch.Tensor:
    return values / values.sum()
