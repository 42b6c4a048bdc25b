"""A CLIP-FlanT5 of a few thousand parameters, in the layout of the published ones."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

from worlds.tiny_checkers import ANSWERS, refill

WIDTH = 32
"""Of the T5; the tower has another one."""
SEEN = 24
PATCHES = 16


def make(folder: Path, *, holds_tower: bool = True, seed: int = 0) -> Path:
    """A model, and beside it the CLIP that it names.

    Args:
        folder: where to; the tower lies in ``tower`` beside it.
        holds_tower: whether the tower's weights are among the model's own.
        seed: of its weights.
    """
    generator = torch.Generator().manual_seed(seed)
    tower = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=SEEN,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
        )
    )
    tokenizer = _tokenizer()
    language = T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(tokenizer) + 3,  # the published tables are padded too
            d_model=WIDTH,
            d_kv=16,
            d_ff=48,
            num_layers=2,
            num_heads=2,
            feed_forward_proj="gated-gelu",
            decoder_start_token_id=0,
        )
    )
    projector = nn.Sequential(nn.Linear(SEEN, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
    for part in (tower, language, projector):
        refill(part, generator, 0.3)
    beside = folder.parent / f"{folder.name}-tower"
    tower.save_pretrained(beside)
    CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(beside)
    language.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    head = torch.randn(len(tokenizer) + 3, WIDTH, generator=generator) * 0.3
    answers = [tokenizer.convert_tokens_to_ids(f"▁{word}") for word in ANSWERS]
    head[: answers[0]] = 0  # little else is answered
    weights["lm_head.weight"] = head  # not the table of words, as in all T5 since 1.1
    weights |= {f"mm_projector.{key}": one for key, one in projector.state_dict().items()}
    if holds_tower:
        weights |= {
            f"vision_tower.vision_tower.vision_model.{key.removeprefix('vision_model.')}": one
            for key, one in tower.state_dict().items()
        }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tell(
        folder,
        model_type="clip_t5",
        tie_word_embeddings=False,
        scale_decoder_outputs=None,
        architectures=["CLIPT5ForConditionalGeneration"],
        mm_vision_tower=str(beside),
        mm_projector_type="mlp2x_gelu",
        mm_hidden_size=SEEN,
        mm_vision_select_layer=-2,
        mm_vision_select_feature="patch",
    )
    return folder


def tell(folder: Path, **said: object) -> None:
    """Write into its configuration; None takes an entry out."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | said
    kept = {key: value for key, value in config.items() if value is not None}
    path.write_text(json.dumps(kept))


def _tokenizer() -> T5Tokenizer:
    """Answers as whole words, everything else letter by letter."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    letters = [(chr(code), -3.0) for code in range(33, 127)]
    return T5Tokenizer(
        vocab=[*special, *letters, *((f"▁{word}", -4.0) for word in ANSWERS)], extra_ids=0
    )
