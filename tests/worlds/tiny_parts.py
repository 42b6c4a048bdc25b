"""Parts that tiny pipelines of all kinds share: tokenizers, text encoders, a U-Net, a scheduler."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import open_clip
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

TEXT_WIDTH = 32
"""Of every text encoder, and so of what denoisers are told."""


def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's own byte-pair tokenizer with its first thousand merges."""
    path = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")[1:1001]
    merges = [tuple(line.split()) for line in lines]
    letters = list(open_clip.tokenizer.bytes_to_unicode().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=77)


def t5_tokenizer() -> T5Tokenizer:
    """One token a letter."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    letters = [(chr(code), -3.0) for code in range(33, 127)]
    return T5Tokenizer(vocab=special + letters, extra_ids=0)


def worded_t5_tokenizer() -> T5Tokenizer:
    """One token for each of some words at their beginning, one a letter for all others."""
    words = "a an the of in on red blue green tea cup iced coke hat cat dog tree house bowl glass"
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    whole = [(f"▁{word}", -1.0) for word in words.split()]
    letters = [(chr(code), -3.0) for code in range(33, 127)]
    return T5Tokenizer(vocab=special + whole + letters, extra_ids=0)


def unet(**overrides: Any) -> UNet2DConditionModel:
    """With two levels, one of them told of the text."""
    given: dict[str, Any] = {
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "sample_size": 16,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": TEXT_WIDTH,
        "attention_head_dim": 8,
    }
    return UNet2DConditionModel(**given | overrides)


def multistep(**overrides: Any) -> DPMSolverMultistepScheduler:
    """DPM-Solver++ over the noise of Stable Diffusion."""
    return DPMSolverMultistepScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        **overrides,
    )


def _clip_config(tokenizer: CLIPTokenizer, **overrides: Any) -> CLIPTextConfig:
    given: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 2 * TEXT_WIDTH,
        "projection_dim": TEXT_WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 77,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return CLIPTextConfig(**given | overrides)


def clip(tokenizer: CLIPTokenizer, **overrides: Any) -> CLIPTextModel:
    """CLIP's text encoder."""
    return CLIPTextModel(_clip_config(tokenizer, **overrides))


def projected_clip(tokenizer: CLIPTokenizer, **overrides: Any) -> CLIPTextModelWithProjection:
    """CLIP's text encoder with its summary vector."""
    return CLIPTextModelWithProjection(_clip_config(tokenizer, **overrides))


def t5_config(vocabulary: int, **overrides: Any) -> T5Config:
    """Two layers of T5."""
    given: dict[str, Any] = {
        "vocab_size": vocabulary,
        "d_model": TEXT_WIDTH,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": 2,
        "num_heads": 4,
    }
    return T5Config(**given | overrides)


def t5(tokenizer: Any, **overrides: Any) -> T5EncoderModel:
    """T5's encoder."""
    return T5EncoderModel(t5_config(len(tokenizer), **overrides))
