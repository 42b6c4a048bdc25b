"""CLIP and SigLIP as transformers saves them, behind the names that open_clip has for the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lcmis.errors import ConfigError
from lcmis.machine.weights import refuse_missing, silent

if TYPE_CHECKING:
    from PIL.Image import Image


class Towers(torch.nn.Module):
    """A model of transformers, asked as one of open_clip is."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    @property
    def logit_scale(self) -> torch.Tensor:
        """The logarithm of what cosines are multiplied by."""
        scale: torch.Tensor = self.inner.logit_scale
        return scale

    @property
    def visual(self) -> torch.nn.Module:
        """The tower that sees."""
        tower: torch.nn.Module = self.inner.vision_model
        return tower

    @property
    def token_embedding(self) -> torch.nn.Embedding:
        """The table of word vectors."""
        table: torch.nn.Embedding = self.inner.text_model.get_input_embeddings()
        return table

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pictures ``(n, 3, height, width)`` as ``(n, joint)``, of any length."""
        return _pooled(self.inner.get_image_features(pixel_values=pixels))

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Texts ``(n, length)`` as ``(n, joint)``, of any length.

        No mask is needed: CLIP's text tower sees nothing behind a token, and SigLIP was trained to
        see its padding.
        """
        return _pooled(self.inner.get_text_features(input_ids=tokens))


class Texts:
    """A tokenizer of transformers, called as open_clip's are."""

    def __init__(self, tokenizer: Any, context_length: int) -> None:
        self.tokenizer = tokenizer
        self.context_length = context_length

    def __call__(self, texts: str | list[str]) -> torch.Tensor:
        """Numbers ``(n, context_length)``, padded, and cut where a text is too long."""
        read = self.tokenizer(
            [texts] if isinstance(texts, str) else texts,
            padding="max_length",
            truncation=True,
            max_length=self.context_length,
            return_tensors="pt",
        )
        numbers: torch.Tensor = read["input_ids"]
        return numbers


class Pixels:
    """An image processor of transformers, called as open_clip's transforms are."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def __call__(self, image: Image) -> torch.Tensor:
        """One picture as ``(3, height, width)``."""
        pixels: torch.Tensor = self.processor(images=image, return_tensors="pt")["pixel_values"]
        return pixels[0]


def load_towers(folder: Path, name: str, dtype: torch.dtype) -> tuple[Towers, Texts, Pixels]:
    """A model with its tokenizer and its way of reading pictures.

    Raises:
        ConfigError: something of it is missing or cannot be read.
    """
    from safetensors import SafetensorError
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with silent():
            model, report = AutoModel.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **safe
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
            pixels = AutoImageProcessor.from_pretrained(folder, **safe)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        said = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"{name} cannot be loaded ({said}): copy it again, whole, with its tokenizer and its "
            f"preprocessor_config.json"
        ) from error
    refuse_missing(name, report["missing_keys"])
    reads = model.config.text_config.max_position_embeddings
    return Towers(model), Texts(tokenizer, reads), Pixels(pixels)


def _pooled(features: Any) -> torch.Tensor:
    pooled: torch.Tensor = getattr(features, "pooler_output", features)
    return pooled
