"""Transformers trained by flow matching, with gradients to all their text encoders are told."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import diffusers
import torch
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from lcmis.errors import RenderError
from lcmis.machine.hub import weights_fingerprint
from lcmis.render.conditioning import tokens_within
from lcmis.render.denoiser import PipelineDenoiser
from lcmis.text.vocabulary import SharedWords, Vocabulary, told

UNGUIDED = 1.0
"""What a denoiser that reads the scale of its guidance is told: how it predicts without any."""
SQUARE = 2
"""Side of the squares of latents that FLUX.1 is told as one place each."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A text encoder with its tokenizer."""

    name: str
    """Of the encoder among the pipeline's parts."""
    encoder: Any
    tokenizer: Any
    reads: int
    """Tokens, start and end included."""

    @property
    def is_t5(self) -> bool:
        """Whether it is told vectors instead of tokens; CLIP is told them in place of its words."""
        return _is_t5(self.encoder)

    @property
    def table(self) -> torch.nn.Embedding:
        """Token to vector."""
        found: torch.nn.Embedding = self.encoder.get_input_embeddings()
        return found

    def tokens(self, prompt: str) -> list[int]:
        """Of a prompt, start and end included, however long."""
        found: list[int] = self.tokenizer(prompt, verbose=False).input_ids
        return found

    def padded(self, prompt: str) -> list[int]:
        """As many as it reads, cut or filled up as the pipeline does it."""
        found: list[int] = self.tokenizer(
            prompt, padding="max_length", max_length=self.reads, truncation=True
        ).input_ids
        return found

    def frame(self) -> Vocabulary:
        """Its words, and what is put around them."""
        return Vocabulary.of(
            size=min(self.table.num_embeddings, len(self.tokenizer)),
            special=frozenset(self.tokenizer.all_special_ids),
            encode=self.padded,
            decode=self.tokenizer.decode,
        )

    def states(self, tokens: torch.Tensor, vectors: torch.Tensor | None, start: int) -> Any:
        """What it says of tokens (n, length), with vectors (n, words, dim) in place of words."""
        if self.is_t5:
            heard = self.table(tokens)
            if vectors is not None:
                end = start + vectors.shape[1]
                heard = torch.cat([heard[:, :start], vectors.to(heard), heard[:, end:]], dim=1)
            return self.encoder(inputs_embeds=heard)
        if vectors is None:
            return self.encoder(tokens, output_hidden_states=True)
        with told(self.table, vectors, start):
            return self.encoder(tokens, output_hidden_states=True)


class Conditioning(NamedTuple):
    """What a transformer is told of texts."""

    sequence: torch.Tensor
    """(n, places, dim)."""
    summary: torch.Tensor
    """(n, dim)."""


class FlowDenoiser(PipelineDenoiser):
    """Gradients through a pipeline of Stable Diffusion 3 or FLUX.1, weights frozen.

    A word is its vectors for all text encoders, end to end, all as long as those of the first one,
    for T5's are far longer and would alone say which word is near; words are those that each
    encoder reads as one token. Contextual embeddings hold in every place what each encoder says
    there, beside each other, and behind it the summary that the transformer is told besides, which
    is read as the mean over places: so one tensor carries all that depends on the words. T5 sees
    its padding, and so the padding is always there when a prompt is read; what is asked for without
    it is cut.

    The loss is that of flow matching: the straight way from the picture to the noise is predicted.
    Times are shares of the schedule of training, with its fixed shift; training weighs them by
    their own density, here they count alike. Where the scale of a distilled guidance is an input,
    it is 1. Weights may be in bfloat16, since few cards hold such a model a second time.

    Source: Lipman et al., "Flow Matching", ICLR 2023, eq. 23; Liu et al., "Rectified Flow", ICLR
    2023, eq. 1; Esser et al., ICML 2024, section 2 (Stable Diffusion 3) and 5.3.2 (shift).
    """

    halves = True

    @cached_property
    def encodes_like(self) -> str:
        """Content hash of the weights of all text encoders."""
        return "+".join(weights_fingerprint(one.encoder.state_dict()) for one in self._readers)

    @torch.no_grad()
    def read(self, prompt: str, *, padded: bool = False) -> torch.Tensor:
        """What the text encoders make of a prompt, (1, length, dim).

        Raises:
            RenderError: the prompt is longer than T5 reads, or CLIP where there is no T5.
        """
        longest = self._readers[-1]
        count = len(longest.tokens(prompt))
        if count > longest.reads:
            raise RenderError(
                f"the prompt {prompt[:60]!r}… has {count} tokens and {self.denoiser_id} "
                f"reads {longest.reads}, start and end included"
            )
        whole = self._contextual([one.padded(prompt) for one in self._readers])
        if padded:
            return whole
        return whole[:, : max(len(one.tokens(prompt)) for one in self._readers)]

    def vocabulary(self) -> torch.Tensor:
        """Vectors of the tokens that words are made of, (words, dim of all encoders)."""
        parts = zip(self._tables, self._scales, strict=True)
        return torch.cat([table * scale for table, scale in parts], dim=1)

    def read_embeddings(self, embeddings: torch.Tensor, *, padded: bool = False) -> torch.Tensor:
        """Vectors (n, length, dim) in the places of words, as (n, length + 2, dim)."""
        count = embeddings.shape[1]
        tokens = [frame.places(count) for frame in self._words.frames]
        widths = [one.table.embedding_dim for one in self._readers]
        parts = zip(embeddings.split(widths, dim=-1), self._scales, strict=True)
        vectors = [part / scale for part, scale in parts]
        whole = self._contextual(tokens, vectors, len(embeddings))
        return whole if padded else whole[:, : count + 2]

    def text_of(self, rows: Sequence[int]) -> str:
        """What words spell, given as rows of :meth:`vocabulary`."""
        return self._words.text_of(rows)

    # ── texts ────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _readers(self) -> tuple[Reader, ...]:
        """In the pipeline's order; T5, where there is one, is the last."""
        found = []
        for suffix in ("", "_2", "_3"):
            name = f"text_encoder{suffix}"
            encoder = getattr(self._pipeline, name, None)
            if encoder is not None:
                tokenizer = getattr(self._pipeline, f"tokenizer{suffix}")
                of_clip = self._pipeline.tokenizer_max_length
                reads = self._told_to_read if _is_t5(encoder) else of_clip
                found.append(Reader(name, encoder, tokenizer, reads))
        return tuple(found)

    @cached_property
    def _words(self) -> SharedWords:
        def encoding(one: Reader) -> Callable[[list[str]], list[list[int]]]:
            def encode(texts: list[str]) -> list[list[int]]:
                found: list[list[int]] = one.tokenizer(texts, add_special_tokens=False).input_ids
                return found

            return encode

        return SharedWords.of(
            [one.frame() for one in self._readers], [encoding(one) for one in self._readers]
        )

    @property
    def _tables(self) -> list[torch.Tensor]:
        """Of each encoder, the vectors of the words, (words, dim)."""
        return [
            one.table.weight.detach()[torch.tensor(ids, device=self.device)].float()
            for one, ids in zip(self._readers, self._words.ids, strict=True)
        ]

    @cached_property
    def _scales(self) -> list[float]:
        """What makes vectors of each encoder as long as those of the first."""
        lengths = [float(table.square().mean().sqrt()) for table in self._tables]
        return [lengths[0] / length for length in lengths]

    @property
    def _reads(self) -> int:
        return max(one.reads for one in self._told)

    @property
    @abstractmethod
    def _told(self) -> tuple[Reader, ...]:
        """Those whose states the transformer attends to."""

    @abstractmethod
    def _state(self, reader: Reader, said: Any) -> torch.Tensor:
        """Of what an encoder said, the states (n, length, dim) that the transformer attends to."""

    @abstractmethod
    def _summary(self, said: Sequence[Any]) -> torch.Tensor:
        """Of what all encoders said, the summary (n, dim)."""

    @abstractmethod
    def _sequence(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        """States of :attr:`_told` as the transformer is told them, (n, places, dim)."""

    def _contextual(
        self,
        tokens: Sequence[Sequence[int]],
        vectors: Sequence[torch.Tensor | None] | None = None,
        count: int = 1,
    ) -> torch.Tensor:
        """(count, places, dims of all states and of the summary)."""
        said = []
        starts = [frame.start for frame in self._words.frames] if vectors else [0] * len(tokens)
        given = vectors or [None] * len(tokens)
        for one, ids, told_instead, start in zip(self._readers, tokens, given, starts, strict=True):
            rows = torch.tensor([list(ids)] * count, device=self.device)
            said.append(one.states(rows, told_instead, start))
        heard = dict(zip((one.name for one in self._readers), said, strict=True))
        parts = [_wide(self._state(one, heard[one.name])) for one in self._told]
        summary = _wide(self._summary(said))
        long = [pad(part, (0, 0, 0, self._reads - part.shape[1])) for part in parts]
        return torch.cat([*long, summary[:, None].expand(-1, self._reads, -1)], dim=-1)

    def _heard(self, embeddings: torch.Tensor) -> Conditioning:
        """What :meth:`_contextual` put together, taken apart again."""
        widths = [one.table.embedding_dim for one in self._told]
        *states, summary = embeddings.split([*widths, embeddings.shape[-1] - sum(widths)], dim=-1)
        cut = [state[:, : one.reads] for state, one in zip(states, self._told, strict=True)]
        kind = self._network.dtype
        return Conditioning(self._sequence(cut).to(kind), summary.mean(1).to(kind))

    def _places(self, prompt: str, start: int, end: int) -> list[int]:
        found, before = [], 0
        for one in self._told:
            inside = tokens_within(one.tokenizer, prompt, start, end, most=one.reads)
            found += [before + place for place in inside]
            before += one.reads
        return found

    # ── pictures ─────────────────────────────────────────────────────────────────────────────

    @property
    def _network(self) -> Any:
        return self._pipeline.transformer

    @cached_property
    def _schedule(self) -> Any:
        return diffusers.FlowMatchEulerDiscreteScheduler.from_config(
            self._pipeline.scheduler.config
        )

    def _shares(self, steps: torch.Tensor) -> torch.Tensor:
        """Of noise in latents at each step, in (0, 1]."""
        sigmas = self._schedule.sigmas.flip(0).to(steps.device)  # it begins with the noise
        found: torch.Tensor = sigmas[steps]
        return found

    def _scaled(self, seen: torch.Tensor, config: Any) -> torch.Tensor:
        scaled: torch.Tensor = (seen - (config.shift_factor or 0.0)) * config.scaling_factor
        return scaled

    def _mixed(self, clean: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        share = self._shares(steps).view(-1, 1, 1, 1)
        return (1 - share) * clean + share * noise

    def _wanted(
        self, clean: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor
    ) -> torch.Tensor:
        return noise - clean

    def _looks(
        self, noisy: torch.Tensor, steps: torch.Tensor, embeddings: torch.Tensor
    ) -> list[torch.Tensor]:
        tokens = self._heard(embeddings).sequence.shape[1]
        places = math.prod(side // self._patch for side in noisy.shape[2:])
        with _Watching(tokens, places, self._text_first) as watching:
            self._predicted(noisy, steps, embeddings)
        return watching.seen

    @property
    @abstractmethod
    def _text_first(self) -> bool:
        """Whether the text stands before the picture where both attend to each other."""

    @property
    @abstractmethod
    def _patch(self) -> int:
        """Latents along one side of a place of the picture."""


class StableDiffusion3Denoiser(FlowDenoiser):
    """Stable Diffusion 3 and 3.5: two CLIP encoders beside each other, and T5 behind them.

    Source: Esser et al., ICML 2024, section 4 and figure 2.
    """

    _text_first = False

    @property
    def _patch(self) -> int:
        patch: int = self._network.config.patch_size
        return patch

    @property
    def _told(self) -> tuple[Reader, ...]:
        return self._readers

    def _state(self, reader: Reader, said: Any) -> torch.Tensor:
        found: torch.Tensor = said.last_hidden_state if reader.is_t5 else said.hidden_states[-2]
        return found

    def _summary(self, said: Sequence[Any]) -> torch.Tensor:
        return torch.cat([said[0].text_embeds, said[1].text_embeds], dim=-1)

    def _sequence(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        first, second, *t5 = states
        width = self._network.config.joint_attention_dim
        clip = torch.cat([first, second], dim=-1)
        clip = pad(clip, (0, width - clip.shape[-1]))
        behind = t5[0] if t5 else clip.new_zeros(len(clip), self._told_to_read, width)
        return torch.cat([clip, behind], dim=1)

    def _places(self, prompt: str, start: int, end: int) -> list[int]:
        first, second, *t5 = self._told
        found = super()._places(prompt, start, end)
        both = first.reads + second.reads  # which stand beside each other, not one by one
        clip = [place for place in found if place < first.reads]
        return clip + [place - both + first.reads for place in found if t5 and place >= both]

    def _predicted(
        self, noisy: torch.Tensor, steps: torch.Tensor, embeddings: torch.Tensor
    ) -> torch.Tensor:
        heard, kind = self._heard(embeddings), self._network.dtype
        predicted: torch.Tensor = self._network(
            hidden_states=noisy.to(kind),
            timestep=self._shares(steps) * self._schedule.config.num_train_timesteps,
            encoder_hidden_states=heard.sequence,
            pooled_projections=heard.summary,
        ).sample
        return _wide(predicted)


class FluxDenoiser(FlowDenoiser):
    """FLUX.1: T5 for the text, CLIP for its summary; latents are packed in squares of four.

    Source: the model's own code in diffusers (``FluxPipeline``); no paper describes it.
    """

    _text_first = True
    _patch = SQUARE

    @property
    def _told(self) -> tuple[Reader, ...]:
        return self._readers[-1:]

    def _state(self, reader: Reader, said: Any) -> torch.Tensor:
        found: torch.Tensor = said.last_hidden_state
        return found

    def _summary(self, said: Sequence[Any]) -> torch.Tensor:
        found: torch.Tensor = said[0].pooler_output
        return found

    def _sequence(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        return states[0]

    def _predicted(
        self, noisy: torch.Tensor, steps: torch.Tensor, embeddings: torch.Tensor
    ) -> torch.Tensor:
        heard, kind = self._heard(embeddings), self._network.dtype
        height, width = (side // SQUARE for side in noisy.shape[2:])
        squares = pixel_unshuffle(noisy, SQUARE).flatten(2).mT
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        places = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).flatten(0, 1)
        told_of_guidance = self._network.config.guidance_embeds
        predicted: torch.Tensor = self._network(
            hidden_states=squares.to(kind),
            timestep=self._shares(steps).to(kind),
            guidance=steps.new_full((len(noisy),), UNGUIDED, dtype=torch.float32)
            if told_of_guidance
            else None,
            pooled_projections=heard.summary,
            encoder_hidden_states=heard.sequence,
            txt_ids=torch.zeros(heard.sequence.shape[1], 3, device=noisy.device, dtype=kind),
            img_ids=places.to(noisy.device, kind),
        ).sample
        return pixel_shuffle(_wide(predicted).mT.unflatten(2, (height, width)), SQUARE)


def _is_t5(encoder: Any) -> bool:
    return not hasattr(encoder.config, "projection_dim")


def _wide(values: torch.Tensor) -> torch.Tensor:
    """In float32, or as they are where they are wider."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


class _Watching(TorchFunctionMode):
    """While inside, how much each place of the picture looks at each token of the text.

    Args:
        tokens: of the text.
        places: of the picture.
        text_first: whether the text stands before the picture.
    """

    def __init__(self, tokens: int, places: int, text_first: bool) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []
        self._tokens = tokens
        self._both = tokens + places
        self._text_first = text_first

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func is scaled_dot_product_attention:
            query, key = (
                given.get(name, args[place] if place < len(args) else None)
                for place, name in enumerate(("query", "key"))
            )
            self._note(query, key)
        return func(*args, **given)

    def _note(self, query: torch.Tensor, key: torch.Tensor) -> None:
        """Queries and keys are (batch, heads, places of picture and text, dim)."""
        if not query.shape[2] == key.shape[2] == self._both:
            return  # a look at the picture alone
        tokens, places = slice(-self._tokens, None), slice(None, -self._tokens)
        if self._text_first:
            tokens, places = slice(None, self._tokens), slice(self._tokens, None)
        scores = (query[:, :, places] @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
        self.seen.append(scores[..., tokens].flatten(0, 1).float())
