"""VQAScore: P(Yes) of any vision-language model, and of the CLIP-T5 that the paper made for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    CLIPImageProcessor,
    CLIPVisionModel,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)
from worlds import tiny_clip_t5, tiny_vlms

from lcmis.check import questions_of
from lcmis.check.templates import Asking, manner_of
from lcmis.check.vqa import VqaChecker
from lcmis.check.vqascore import VqaScoreChecker
from lcmis.check.wording import MASS_FLOOR
from lcmis.errors import ConfigError
from lcmis.plugins.opening import asked_by, open_checker
from lcmis.plugins.protocols import Checker
from lcmis.plugins.settings import CheckerSettings
from lcmis.testing import CheckerContract, contract_pair, contract_pictures
from lcmis.types import Question, QuestionKind

CUP = Question(QuestionKind.A_PRESENT, "tea cup")
FIGURE = 'Does this figure show "tea cup"? Please answer yes or no.'


def checker(folder: Path, kind: str = "vqascore", **settings: Any) -> Any:
    return open_checker(CheckerSettings(kind, str(folder), **{"device": "cpu", **settings}))


@pytest.fixture(scope="module")
def flan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip_t5.make(tmp_path_factory.mktemp("flan") / "clip-flant5")


@pytest.fixture
def copied(flan: Path, tmp_path: Path) -> Path:
    """One of one's own, to be damaged."""
    return Path(shutil.copytree(flan, tmp_path / "clip-flant5"))


# ── of any model ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", ["instructblip", "instructblip-t5", "paligemma", "qwen2_5_vl"])
def test_the_score_is_the_probability_of_the_token_yes_itself(family: str, tmp_path: Path) -> None:
    folder = tiny_vlms.make(family, tmp_path / "model", spread=0.1)
    picture = contract_pictures()[0]
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    manner = manner_of(folder, "it", model.config.to_dict())
    inputs = Asking(processor, manner)([picture], [FIGURE])
    with torch.inference_mode():
        first = model.generate(
            **inputs,
            max_new_tokens=1,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        ).logits[0][0]
    yes = processor.tokenizer.convert_tokens_to_ids("Yes")
    (said,) = checker(folder).score([picture], [CUP])[0]
    assert said.value == pytest.approx(float(first.softmax(-1)[yes]), abs=1e-6)


def test_concepts_and_the_prompt_are_asked_and_no_choice(flan: Path) -> None:
    judge = checker(flan)
    pair = contract_pair()
    kinds = {question.kind for question in questions_of(pair) if judge.takes(question)}
    assert kinds == {QuestionKind.A_PRESENT, QuestionKind.B_PRESENT, QuestionKind.RELATION}
    assert asked_by(judge.checker_id, CUP) == (("user", FIGURE),)
    assert asked_by(judge.checker_id.replace("+p", "+q"), CUP) == ()


def test_a_tokenizer_that_spells_yes_in_pieces_is_told_to_be_asked_as_vqa(tmp_path: Path) -> None:
    folder = tiny_vlms.make("llava", tmp_path / "llava")
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace("Yes|", "").replace("|Yes", ""))
    with pytest.raises(ConfigError, match=r"spells Yes in \d tokens.*ask it as vqa"):
        checker(folder).load()


def test_what_answers_something_else_abstains(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    loud = 50 * weights["lm_head.weight"][-4]  # one of them is the likeliest, whatever is seen
    weights["lm_head.weight"][5:7] = torch.stack([loud, -loud])
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    answers = checker(copied).score(contract_pictures()[:3], [CUP] * 3)
    assert any(one.value is None for (one,) in answers)
    for (one,) in answers:
        assert (one.value is None) == (one.mass < MASS_FLOOR)
        assert "of the probability is on yes and no" in one.reason or one.value is not None


# ── CLIP-FlanT5 ──────────────────────────────────────────────────────────────────────────────────


class TestClipFlanT5KeepsTheContract(CheckerContract):
    @pytest.fixture
    def checker(self, flan: Path) -> Checker:
        return VqaChecker(CheckerSettings("vqa", str(flan), device="cpu"))


class TestVqaScoreKeepsTheContract(CheckerContract):
    @pytest.fixture
    def checker(self, flan: Path) -> Checker:
        return VqaScoreChecker(CheckerSettings("vqascore", str(flan), device="cpu"))


def as_published(folder: Path, picture: Image.Image, question: str) -> torch.Tensor:
    """Probabilities of the first token, computed from the parts, step by step, as the paper's code
    does it: the words before the picture, its patches, the words behind it; one row, no padding.
    """
    weights = load_file(folder / "model.safetensors")
    tokenizer = T5Tokenizer.from_pretrained(folder)
    tower_folder = folder.parent / "clip-flant5-tower"
    tower = CLIPVisionModel.from_pretrained(tower_folder).eval()
    side = max(picture.size)
    pictures = CLIPImageProcessor.from_pretrained(tower_folder)
    colour = tuple(int(part * 255) for part in pictures.image_mean)
    page = Image.new("RGB", (side, side), colour)
    page.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    pixels = pictures(page, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        seen = tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
        seen = functional.linear(
            seen, weights["mm_projector.0.weight"], weights["mm_projector.0.bias"]
        )
        seen = functional.gelu(seen)
        seen = functional.linear(
            seen, weights["mm_projector.2.weight"], weights["mm_projector.2.bias"]
        )
        system = (
            "A chat between a curious user and an artificial intelligence assistant. The assistant "
            "gives helpful, detailed, and polite answers to the user's questions. USER: "
        )
        before, after = (
            tokenizer(text, return_tensors="pt").input_ids
            for text in (system, f"\n{question} ASSISTANT: ")
        )
        assert before[0, -1] == after[0, -1] == tokenizer.eos_token_id
        table = weights["shared.weight"]
        row = torch.cat([table[before], seen, table[after]], dim=1)
        language = T5ForConditionalGeneration(T5Config.from_pretrained(folder)).eval()
        language.lm_head = torch.nn.Linear(table.shape[1], len(table), bias=False)  # not tied
        language.load_state_dict(
            {key: weights.get(key, table) for key in language.state_dict()}, strict=True
        )
        logits = language(
            inputs_embeds=row, decoder_input_ids=torch.tensor([[tokenizer.pad_token_id]])
        ).logits[0, 0, : len(tokenizer)]
    return logits.softmax(-1)


@pytest.mark.parametrize("size", [(32, 32), (40, 24), (24, 56)])
def test_a_clip_flant5_answers_as_its_published_recipe_does(
    flan: Path, size: tuple[int, int]
) -> None:
    picture = contract_pictures()[0].resize(size)
    expected = as_published(flan, picture, FIGURE)
    yes = T5Tokenizer.from_pretrained(flan).convert_tokens_to_ids("▁Yes")
    others = [
        (Image.new("RGB", (32, 32), "red"), Question(QuestionKind.RELATION, "a tea cup of ink"))
    ]
    (said,), _ = checker(flan).score([picture, others[0][0]], [CUP, others[0][1]])
    assert said.value == pytest.approx(float(expected[yes]), abs=1e-6)


def test_eyes_that_lie_elsewhere_see_as_those_among_the_weights(flan: Path, tmp_path: Path) -> None:
    apart = tiny_clip_t5.make(tmp_path / "clip-flant5", holds_tower=False)
    values = [
        [one[0].value for one in checker(folder).score(contract_pictures()[:2], [CUP, CUP])]
        for folder in (flan, apart)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-7)
    assert None not in values[0]
    assert values[0][0] != pytest.approx(values[0][1], abs=1e-4)  # the picture is seen


def test_other_eyes_are_another_checker(copied: Path, tmp_path: Path) -> None:
    before = checker(copied).checker_id
    other = tiny_clip_t5.make(tmp_path / "other", seed=1)
    shutil.copytree(other.parent / "other-tower", copied / "eyes")
    tiny_clip_t5.tell(copied, mm_vision_tower="eyes")  # within its own folder
    after = checker(copied).checker_id
    assert before.rpartition("+t")[2] != after.rpartition("+t")[2]


def _without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def _without_eyes(folder: Path) -> None:
    tiny_clip_t5.tell(folder, mm_vision_tower="./nowhere")


def _unnamed_eyes(folder: Path) -> None:
    tiny_clip_t5.tell(folder, mm_vision_tower=None)


def _strange_projector(folder: Path) -> None:
    tiny_clip_t5.tell(folder, mm_projector_type="resampler")


def _strange_tensor(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors") | {"adapter.weight": torch.ones(1)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _without_a_layer(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["decoder.final_layer_norm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _without_projector(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["mm_projector.2.bias"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _nothing(folder: Path) -> None:
    """Whole."""


@pytest.mark.parametrize(
    ("damage", "settings", "said"),
    [
        (_without_tokenizer, {}, "has no tokenizer: put tokenizer.json"),
        (_without_eyes, {}, r"sees by \./nowhere.*name a folder there"),
        (_unnamed_eyes, {}, "names no mm_vision_tower"),
        (_strange_projector, {}, "unknown kind, 'resampler'"),
        (_strange_tensor, {}, r"the tensor adapter\.weight, which no CLIP-T5 has"),
        (_without_a_layer, {}, r"lack the tensor decoder\.final_layer_norm"),
        (_without_projector, {}, "2.bias"),
        (_pickled, {}, "lcmis convert"),
        (_nothing, {"device_map": "auto"}, "runs whole on one device"),
    ],
)
def test_a_clip_flant5_that_is_not_whole_says_what_lacks(
    damage: Callable[[Path], None], settings: dict[str, Any], said: str, copied: Path
) -> None:
    damage(copied)
    with pytest.raises(ConfigError, match=said):
        checker(copied, **settings).load()
