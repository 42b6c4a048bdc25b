"""A Stable Diffusion pipeline's parts, with gradients to what its text encoder is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import diffusers
import torch

from lcmis.errors import InversionError, RenderError
from lcmis.machine.hub import weights_fingerprint
from lcmis.render.conditioning import tokens_within
from lcmis.render.denoiser import PipelineDenoiser
from lcmis.text.vocabulary import Vocabulary, told


class UNetDenoiser(PipelineDenoiser):
    """Gradients through a pipeline of Stable Diffusion 1 or 2, weights frozen.

    A prompt is drawn with its padding, which the U-Net attends to like to words and which says much
    of what the words say. Embeddings without it are padded by their last vector, which says the
    whole text: nearest of all short ways to what is drawn, and still not the same.

    The loss is that of training. Source: Ho, Jain, Abbeel, NeurIPS 2020, eq. 14; Salimans and Ho,
    ICLR 2022, appendix D, for models that predict velocities.
    """

    usually_recomputes = False

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

    # ── the parts ────────────────────────────────────────────────────────────────────────────

    @property
    def _network(self) -> Any:
        return self._pipeline.unet

    def _predicted(
        self, noisy: torch.Tensor, steps: torch.Tensor, embeddings: torch.Tensor
    ) -> torch.Tensor:
        predicted: torch.Tensor = self._network(
            noisy, steps, encoder_hidden_states=embeddings
        ).sample
        return predicted

    @cached_property
    def _schedule(self) -> Any:
        return diffusers.DDPMScheduler.from_config(self._pipeline.scheduler.config)

    @property
    def _table(self) -> torch.nn.Embedding:
        table: torch.nn.Embedding = self._pipeline.text_encoder.get_input_embeddings()
        return table

    @cached_property
    def _words(self) -> Vocabulary:
        tokenizer = self._pipeline.tokenizer

        def encode(text: str) -> list[int]:
            reads = self._reads
            ids: list[int] = tokenizer(text, padding="max_length", max_length=reads).input_ids
            return ids

        return Vocabulary.of(
            size=min(self._table.num_embeddings, len(tokenizer)),
            special=frozenset(tokenizer.all_special_ids) | self._unread_alone,
            encode=encode,
            decode=tokenizer.decode,
        )

    @property
    def _unread_alone(self) -> frozenset[int]:
        """Tokens that stand for one vector, and whose spelling is read as several."""
        added = self._pipeline.tokenizer.get_added_vocab()
        return frozenset(number for word, number in added.items() if self._spelled(word) != word)

    @property
    def _reads(self) -> int:
        reads: int = self._pipeline.text_encoder.config.max_position_embeddings
        return min(reads, self._pipeline.tokenizer.model_max_length)

    def _tokens(self, prompt: str) -> list[int]:
        tokens: list[int] = self._pipeline.tokenizer(self._spelled(prompt), verbose=False).input_ids
        if len(tokens) > self._reads:
            raise RenderError(
                f"the prompt {prompt[:60]!r}… has {len(tokens)} tokens and {self.denoiser_id} "
                f"reads {self._reads}, start and end included"
            )
        return tokens

    def _spelled(self, prompt: str) -> str:
        """A prompt as the pipeline reads it: a word of one's own with all its vectors."""
        spelled: str = self._pipeline.maybe_convert_prompt(prompt, self._pipeline.tokenizer)
        return spelled

    def _contextual(self, tokens: Sequence[int], count: int = 1) -> torch.Tensor:
        ids = torch.tensor([list(tokens)] * count, device=self.device)
        states: torch.Tensor = self._pipeline.text_encoder(ids).last_hidden_state
        return states

    def _with_padding(self, tokens: Sequence[int]) -> list[int]:
        return [*tokens, *self._words.empty[len(tokens) :]]

    def _scaled(self, seen: torch.Tensor, config: Any) -> torch.Tensor:
        scaled: torch.Tensor = seen * config.scaling_factor
        return scaled

    def _mixed(self, clean: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        noisy: torch.Tensor = self._schedule.add_noise(clean, noise, steps)
        return noisy

    def _looks(
        self, noisy: torch.Tensor, steps: torch.Tensor, embeddings: torch.Tensor
    ) -> list[torch.Tensor]:
        with _watched(self._network) as seen:
            self._predicted(noisy, steps, embeddings)
        return seen

    def _places(self, prompt: str, start: int, end: int) -> list[int]:
        vectors = self._vectors(prompt)
        inside = tokens_within(self._pipeline.tokenizer, prompt, start, end)
        return [place for token in inside for place in vectors[token]]

    def _vectors(self, prompt: str) -> list[range]:
        """For each token of a prompt as it is written, its places where the pipeline reads it."""
        tokenizer = self._pipeline.tokenizer
        read = tokenizer.convert_ids_to_tokens(self._tokens(prompt))
        found: list[range] = []
        for token in tokenizer.convert_ids_to_tokens(tokenizer(prompt, verbose=False).input_ids):
            start = end = found[-1].stop if found else 0
            for said in (token, *(f"{token}_{number}" for number in range(1, len(read)))):
                if read[end : end + 1] != [said]:
                    break
                end += 1
            found.append(range(start, end))
        if not all(found) or found[-1].stop != len(read):
            raise RenderError(
                f"{self.denoiser_id} reads {prompt[:60]!r} as {' '.join(read)}, in which its words "
                f"cannot be found again: spell its words of your own otherwise"
            )
        return found

    def _wanted(
        self, clean: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor
    ) -> torch.Tensor:
        wanted: torch.Tensor
        match self._schedule.config.prediction_type:
            case "epsilon":
                wanted = noise
            case "v_prediction":
                wanted = self._schedule.get_velocity(clean, noise, steps)
            case "sample":
                wanted = clean
            case other:
                raise InversionError(
                    f"the U-Net of {self.denoiser_id} predicts {other!r}, of which no loss is "
                    f"known here: leave scheduler out, or take another model"
                )
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
