"""Zero-shot detectors of a few thousand parameters, of the real classes: random, but whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    DetrImageProcessor,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    MMGroundingDinoConfig,
    MMGroundingDinoForObjectDetection,
    OmDetTurboConfig,
    OmDetTurboForObjectDetection,
    OmDetTurboProcessor,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessor,
    Owlv2Processor,
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTImageProcessor,
    OwlViTProcessor,
    PreTrainedTokenizerFast,
)

FAMILIES = ("owlvit", "owlv2", "grounding-dino", "mm-grounding-dino", "omdet-turbo")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
MEANT = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
"""Numbers of BERT's vocabulary that Grounding DINO knows by heart."""


def save(family: str, folder: Path, seed: int = 0) -> Path:
    """A detector of this family, as transformers saves it."""
    model, processor = _BUILD[family]()
    _refill(model, torch.Generator().manual_seed(seed))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _owl(config: type, model: type, images: Any, processor: type) -> tuple[Any, Any]:
    sides = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2}
    built = model(
        config(
            vision_config={**sides, "num_hidden_layers": 2, "image_size": 32, "patch_size": 8},
            text_config={
                **sides,
                "num_hidden_layers": 2,
                "vocab_size": 64,
                "max_position_embeddings": 32,
                "eos_token_id": 63,
                "bos_token_id": 62,
                "pad_token_id": 0,
            },
            projection_dim=32,
        )
    )
    words = letters({"[PAD]": 0, "[UNK]": 1, "[CLS]": 62, "[SEP]": 63}, start=2, length=32)
    return built, processor(images(size={"height": 32, "width": 32}), words)


def _owlvit() -> tuple[Any, Any]:
    return _owl(OwlViTConfig, OwlViTForObjectDetection, OwlViTImageProcessor, OwlViTProcessor)


def _owlv2() -> tuple[Any, Any]:
    return _owl(Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor)


_SWIN = {
    "model_type": "swin",
    "image_size": 64,
    "patch_size": 4,
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 2, 2],
    "window_size": 4,
    "out_features": ["stage2", "stage3", "stage4"],
}


def _dino(config: type, model: type) -> tuple[Any, Any]:
    built = model(
        config(
            backbone_config=dict(_SWIN),
            text_config={
                "model_type": "bert",
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "vocab_size": 1200,
            },
            num_queries=12,
            encoder_layers=1,
            encoder_ffn_dim=48,
            encoder_attention_heads=2,
            decoder_layers=2,
            decoder_ffn_dim=48,
            decoder_attention_heads=2,
            d_model=32,
            max_text_len=64,
        )
    )
    images = GroundingDinoImageProcessor(size={"shortest_edge": 128, "longest_edge": 192})
    return built, GroundingDinoProcessor(images, letters(MEANT, start=200, length=64))


def _omdet() -> tuple[Any, Any]:
    built = OmDetTurboForObjectDetection(
        OmDetTurboConfig(
            backbone_config=dict(_SWIN),
            text_config={
                "model_type": "clip_text_model",
                "hidden_size": 24,
                "intermediate_size": 48,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "projection_dim": 24,
                "vocab_size": 64,
                "max_position_embeddings": 77,
                "eos_token_id": 63,
                "bos_token_id": 62,
                "pad_token_id": 0,
            },
            image_size=64,
            apply_layernorm_after_vision_backbone=False,  # as a Swin of transformers gives them
            text_projection_in_dim=24,
            text_projection_out_dim=24,
            task_encoder_hidden_dim=32,
            class_embed_dim=24,
            num_queries=12,
            encoder_hidden_dim=32,
            vision_features_channels=[32, 32, 32],
            encoder_in_channels=[16, 32, 64],
            encoder_attention_heads=2,
            encoder_dim_feedforward=48,
            decoder_hidden_dim=32,
            decoder_num_heads=2,
            decoder_num_layers=1,
            decoder_dim_feedforward=48,
        )
    )
    images = DetrImageProcessor(size={"height": 64, "width": 64}, do_pad=False)
    words = letters({"[PAD]": 0, "[UNK]": 1, "[CLS]": 62, "[SEP]": 63}, start=2, length=77)
    return built, OmDetTurboProcessor(images, words)


_BUILD = {
    "owlvit": _owlvit,
    "owlv2": _owlv2,
    "grounding-dino": lambda: _dino(GroundingDinoConfig, GroundingDinoForObjectDetection),
    "mm-grounding-dino": lambda: _dino(MMGroundingDinoConfig, MMGroundingDinoForObjectDetection),
    "omdet-turbo": _omdet,
}


def letters(special: dict[str, int], *, start: int, length: int) -> PreTrainedTokenizerFast:
    """A token a letter, and the special ones where the family looks for them."""
    vocabulary = dict(special)
    vocabulary |= {letter: start + i for i, letter in enumerate(LETTERS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    begin, end = (("[CLS]", special["[CLS]"]), ("[SEP]", special["[SEP]"]))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[begin, end]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=length,
        model_input_names=["input_ids", "attention_mask", "token_type_ids"][
            : 3 if start == 200 else 2
        ],
    )


def _refill(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Random numbers large enough that the picture and the words matter."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                spread = 1.0 / parameter[0].numel() ** 0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
            elif name.endswith("decoder.layer_norm.weight"):
                parameter.fill_(0.1)  # or every score of Grounding DINO is 1
            elif "sampling_offsets.bias" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
