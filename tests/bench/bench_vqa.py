"""What does it save that a picture is looked at once, whatever it is asked?

Run ``python tests/bench/bench_vqa.py``; random models of middle size, five questions a picture.
Prints for each architecture the ratio of floating-point operations and of seconds, every question
reading the whole picture against all from one reading, in one run, and how far answers lie apart.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import re
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent.parent))

from worlds import tiny_vlms

from lcmis.check import questions_of
from lcmis.check.vlm import Vlm
from lcmis.check.vqa import VqaChecker
from lcmis.check.wording import worded
from lcmis.plugins.settings import CheckerSettings
from lcmis.types import Concept, ConceptPair, Intruder, Side

PAIR = ConceptPair(
    Concept("tea cup"),
    Concept("iced coke"),
    "a tea cup of iced coke",
    (),
    (
        Intruder(Concept("glass"), Side.A, "a glass of iced coke"),
        Intruder(Concept("can"), Side.A, "a can of iced coke"),
        Intruder(Concept("hot tea"), Side.B, "a tea cup of hot tea"),
    ),
)
BODY = {
    "hidden_size": 512,
    "intermediate_size": 1376,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
}
EYES = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6}
WIDE = {"rope_type": "default", "mrope_section": [16, 8, 8], "rope_theta": 1e4}


def middling() -> dict[str, tuple[str, tiny_vlms.Family]]:
    """Families of the tests, grown: some 30 million weights, 400 to 600 tokens a picture."""
    llava, qwen, smol = (tiny_vlms.FAMILIES[name] for name in ("llava", "qwen2_5_vl", "smolvlm"))
    tower = {**EYES, "num_attention_heads": 6}
    crop = {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}
    seen = {"size": {"longest_edge": 1024}, "max_image_size": {"longest_edge": 512}}
    return {
        "LLaVA": (
            "llava",
            dataclasses.replace(
                llava,
                text=BODY,
                vision={**tower, "image_size": 336, "patch_size": 14},
                top={"image_seq_length": 576},
                processor=tiny_vlms.built(
                    "LlavaProcessor",
                    "CLIPImageProcessor",
                    crop,
                    patch_size=14,
                    vision_feature_select_strategy="default",
                    num_additional_image_tokens=1,
                ),
            ),
        ),
        "Qwen2.5-VL": (
            "qwen2_5_vl",
            dataclasses.replace(
                qwen,
                text={**BODY, "rope_parameters": WIDE},
                vision={
                    **qwen.vision,
                    "hidden_size": 384,
                    "intermediate_size": 1024,
                    "depth": 6,
                    "num_heads": 6,
                    "out_hidden_size": 512,
                    "fullatt_block_indexes": [2, 5],
                    "window_size": 112,
                },
                processor=tiny_vlms.patches(
                    "Qwen2_5_VLProcessor",
                    "Qwen2VLVideoProcessor",
                    size={"shortest_edge": 784, "longest_edge": 560 * 560},
                ),
            ),
        ),
        "SmolVLM": (
            "smolvlm",
            dataclasses.replace(
                smol,
                text=BODY,
                vision={**tower, "image_size": 512, "patch_size": 32},
                top={"scale_factor": 2},
                processor=tiny_vlms.built(
                    "SmolVLMProcessor",
                    "SmolVLMImageProcessor",
                    seen,
                    "SmolVLMVideoProcessor",
                    image_seq_len=64,
                ),
            ),
        ),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    draw = np.random.default_rng(0)
    pictures = [
        Image.fromarray(draw.integers(0, 255, (512, 512, 3), np.uint8))
        for _ in range(options.pictures)
    ]
    texts = [worded(question) for question in questions_of(PAIR)]
    words = sorted(set(re.findall(r" ?\w+", " ".join(texts))))
    print(f"{'':12}{'weights':>9}{'tokens':>8}{'FLOPs':>8}{'seconds':>9}{'apart':>10}")
    for name, (kind, family) in middling().items():
        with tempfile.TemporaryDirectory() as root:
            folder = tiny_vlms.make(
                kind, Path(root) / kind, family=family, words=words, spread=0.05
            )
            checker = VqaChecker(CheckerSettings("vqa", str(folder), device="cpu"))
            vlm = checker._loaded().vlm
            once = partial(vlm.first_tokens, [(picture, texts) for picture in pictures])
            plain = partial(each_reads_all, vlm, pictures, texts)
            once()  # proves the way
            work = [flops(plain), flops(once)]
            taken = [[seconds(plain), seconds(once)] for _ in range(options.rounds)]
            one, other = (torch.stack(way()) for way in (plain, once))
            weights = sum(one.numel() for one in vlm.model.parameters()) / 1e6
            tokens = vlm._encoded(pictures[:1], texts[:1])["input_ids"].shape[1]
            ratio = sorted(one / other for one, other in taken)[len(taken) // 2]
            away = float((one - other).abs().max())
            print(
                f"{name:12}{weights:8.0f}M{tokens:8}{work[0] / work[1]:7.2f}x{ratio:8.2f}x"
                f"{away:10.1e}  {checker.way}"
            )


def each_reads_all(vlm: Vlm, pictures: list[Image.Image], texts: list[str]) -> list[torch.Tensor]:
    """As it was: a row for every question, in batches of 16, each with the whole picture."""
    prepare = vlm.processor.image_processor.preprocess
    del vlm.processor.image_processor.preprocess
    try:
        rows = [(picture, text) for picture in pictures for text in texts]
        found: list[torch.Tensor] = []
        for start in range(0, len(rows), 16):
            batch = rows[start : start + 16]
            inputs = vlm._encoded([row[0] for row in batch], [row[1] for row in batch])
            found += vlm._logits(inputs).softmax(dim=-1)
    finally:
        vlm.processor.image_processor.preprocess = prepare
    return [
        torch.stack(found[start : start + len(texts)]) for start in range(0, len(rows), len(texts))
    ]


def flops(work: Callable[[], Any]) -> float:
    """Of one call."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def seconds(work: Callable[[], Any]) -> float:
    """Of this process, whatever else the machine does."""
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
