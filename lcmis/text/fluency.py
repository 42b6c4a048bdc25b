"""How natural a prompt reads: its perplexity under a causal language model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lcmis.errors import CheckError, ConfigError
from lcmis.machine.device import choose_device
from lcmis.machine.hub import (
    Located,
    fetch_weights,
    locate_spelled,
    refuse_file,
    refuse_no_safetensors,
)
from lcmis.machine.tokenizers import refuse_unread_words
from lcmis.machine.weights import refuse_missing, refuse_unusable, silent

if TYPE_CHECKING:
    import torch


class CausalLanguageModel:
    """Perplexity under a transformers language model, from safetensors and without remote code.

    Perplexity is ``exp`` of the mean negative log-likelihood of a token given those before it, in
    [1, ∞), lower is more fluent. The first token is counted where the tokenizer has a token that
    stands for a beginning. Perplexities of two language models are never compared: they count in
    different tokens.

    Args:
        name: a folder, or ``owner/name`` on the hub, or that with ``@revision``.
        device: as :func:`lcmis.machine.device.choose_device` reads it.

    Raises:
        UserError: no such model, or no such device.

    Source: Jelinek et al., "Perplexity: a measure of the difficulty of speech recognition tasks",
    JASA 62, 1977.
    """

    def __init__(self, name: str, device: str = "auto") -> None:
        self.device = choose_device(device)
        self._located = locate_spelled(name)
        self.language_model_id = str(self._located)
        self._loaded: tuple[Any, Any] | None = None

    def perplexity(self, text: str) -> float:
        """Of one text; one longer than the model reads is scored in windows that overlap by half.

        Raises:
            CheckError: there is no token to score.
            ConfigError: the weights cannot be loaded.
        """
        import torch

        model, tokenizer = self._load()
        tokens = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        if tokenizer.bos_token_id is not None:
            tokens = [tokenizer.bos_token_id, *tokens]
        if len(tokens) < 2:
            raise CheckError(f"{text!r} is too short for a perplexity: there is nothing to foresee")
        total = 0.0
        with torch.inference_mode():
            for start, end, first in windows(len(tokens), _context_length(model)):
                seen = torch.tensor([tokens[start:end]], device=self.device)
                total += float(_losses(model(seen).logits, seen)[first - start - 1 :].sum())
        return math.exp(total / (len(tokens) - 1))

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = load_causal(self._located, self.device)
        return self._loaded


def windows(num_tokens: int, context_length: int) -> Iterator[tuple[int, int, int]]:
    """``(start, end, first)``: read tokens start to end and score those from first on.

    Every token but the very first is scored once, with at least half a window before it as soon as
    there is that much.

    Raises:
        ValueError: a model that reads fewer than two tokens foresees nothing.
    """
    if context_length < 2:
        raise ValueError(f"a window holds at least two tokens, got {context_length}")
    first = 1
    while first < num_tokens:
        end = min(num_tokens, context_length if first == 1 else first + context_length // 2)
        yield max(0, end - context_length), end, first
        first = end


def _losses(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of every token but the first, ``(length - 1,)``, float32."""
    import torch

    return torch.nn.functional.cross_entropy(
        logits[0, :-1].float(), tokens[0, 1:], reduction="none"
    )


def _context_length(model: Any) -> int:
    """Models without a limit of their own are read 1024 tokens at a time."""
    return int(getattr(model.config, "max_position_embeddings", None) or 1024)


def load_causal(located: Located, device: str, dtype: str = "float32") -> tuple[Any, Any]:
    """A causal language model and its tokenizer, ready to be read with.

    Raises:
        ConfigError: the weights cannot be loaded, or not to this device.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    refuse_unusable(device)
    refuse_file(located)
    refuse_unread_words(located.name, located.names())
    refuse_no_safetensors(located)
    folder = fetch_weights(located)
    try:
        with silent():
            model, report = AutoModelForCausalLM.from_pretrained(
                folder,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=getattr(torch, dtype),
                output_loading_info=True,
            )
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        said = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"{located.name} cannot be loaded as a causal language model ({said}): name one that "
            f"transformers knows, such as a folder with GPT-2"
        ) from error
    refuse_missing(located.name, report["missing_keys"])
    return model.eval().to(device), tokenizer
