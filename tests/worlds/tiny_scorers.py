"""CLIP and SigLIP as transformers saves them, and ImageReward's published layout; all random."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

from worlds.tiny_detectors import LETTERS, letters

SIDES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
TEXT = {
    **SIDES,
    "vocab_size": 64,
    "max_position_embeddings": 32,
    "bos_token_id": 62,
    "eos_token_id": 63,
    "pad_token_id": 0,
}
VISION = {**SIDES, "image_size": 32, "patch_size": 8}
MARKS = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 62, "[SEP]": 63}


def towers(kind: str, folder: Path, seed: int = 0) -> Path:
    """A ``clip`` or ``siglip`` with its tokenizer and image processor."""
    if kind == "clip":
        model: Any = CLIPModel(
            CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=24)
        )
        size = {"shortest_edge": 32}
        pixels: Any = CLIPImageProcessor(size=size, crop_size={"height": 32, "width": 32})
    else:
        model = SiglipModel(
            SiglipConfig(text_config={**TEXT, "projection_size": 32}, vision_config=VISION)
        )
        pixels = SiglipImageProcessor(size={"height": 32, "width": 32})
    refill(model, seed)
    with torch.no_grad():
        model.logit_scale.fill_(1.0)
    model.save_pretrained(folder)
    pixels.save_pretrained(folder)
    letters(MARKS, start=2, length=32).save_pretrained(folder)
    return folder


def vision_transformer() -> torch.nn.Module:
    """The tower that sees, as its authors' code has it: timm's, with a class token and no head."""
    model: torch.nn.Module = timm.models.vision_transformer.VisionTransformer(
        img_size=32,
        patch_size=16,
        embed_dim=64,
        depth=2,
        num_heads=1,
        qkv_bias=True,
        num_classes=0,
        global_pool="",
        norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
    )
    return model.eval()


def bert() -> torch.nn.Module:
    """The tower that reads, with attention to what was seen in every layer."""
    return BertModel(
        BertConfig(
            vocab_size=64,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=1,
            max_position_embeddings=40,
            is_decoder=True,
            add_cross_attention=True,
            attn_implementation="eager",
        ),
        add_pooling_layer=False,
    ).eval()


def head() -> torch.nn.Sequential:
    """Five linear layers with dropouts between, numbered as published."""
    linear, drop = torch.nn.Linear, torch.nn.Dropout
    return torch.nn.Sequential(
        linear(64, 20),
        drop(),
        linear(20, 12),
        drop(),
        linear(12, 8),
        drop(),
        linear(8, 4),
        linear(4, 1),
    ).eval()


def image_reward(seed: int = 0) -> tuple[torch.nn.Module, torch.nn.Module, torch.nn.Module]:
    """All three, filled."""
    parts = vision_transformer(), bert(), head()
    for place, part in enumerate(parts):
        refill(part, seed + place)
    with torch.no_grad():  # BLIP's text tower knows of no token types
        parts[1].embeddings.token_type_embeddings.weight.zero_()
    return parts


def published(parts: tuple[torch.nn.Module, ...]) -> dict[str, torch.Tensor]:
    """As ``ImageReward.pt`` names them."""
    prefixes = ("blip.visual_encoder.", "blip.text_encoder.", "mlp.layers.")
    tensors = {
        prefix + name: tensor.contiguous()
        for prefix, part in zip(prefixes, parts, strict=True)
        for name, tensor in part.state_dict().items()
        if "token_type" not in name
    }
    tensors["blip.text_encoder.embeddings.position_ids"] = torch.arange(40)[None]
    return tensors


def save_reward(parts: tuple[torch.nn.Module, ...], folder: Path) -> Path:
    """A folder of converted weights with a tokenizer beside."""
    folder.mkdir(parents=True)
    save_file(published(parts), folder / "model.safetensors")
    save_words(folder)
    return folder


def save_words(folder: Path) -> None:
    """A vocabulary of letters, as BERT's lie on disk."""
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*marks, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    BertTokenizer.from_pretrained(folder).save_pretrained(folder)


def refill(model: torch.nn.Module, seed: int) -> None:
    """Random numbers large enough that pictures and words matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                spread = 1.0 / parameter[0].numel() ** 0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
            elif not (parameter == 1).all():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
