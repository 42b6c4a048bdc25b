"""A Stable Diffusion pipeline's parts, with gradients to what its text encoder is told."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import diffusers
import torch

from lcmis.errors import RenderError
from lcmis.machine.hub import weights_fingerprint
from lcmis.machine.pictures import flat
from lcmis.text.vocabulary import Vocabulary, told

if TYPE_CHECKING:
    from PIL.Image import Image

WATCHED = (0.3, 0.5, 0.7)
"""Shares of the schedule at which attention is looked at: shapes are there, and not yet settled."""
WORD = re.compile(r"\w+(?:['\N{RIGHT SINGLE QUOTATION MARK}-]\w+)*")


class UNetDenoiser:
    """Gradients through a pipeline of Stable Diffusion 1 or 2, weights frozen.

    A prompt is drawn with its padding, which the U-Net attends to like to words and which says much
    of what the words say. Embeddings without it are padded by their last vector, which says the
    whole text: nearest of all short ways to what is drawn, and still not the same.

    Args:
        denoiser_id: the image model's id.
        device: where the pipeline lies.
        size: height and width in pixels of what the model draws.
        load: gives the pipeline in float32; called once, at the first use.
    """

    def __init__(
        self, denoiser_id: str, device: str, size: tuple[int, int], load: Callable[[], Any]
    ) -> None:
        self.denoiser_id = denoiser_id
        self.device = device
        self._size = size
        self._load = load

    @cached_property
    def encodes_like(self) -> str:
        """Content hash of the text encoder's weights."""
        return weights_fingerprint(self._pipeline.text_encoder.state_dict())

    @torch.no_grad()
    def read(self, prompt: str, *, padded: bool = False) -> torch.Tensor:
        """What the text encoder makes of a prompt, (1, length, dim).

        Raises:
            RenderError: the prompt is longer than the text encoder reads.
        """
        tokens = self._tokens(prompt)
        return self._contextual(self._with_padding(tokens) if padded else tokens)

    def vocabulary(self) -> torch.Tensor:
        """Vectors of the tokens that words are made of, (tokens, dim)."""
        rows = torch.tensor(self._words.ids, device=self.device)
        return self._table.weight.detach()[rows].float()

    def read_embeddings(self, embeddings: torch.Tensor, *, padded: bool = False) -> torch.Tensor:
        """Vectors (n, length, dim) in the places of words, as (n, length + 2, dim)."""
        words, count = self._words, embeddings.shape[1]
        places = words.places(count)
        if not padded:
            places = places[: words.start + count + 1]
        with told(self._table, embeddings, words.start):
            return self._contextual(places, len(embeddings))

    def text_of(self, rows: Sequence[int]) -> str:
        """What tokens spell, given as rows of :meth:`vocabulary`."""
        return self._words.text_of(rows)

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
        latents = vae.encode(pixels.to(self.device)).latent_dist.mode()
        return (latents - (vae.config.shift_factor or 0.0)) * vae.config.scaling_factor

    def loss(
        self,
        latents: torch.Tensor,
        embeddings: torch.Tensor,
        generator: torch.Generator,
        *,
        samples: int = 4,
        times: tuple[float, float] = (0.0, 1.0),
    ) -> torch.Tensor:
        """Mean squared error of what the U-Net predicts, averaged over noised latents.

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

        Source: Ho, Jain, Abbeel, NeurIPS 2020, eq. 14; Salimans and Ho, ICLR 2022, appendix D, for
        models that predict velocities.
        """
        first, last = (round(share * self._schedule.config.num_train_timesteps) for share in times)
        steps = torch.randint(first, max(last, first + 1), (samples,), generator=generator)
        noise = torch.randn((samples, *latents.shape[1:]), generator=generator)
        steps, noise = steps.to(self.device), noise.to(self.device)
        clean = latents.expand(samples, -1, -1, -1)
        noisy = self._schedule.add_noise(clean, noise, steps)
        texts = len(embeddings)
        predicted = self._predicted(
            noisy.repeat(texts, 1, 1, 1),
            steps.repeat(texts),
            self._as_long_as_drawn(embeddings).repeat_interleave(samples, dim=0),
        )
        wanted = self._wanted(clean, noise, steps).repeat(texts, 1, 1, 1)
        losses = (predicted - wanted).square().flatten(1).mean(1).view(texts, samples).mean(1)
        return losses[0] if texts == 1 else losses

    @torch.no_grad()
    def attention(self, picture: Image, prompt: str) -> dict[str, torch.Tensor]:
        """For each word of a prompt, where its cross-attention looks when the picture is drawn.

        Averaged over heads, layers of all resolutions, three amounts of noise, and the tokens of a
        word; a word that stands there twice has one map. Each map (height, width) of the latents
        sums to one.

        Raises:
            RenderError: the prompt is longer than the text encoder reads.

        Source: Tang et al., ACL 2023 (DAAM, section 3), over noised pictures instead of a drawing.
        """
        noisy, steps = self._noised(picture)
        shape = (noisy.shape[2], noisy.shape[3])
        text = self.read(prompt, padded=True).expand(len(WATCHED), -1, -1)
        with _watched(self._pipeline.unet) as seen:
            self._predicted(noisy, steps, text)
        maps = torch.stack([_as_map(scores, shape) for scores in seen]).mean(0)
        offsets = self._pipeline.tokenizer(prompt, return_offsets_mapping=True).offset_mapping
        words: dict[str, list[int]] = {}
        for word in WORD.finditer(prompt):
            inside = [i for i, (a, b) in enumerate(offsets) if a < word.end() and b > word.start()]
            words.setdefault(word.group(), []).extend(inside)
        return {word: _to_one(maps[rows].mean(0)) for word, rows in words.items() if rows}

    @torch.no_grad()
    def influence(self, picture: Image, prompt: str, others: Sequence[str]) -> list[torch.Tensor]:
        """Where a picture would be drawn otherwise if the prompt were each of the others.

        The absolute difference of what the U-Net predicts under both, averaged over channels and
        over the amounts of noise of :meth:`attention`; (height, width) of the latents, sums to one
        unless it is zero everywhere.

        Raises:
            RenderError: one of the prompts is longer than the text encoder reads.

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
        return self._schedule.add_noise(clean, noise.to(self.device).expand_as(clean), steps), steps

    # ── the parts ────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _pipeline(self) -> Any:
        pipeline = self._load()
        for part in (pipeline.text_encoder, pipeline.unet, pipeline.vae):
            part.requires_grad_(False)
        self._prepare(pipeline)
        return pipeline

    def _prepare(self, pipeline: Any) -> None:
        """What else a family needs before its parts are used."""

    def _predicted(
        self, noisy: torch.Tensor, steps: torch.Tensor, embeddings: torch.Tensor
    ) -> torch.Tensor:
        """What the U-Net makes of noised latents and of texts with padding, one for each."""
        predicted: torch.Tensor = self._pipeline.unet(
            noisy, steps, encoder_hidden_states=embeddings
        ).sample
        return predicted

    @cached_property
    def _schedule(self) -> Any:
        """The noise that the model was trained with, whatever sampler draws."""
        return diffusers.DDPMScheduler.from_config(self._pipeline.scheduler.config)

    @property
    def _table(self) -> torch.nn.Embedding:
        table: torch.nn.Embedding = self._pipeline.text_encoder.get_input_embeddings()
        return table

    @cached_property
    def _words(self) -> Vocabulary:
        tokenizer = self._pipeline.tokenizer

        def encode(text: str) -> list[int]:
            reads = self._context_length
            ids: list[int] = tokenizer(text, padding="max_length", max_length=reads).input_ids
            return ids

        return Vocabulary.of(
            size=min(self._table.num_embeddings, len(tokenizer)),
            special=frozenset(tokenizer.all_special_ids),
            encode=encode,
            decode=tokenizer.decode,
        )

    @property
    def _context_length(self) -> int:
        reads: int = self._pipeline.text_encoder.config.max_position_embeddings
        return min(reads, self._pipeline.tokenizer.model_max_length)

    def _tokens(self, prompt: str) -> list[int]:
        tokens: list[int] = self._pipeline.tokenizer(prompt, verbose=False).input_ids
        if len(tokens) > self._context_length:
            raise RenderError(
                f"the prompt {prompt[:60]!r}… has {len(tokens)} tokens and {self.denoiser_id} "
                f"reads {self._context_length}, start and end included"
            )
        return tokens

    def _contextual(self, tokens: Sequence[int], count: int = 1) -> torch.Tensor:
        ids = torch.tensor([list(tokens)] * count, device=self.device)
        states: torch.Tensor = self._pipeline.text_encoder(ids).last_hidden_state
        return states

    def _with_padding(self, tokens: Sequence[int]) -> list[int]:
        return [*tokens, *self._words.empty[len(tokens) :]]

    def _as_long_as_drawn(self, embeddings: torch.Tensor) -> torch.Tensor:
        lacking = self._context_length - embeddings.shape[1]
        return torch.cat([embeddings, embeddings[:, -1:].expand(-1, lacking, -1)], dim=1)

    def _wanted(
        self, clean: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor
    ) -> torch.Tensor:
        """What the U-Net was trained to predict."""
        wanted: torch.Tensor
        match self._schedule.config.prediction_type:
            case "epsilon":
                wanted = noise
            case "v_prediction":
                wanted = self._schedule.get_velocity(clean, noise, steps)
            case "sample":
                wanted = clean
        return wanted


@contextmanager
def _watched(unet: torch.nn.Module) -> Iterator[list[torch.Tensor]]:
    """Cross-attention of every layer while inside: (batch · heads, places, tokens) each."""
    seen: list[torch.Tensor] = []

    def note(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        places, text = args[0], kwargs["encoder_hidden_states"]
        if module.norm_cross:
            text = module.norm_encoder_hidden_states(text)
        query, key = (
            module.head_to_batch_dim(part) for part in (module.to_q(places), module.to_k(text))
        )
        seen.append(module.get_attention_scores(query, key))

    hooks = [
        module.register_forward_pre_hook(note, with_kwargs=True)
        for name, module in unet.named_modules()
        if name.endswith("attn2")
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _as_map(scores: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """One layer's attention as (tokens, height, width) of the latents."""
    places = scores.shape[1]
    height = round(math.sqrt(places * shape[0] / shape[1]))
    maps = scores.mean(0).T.reshape(1, -1, height, places // height)
    larger = torch.nn.functional.interpolate(maps, shape, mode="bilinear", align_corners=False)
    return larger[0]


def _to_one(values: torch.Tensor) -> torch.Tensor:
    return values / values.sum()
