"""Checkers of a few thousand parameters, built without a network: random, but whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

ANSWERS = ("yes", "Yes", "YES", "no", "No", "NO")
CHARACTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGH.,?"\n: '
VISION_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
IDEFICS_TOKENS = ("<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>", *VISION_TOKENS, *IDEFICS_TOKENS)


def tiny_clip(folder: Path, seed: int = 0) -> Path:
    """An open_clip model as open_clip saves it, with open_clip's own tokenizer."""
    model_cfg = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {
            "context_length": 32,
            "vocab_size": 49408,
            "width": 32,
            "heads": 2,
            "layers": 2,
        },
    }
    generator = torch.Generator().manual_seed(seed)
    model = open_clip.CLIP(**json.loads(json.dumps(model_cfg)))
    refill(model, generator, 0.2)
    with torch.no_grad():
        model.logit_scale.fill_(1.0)
    folder.mkdir(parents=True)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    config = {"model_cfg": model_cfg, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def tiny_qwen(folder: Path, seed: int = 0) -> Path:
    """Qwen2-VL's shape: pictures of any size, as patches in one long row."""
    tokenizer = _tokenizer("<|vision_start|><|image_pad|><|vision_end|>")
    token = tokenizer.convert_tokens_to_ids
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [2, 3, 3],
                "rope_theta": 1e4,
            },
            "bos_token_id": token("<s>"),
            "eos_token_id": token("</s>"),
            "pad_token_id": token("<pad>"),
        },
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": 32,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 14,
            "spatial_merge_size": 2,
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
    )
    processor = Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=784, max_pixels=12544),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=tokenizer.chat_template,
    )
    return _save(Qwen2VLForConditionalGeneration(config), processor, folder, seed)


def tiny_llava(folder: Path, seed: int = 0) -> Path:
    """LLaVA's shape: one square picture, a projector, Llama."""
    tokenizer = _tokenizer("<image>")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
        ),
        text_config=_llama(tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        vision_feature_select_strategy="default",
    )
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    return _save(LlavaForConditionalGeneration(config), processor, folder, seed)


def tiny_idefics(folder: Path, seed: int = 0) -> Path:
    """Idefics3's shape, SmolVLM's too: a list of pictures for every text."""
    tokenizer = _tokenizer("<image>")
    config = Idefics3Config(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
        },
        text_config=_llama(tokenizer),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    processor = Idefics3Processor(
        image_processor=Idefics3ImageProcessor(
            size={"longest_edge": 32},
            max_image_size={"longest_edge": 32},
            do_image_splitting=False,
        ),
        tokenizer=tokenizer,
        image_seq_len=4,
        chat_template=tokenizer.chat_template,
    )
    return _save(Idefics3ForConditionalGeneration(config), processor, folder, seed)


def _llama(tokenizer: Any) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )


def _tokenizer(image: str) -> PreTrainedTokenizerFast:
    """Letters, and the spellings of yes and no as whole tokens."""
    entries = dict.fromkeys([*SPECIAL, *ANSWERS, *CHARACTERS])
    tokenizer = Tokenizer(
        models.WordLevel({entry: i for i, entry in enumerate(entries)}, unk_token="<unk>")
    )
    spelled = Regex("|".join([*ANSWERS, r"[\s\S]"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(spelled, behavior="isolated")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=[*VISION_TOKENS, *IDEFICS_TOKENS, "<image>"],
        extra_special_tokens={"image_token": image if image in SPECIAL else "<|image_pad|>"},
    )
    fast.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {% for part in m['content'] %}"
        "{% if part['type'] == 'image' %}" + image + "{% else %}{{ part['text'] }}{% endif %}"
        "{% endfor %}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    )
    return fast


def _save(model: Any, processor: Any, folder: Path, seed: int) -> Path:
    """Random weights that see the picture, and that answer nothing but yes, no or a letter."""
    refill(model, torch.Generator().manual_seed(seed), 0.3)
    tokenizer = processor.tokenizer
    wanted = tokenizer.convert_tokens_to_ids([*ANSWERS, *"ABCDEFGH"])
    head = model.get_output_embeddings().weight
    with torch.no_grad():
        others = torch.ones(len(head), dtype=torch.bool)
        others[wanted] = False
        head[others] = 0
        head[wanted] *= 0.7
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def refill(model: torch.nn.Module, generator: torch.Generator, spread: float) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("_gate") and parameter.numel() == 1:
                parameter.fill_(1)  # closed when new, and the picture unseen
            elif parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
            elif parameter.ndim == 1 and not (parameter == 1).all():  # no scale of a norm
                parameter.zero_()
