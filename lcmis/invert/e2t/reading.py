"""A CLIP text encoder, frozen: texts to the pooled vectors that a writer learns to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoTokenizer, CLIPTextModel

from lcmis.errors import ConfigError
from lcmis.machine.hub import Located, fetch_weights, locate, weights_fingerprint
from lcmis.machine.weights import refuse_missing, silent, weight_files

PARTS = ("text_encoder", "tokenizer")
"""Where a diffusers folder keeps what is needed of it."""


class FrozenReader:
    """Reads texts as an image model does, and keeps the vector at the end of each.

    Args:
        name: a diffusers folder, a CLIP folder, or the name of either on the hub.
        device: where the encoder lies.

    Raises:
        UnknownNameError: neither a folder nor on the hub.
        ConfigError: no CLIP text encoder, or one whose weights are incomplete.
    """

    def __init__(self, name: str, device: str = "cpu") -> None:
        located = locate(name, None)
        encoder, tokenizer = _parts(located)
        try:
            with silent():
                model, report = CLIPTextModel.from_pretrained(
                    encoder,
                    dtype=torch.float32,
                    use_safetensors=True,
                    local_files_only=True,
                    output_loading_info=True,
                )
            self._tokenizer = AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            said = " ".join(str(error).split())[:300]
            raise ConfigError(
                f"{name} holds no CLIP text encoder that can be loaded ({said}): give a folder of "
                f"Stable Diffusion 1 or 2, or of a CLIP model, with safetensors"
            ) from error
        refuse_missing(f"the text encoder of {name}", report["missing_keys"])
        self.text_encoder = str(located)
        self.device = device
        self.encodes_like = weights_fingerprint(model.state_dict())
        self.dim: int = model.config.hidden_size
        self._context_length: int = model.config.max_position_embeddings
        self._model = model.requires_grad_(False).eval().to(device)

    @torch.no_grad()
    def read(self, texts: Sequence[str]) -> Tensor:
        """Pooled vectors of texts, (n, dim) float32; one that is too long is cut."""
        given = self._tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self._context_length,
            return_tensors="pt",
        ).to(self.device)
        states: Tensor = self._model(given.input_ids).last_hidden_state
        # the attention is causal, so that padding changes nothing before it
        ends = given.attention_mask.sum(1) - 1
        return states[torch.arange(len(states), device=states.device), ends].float()


def _parts(located: Located) -> tuple[Path, Path]:
    """Folders of the encoder and of its tokenizer, fetched where they come from the hub."""
    encoder, tokenizer = PARTS if (located.path / PARTS[0]).is_dir() else ("", "")
    files = weight_files(located.names(encoder))
    path = fetch_weights(located, [f"{encoder}/{file}" if encoder else file for file in files])
    return path / encoder, path / tokenizer
