"""Tokenizers that open_clip brings for SigLIP, CLIPA and many languages: read whole, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from transformers import XLMRobertaTokenizer
from worlds.tiny_checkers import refill
from worlds.tiny_parts import t5_tokenizer
from worlds.zoo.tokenizers import bert

from lcmis.check.clip import ClipChecker
from lcmis.plugins.settings import CheckerSettings

READS = 16
LONG = "a red cup of cold water on a wooden table "


def many_languages() -> XLMRobertaTokenizer:
    special = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    letters = [(chr(code), -3.0) for code in range(33, 127)]
    return XLMRobertaTokenizer(vocab=special + letters, model_max_length=READS)


TOKENIZERS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "siglip": (t5_tokenizer, {"clean": "canonicalize"}),
    "clipa": (bert, {"strip_sep_token": True}),
    "many languages": (many_languages, {}),
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_text_is_read_to_its_last_letter_or_an_abstention(kind: str, tmp_path: Path) -> None:
    tokenizer, how = TOKENIZERS[kind]
    clip = ClipChecker(
        CheckerSettings("clip", str(saved(tmp_path / "clip", tokenizer(), how)), device="cpu")
    )._loaded()
    longest = max(n for n in range(3, len(LONG)) if not clip.is_too_long(ended(n, "x")))
    assert not torch.equal(*(clip.tokenizer([ended(longest, last)]) for last in "xo"))
    if LONG[longest] != " ":  # a space alone is no token
        assert torch.equal(*(clip.tokenizer([ended(longest + 1, last)]) for last in "xo"))


def ended(letters: int, last: str) -> str:
    return LONG[: letters - 1] + last


def saved(folder: Path, tokenizer: Any, how: dict[str, Any]) -> Path:
    """A tiny model as open_clip saves it, with a tokenizer of transformers beside it."""
    model_cfg = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {
            "context_length": READS,
            "vocab_size": len(tokenizer),
            "width": 32,
            "heads": 2,
            "layers": 1,
            "hf_tokenizer_name": "somebody/words",
            "tokenizer_kwargs": how,
        },
    }
    model = open_clip.CLIP(**json.loads(json.dumps(model_cfg)))
    refill(model, torch.Generator().manual_seed(0), 0.2)
    folder.mkdir(parents=True)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    config = {"model_cfg": model_cfg, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    tokenizer.save_pretrained(folder)
    return folder
