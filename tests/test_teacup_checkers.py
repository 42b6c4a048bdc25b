"""The two checkers of the miniature world: loaded as any model, right on fresh pictures."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from PIL import Image

from lcmis.machine.paths import shipped
from lcmis.teacup.checker_data import (
    Shown,
    Statement,
    all_pairs,
    draw_pictures,
    near_miss,
    true_caption,
    usual_partner,
)
from lcmis.teacup.judge_text import CHOICE, DESCRIBE, LETTERS, NONE, PRESENCE, QuestionAnswer, ask
from lcmis.teacup.measure_checkers import (
    Answered,
    ClipReader,
    JudgeReader,
    blank_cases,
    drawn_cases,
    measure_clip,
    measure_judge,
    summarise,
)
from lcmis.teacup.train import parse, trainer
from lcmis.teacup.train_clip import contrastive_loss
from lcmis.teacup.train_judge import NUM_IMAGE_TOKENS, answer_loss, build_judge, pack
from lcmis.text.prompts import wording
from lcmis.types import NONE_OF_THESE

CLIP = shipped("data") / "teacup" / "teacup-clip"
JUDGE = shipped("data") / "teacup" / "teacup-judge"
COKE = Shown("drinks", "tea cup", "iced coke", "blue", "red")


@pytest.fixture(scope="module")
def clip() -> ClipReader:
    return ClipReader(CLIP)


@pytest.fixture(scope="module")
def judge() -> JudgeReader:
    return JudgeReader(JUDGE)


def test_the_usual_partner_keeps_the_second_concept() -> None:
    assert usual_partner(COKE) == Shown("drinks", "glass", "iced coke")


def test_a_true_caption_holds_and_a_near_miss_does_not() -> None:
    rng = random.Random(0)
    pictures = draw_pictures(50, 0)
    for shown in pictures.shown:
        assert true_caption(shown, rng).holds_for(shown)
        missed = near_miss(shown, rng)
        assert not Statement("", missed).holds_for(shown)
        assert (missed.first == shown.first) != (missed.second == shown.second)


def test_the_judge_learns_the_wordings_that_any_model_is_asked_in() -> None:
    assert wording("presence") == PRESENCE
    assert wording("choice") == CHOICE
    assert wording("caption") == DESCRIBE
    assert NONE_OF_THESE == NONE


def test_exchanges_are_answered_by_what_is_shown() -> None:
    rng = random.Random(0)
    for _ in range(50):
        *_, first, second, described = ask(COKE, rng)
        for exchange in (first, second):
            lines = exchange.question.splitlines()[1:-1]
            answer = dict(line.split(". ", 1) for line in lines)[exchange.answer]
            assert answer == NONE or not {"tea", "coke", "cup", "drink"}.isdisjoint(
                answer.replace("teacup", "tea cup").replace("cola", "coke").split()
            )
        assert described.answer == "a tea cup of iced coke on a red table, blue background"


def test_yes_no_and_the_letters_are_single_tokens_in_the_shipped_tokenizer(
    judge: JudgeReader,
) -> None:
    tokenizer = judge.processor.tokenizer
    ids = {
        word: tokenizer.encode(word, add_special_tokens=False)
        for word in ("yes", "Yes", " yes", "no", "No", " no", *LETTERS)
    }
    assert all(len(tokens) == 1 for tokens in ids.values())
    assert ids["yes"] == ids["Yes"] == ids[" yes"] != ids["no"]
    assert len({ids[letter][0] for letter in LETTERS}) == len(LETTERS)
    assert tokenizer.encode("a", add_special_tokens=False) != ids["A"]


def test_exchanges_about_one_picture_do_not_see_each_other(judge: JudgeReader) -> None:
    tokenizer = judge.processor.tokenizer
    model = build_judge(tokenizer, 0, tiny=True).eval()
    seen = torch.randn(1, 32, 4, 4, generator=torch.Generator().manual_seed(0))
    one, other = (
        QuestionAnswer("Describe this image.", "a glass"),
        QuestionAnswer("Is it red?", "No"),
    )
    apart = [answer_loss(model, seen, pack([[exchange]], tokenizer)) for exchange in (one, other)]
    together = answer_loss(model, seen, pack([[one, other]], tokenizer))
    answer_tokens = [int((pack([[e]], tokenizer).targets != -100).sum()) for e in (one, other)]
    expected = (apart[0] * answer_tokens[0] + apart[1] * answer_tokens[1]) / sum(answer_tokens)
    torch.testing.assert_close(together, expected)


def test_packing_reads_like_the_chat_format(judge: JudgeReader) -> None:
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is it?"}]}]
    text = judge.processor.apply_chat_template(chat, add_generation_prompt=True)
    inputs = judge.processor(images=[Image.new("RGB", (128, 128))], text=[text])
    packed = pack([[QuestionAnswer("Is it?", "Yes")]], judge.processor.tokenizer)
    assert packed.ids[0, :-1].tolist() == inputs["input_ids"][0]
    assert packed.positions[0].tolist() == list(range(packed.ids.shape[1]))
    assert int((packed.ids == judge.model.config.image_token_id).sum()) == NUM_IMAGE_TOKENS


def test_texts_that_are_true_of_a_picture_are_not_its_negatives() -> None:
    images = torch.eye(2)
    texts = torch.eye(2)
    both_true = torch.ones(2, 2, dtype=torch.bool)
    assert contrastive_loss(images, texts, torch.tensor(1.0), both_true).item() == 0
    own_true = torch.eye(2, dtype=torch.bool)
    assert contrastive_loss(images, texts, torch.tensor(1.0), own_true).item() > 0.3


def test_clip_pools_its_text_at_the_end_token(clip: ClipReader) -> None:
    ids = clip.tokenizer(["a glass of milk"])
    end = int((ids[0] == clip.model.text.eos_id).int().argmax())
    changed = ids.clone()
    changed[0, end + 1 :] = 5
    with torch.inference_mode():
        torch.testing.assert_close(clip.model.encode_text(ids), clip.model.encode_text(changed))
    assert ids.shape == (1, 40)


def test_clip_tells_a_pair_from_its_usual_partner(clip: ClipReader) -> None:
    answered = measure_clip(clip, drawn_cases(300, 11))
    assert len(answered) >= 80
    assert summarise(answered)["contrast, balanced"] >= 0.98


def test_the_judge_reads_drawn_pictures(judge: JudgeReader) -> None:
    summary = summarise(measure_judge(judge, drawn_cases(100, 11), 0))
    assert summary["presence, balanced"] >= 0.98
    assert summary["whole prompt, balanced"] >= 0.96
    assert summary["forced choice of first"]["value"] >= 0.96
    assert summary["forced choice of second"]["value"] >= 0.96
    assert summary["both concepts in description"]["value"] >= 0.96


def test_the_judge_finds_nothing_in_blank_pictures(judge: JudgeReader) -> None:
    summary = summarise(measure_judge(judge, blank_cases(30, 11), 0))
    assert summary["presence"]["value"] >= 0.98
    assert summary["forced choice of first"]["value"] >= 0.96


def test_balanced_accuracy_weighs_both_answers_alike() -> None:
    answered = [Answered("m", True, True)] * 9 + [Answered("m", False, False)]
    summary = summarise(answered)
    assert summary["m"]["value"] == 0.9
    assert summary["m, balanced"] == 0.5


@pytest.mark.parametrize("model", ["clip", "guard", "judge"])
def test_a_tiny_training_writes_a_loadable_folder_and_a_card(model: str, tmp_path: Path) -> None:
    arguments = f"{model} --tiny --pictures 20 --samples 16 --batch-size 8 --measure-seeds 0"
    name, options = parse([*arguments.split(), "--device", "cpu", "--out", str(tmp_path)])
    trainer(name)(options)
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["title"] == f"teacup-{model}"
    assert card["training"]["steps"] == 2
    reader = (JudgeReader if model == "judge" else ClipReader)(tmp_path)
    assert sum(one.numel() for one in reader.model.parameters()) > 0


def test_all_pairs_are_136() -> None:
    assert len(set(all_pairs())) == 136
