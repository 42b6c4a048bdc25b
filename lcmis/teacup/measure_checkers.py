"""Measures teacup-clip and teacup-judge through the plain libraries, on drawn and painted pictures.

Drawn pictures are known by construction; what the miniature models painted is read by the oracle.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor

from lcmis import judge
from lcmis.teacup import world
from lcmis.teacup.checker_data import (
    Pictures,
    Shown,
    all_pairs,
    draw_blanks,
    draw_pictures,
    usual_partner,
)
from lcmis.teacup.diffusion import load_pipeline
from lcmis.teacup.judge_text import DESCRIBE, LETTERS, NONE, QuestionAnswer, choice, presence
from lcmis.teacup.measure import as_dict, paint
from lcmis.teacup.oracle import load_oracle
from lcmis.teacup.training import TrainOptions

BATCH_SIZE = 64
SEED_OFFSET = 500_000
"""Measured pictures have seeds that training does not use."""


@dataclass(frozen=True)
class CheckedPicture:
    """A picture, what it was asked to show, and what it does show."""

    picture: Image.Image
    asked: Shown
    shown: Shown | None
    """None for a picture of nothing."""


@dataclass(frozen=True)
class Answered:
    """One question of a measurement, right or wrong."""

    measure: str
    holds: bool | None
    """The truth of a yes-or-no question, which accuracy is balanced over; None for others."""
    right: bool


def drawn_cases(count: int, seed: int) -> list[CheckedPicture]:
    """Pictures by the renderer: half asked for what they show, half for what it displaced."""
    pictures = draw_pictures(count, SEED_OFFSET + seed)
    rng = random.Random(seed)
    images = _images(pictures)
    return [
        CheckedPicture(image, _pair(shown) if rng.random() < 0.5 else _displaced(shown, rng), shown)
        for image, shown in zip(images, pictures.shown, strict=True)
    ]


def blank_cases(count: int, seed: int) -> list[CheckedPicture]:
    """Pictures of nothing, each asked to show some pair."""
    rng = random.Random(seed)
    pairs = all_pairs()
    return [
        CheckedPicture(Image.fromarray(one), rng.choice(pairs), None)
        for one in draw_blanks(count, rng)
    ]


def painted_cases(
    folder: Path, count: int, num_seeds: int, seed: int, *, device: str, oracle: Path | None = None
) -> list[CheckedPicture]:
    """Let a pipeline paint so many pairs with so many seeds each; the oracle says what came out."""
    pipeline, reader = load_pipeline(folder, device), load_oracle(oracle).to(device)
    pairs = random.Random(seed).sample(all_pairs(), count)
    asked = [pair for pair in pairs for _ in range(num_seeds)]
    noise = [SEED_OFFSET + seed + number for number in range(len(asked))]
    images = paint(pipeline, [pair.prompt for pair in asked], noise)
    return [
        CheckedPicture(image, pair, as_shown(reading.first, reading.second))
        for image, pair, reading in zip(images, asked, reader.classify(images), strict=True)
    ]


def gather_cases(start: Path, options: TrainOptions) -> dict[str, list[CheckedPicture]]:
    """What a checker is measured on: drawn, blank, and painted by the models under ``start``."""
    cases = {"drawn": drawn_cases(600, options.seed), "blank": blank_cases(100, options.seed)}
    for name in ("teacup-narrow", "teacup-broad"):
        cases[f"painted by {name}"] = painted_cases(
            start / name,
            60,
            options.measure_seeds,
            options.seed,
            device=options.device,
            oracle=start / "oracle.safetensors",
        )
    return cases


def as_shown(first: str, second: str) -> Shown:
    """What the oracle read; a picture between two families counts as of its first concept's."""
    home = next(
        name
        for name, family in world.FAMILIES.items()
        if first in [concept.name for concept in family.first]
    )
    return Shown(home, first, second)


class ClipReader:
    """teacup-clip as any open_clip model is used."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        name = f"local-dir:{folder}"
        self.model, _, self.preprocess = open_clip.create_model_and_transforms(name, device=device)
        self.tokenizer = open_clip.get_tokenizer(name)
        self.device = device
        self.model.eval()

    @torch.inference_mode()
    def prefers(
        self, pictures: Sequence[Image.Image], texts: Sequence[str], others: Sequence[str]
    ) -> list[float]:
        """Probability in [0, 1] of each text against the other, of each picture."""
        values: list[float] = []
        for start in range(0, len(pictures), BATCH_SIZE):
            part = slice(start, start + BATCH_SIZE)
            batch = torch.stack([self.preprocess(picture) for picture in pictures[part]])
            seen = self.model.encode_image(batch.to(self.device), normalize=True)
            read = [
                self.model.encode_text(self.tokenizer(list(one)).to(self.device), normalize=True)
                for one in (texts[part], others[part])
            ]
            cosines = torch.stack([(seen * one).sum(1) for one in read], dim=1)
            values += (self.model.logit_scale.exp() * cosines).softmax(1)[:, 0].tolist()
        return values


class JudgeReader:
    """teacup-judge as any image-text-to-text model is used."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self.processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        self.model = AutoModelForImageTextToText.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        )
        self.model.to(device).eval()
        self.device = device

    @torch.inference_mode()
    def probabilities(
        self, pictures: Sequence[Image.Image], questions: Sequence[str], answers: Sequence[str]
    ) -> Tensor:
        """Probability of each answer's first token, (questions, answers), one picture each."""
        tokenizer = self.processor.tokenizer
        first = [tokenizer.encode(answer, add_special_tokens=False)[0] for answer in answers]
        rows = []
        for start in range(0, len(questions), BATCH_SIZE):
            part = slice(start, start + BATCH_SIZE)
            inputs = self._inputs(pictures[part], questions[part])
            logits = self.model(**inputs, logits_to_keep=1).logits[:, -1]
            rows.append(logits.float().softmax(-1)[:, first].cpu())
        return torch.cat(rows)

    @torch.inference_mode()
    def replies(self, pictures: Sequence[Image.Image], question: str) -> list[str]:
        """The reply to one question about each picture."""
        replies: list[str] = []
        for start in range(0, len(pictures), BATCH_SIZE):
            part = pictures[start : start + BATCH_SIZE]
            inputs = self._inputs(part, [question] * len(part))
            made = self.model.generate(**inputs, max_new_tokens=32, do_sample=False)
            replies += self.processor.batch_decode(
                made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
            )
        return replies

    def _inputs(self, pictures: Sequence[Image.Image], questions: Sequence[str]) -> Any:
        chats = [
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
            for question in questions
        ]
        texts = [
            self.processor.apply_chat_template(chat, add_generation_prompt=True) for chat in chats
        ]
        inputs = self.processor(
            images=list(pictures), text=texts, padding=True, return_tensors="pt"
        )
        return inputs.to(self.device)


def measure_clip(reader: ClipReader, cases: Sequence[CheckedPicture]) -> list[Answered]:
    """Ask which of two prompts fits: the asked pair or its usual partner.

    Pictures of neither, and usual pairs, are left out: this question has no answer there.
    """
    open_cases = [
        case
        for case in cases
        if case.shown is not None
        and case.asked != usual_partner(case.asked)
        and _pair(case.shown) in (case.asked, usual_partner(case.asked))
    ]
    if not open_cases:
        return []
    values = reader.prefers(
        [case.picture for case in open_cases],
        [case.asked.prompt for case in open_cases],
        [usual_partner(case.asked).prompt for case in open_cases],
    )
    return [
        Answered("contrast", truth, (value > 0.5) == truth)
        for case, value in zip(open_cases, values, strict=True)
        for truth in [case.shown is not None and _pair(case.shown) == case.asked]
    ]


def measure_judge(
    reader: JudgeReader, cases: Sequence[CheckedPicture], seed: int
) -> list[Answered]:
    """Ask for both concepts, the whole prompt, each concept among suspects, and a description."""
    rng = random.Random(seed)
    pictures = [case.picture for case in cases]
    answered: list[Answered] = []

    def ask_yes_no(measure: str, texts: Sequence[str], truths: Sequence[bool]) -> None:
        questions = [presence(text, holds=True).question for text in texts]
        yes, no = reader.probabilities(pictures, questions, ("Yes", "No")).unbind(1)
        for said, truth in zip((yes > no).tolist(), truths, strict=True):
            answered.append(Answered(measure, truth, said == truth))

    seen = [case.shown or Shown("", None, None) for case in cases]
    for of_first in (True, False):
        names = [str(c.asked.first if of_first else c.asked.second) for c in cases]
        there = [one.first if of_first else one.second for one in seen]
        holds = [name == other for name, other in zip(names, there, strict=True)]
        ask_yes_no("presence", names, holds)
    family_of = [world.FAMILIES[case.asked.family] for case in cases]
    absent = [
        rng.choice([c.name for c in family.first if c.name != s.first])
        for family, s in zip(family_of, seen, strict=True)
    ]
    ask_yes_no("presence", absent, [False] * len(cases))
    prompts = [case.asked.prompt for case in cases]
    wholes = [
        (case.asked.first, case.asked.second) == (s.first, s.second)
        for case, s in zip(cases, seen, strict=True)
    ]
    ask_yes_no("whole prompt", prompts, wholes)

    for of_first in (True, False):
        exchanges = [_suspects(case, rng, of_first=of_first) for case in cases]
        questions = [exchange.question for exchange in exchanges]
        letters = reader.probabilities(pictures, questions, LETTERS).argmax(1).tolist()
        measure = f"forced choice of {'first' if of_first else 'second'}"
        for exchange, letter in zip(exchanges, letters, strict=True):
            answered.append(Answered(measure, None, LETTERS[letter] == exchange.answer))

    known = [(c.picture, c.shown) for c in cases if c.shown is not None]
    if known:
        replies = reader.replies([picture for picture, _ in known], DESCRIBE)
        for reply, (_, shown) in zip(replies, known, strict=True):
            right = shown is not None and reply.startswith(shown.prompt)
            answered.append(Answered("both concepts in description", None, right))
    return answered


def summarise(answered: Iterable[Answered]) -> dict[str, Any]:
    """Accuracy of every measure with its interval; also balanced where the truth is yes or no."""
    groups: dict[str, list[Answered]] = defaultdict(list)
    for one in answered:
        groups[one.measure].append(one)
    summary: dict[str, Any] = {}
    for measure, members in groups.items():
        summary[measure] = as_dict(judge.rate(sum(one.right for one in members), len(members)))
        halves = [[m.right for m in members if m.holds is truth] for truth in (True, False)]
        if all(halves):
            summary[f"{measure}, balanced"] = round(
                float(np.mean([np.mean(half) for half in halves])), 4
            )
    return summary


def _suspects(case: CheckedPicture, rng: random.Random, *, of_first: bool) -> QuestionAnswer:
    """The concept asked for and five others, the shown one mostly among them, or none of these."""
    family = world.FAMILIES[case.asked.family]
    names = [concept.name for concept in (family.first if of_first else family.second)]
    asked = str(case.asked.first if of_first else case.asked.second)
    seen = None if case.shown is None else case.shown.first if of_first else case.shown.second
    listed = [asked]
    if seen in names and seen != asked and rng.random() < 0.75:
        listed.append(str(seen))
    others = [name for name in names if name not in (asked, seen)]
    listed += rng.sample(others, min(6 - len(listed), len(others)))
    rng.shuffle(listed)
    return choice([*listed, NONE], str(seen) if seen in listed else NONE)


def _displaced(shown: Shown, rng: random.Random) -> Shown:
    """A pair that the shown one may have displaced: another first, or second, concept."""
    family = world.FAMILIES[shown.family]
    if _pair(shown) == usual_partner(_pair(shown)) or rng.random() < 0.5:
        others = [concept.name for concept in family.first if concept.name != shown.first]
        return Shown(shown.family, rng.choice(others), shown.second)
    others = [concept.name for concept in family.second if concept.name != shown.second]
    return Shown(shown.family, shown.first, rng.choice(others))


def _pair(shown: Shown) -> Shown:
    return Shown(shown.family, shown.first, shown.second)


def _images(pictures: Pictures) -> list[Image.Image]:
    return [Image.fromarray(one) for one in pictures.pixels]
