"""Inversions: methods side by side, prompts edited, masks cut, fluency measured."""

import dataclasses
import json
import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from worlds import tiny_pipelines
from worlds.toy_inversion import BAD_PICTURES, REFERENCE, damaged, halves, register
from worlds.toys import COLOURS, SketchingModel, ToyModel

from lcmis.check.pictures import open_picture
from lcmis.cli.terminal import as_json
from lcmis.errors import CheckError, ConfigError, UserError
from lcmis.invert.applications import Wishes, examine
from lcmis.invert.keeping import keep, overlay, prepared, sheet
from lcmis.invert.masks import mask_of, middle, otsu, word_masks
from lcmis.invert.run import Inversion, InversionSettings, invert, mean
from lcmis.plugins import registry
from lcmis.plugins.settings import CheckerSettings, ModelSettings, TextModelSettings
from lcmis.render.diffusion import DiffusersModel
from lcmis.teacup.world import FAMILIES, regions, render
from lcmis.text import edits
from lcmis.text.fluency import CausalLanguageModel, windows
from lcmis.types import FIRST_CERTIFICATE_SEED, FIRST_REPAIR_SEED


@pytest.fixture(autouse=True)
def _toy_inversion(toys, monkeypatch):
    register(monkeypatch)


def settings(*methods, **others):
    given = {
        "model": ModelSettings("toy"),
        "guard": CheckerSettings("eyes", "guard"),
        "guide": CheckerSettings("eyes", "guide"),
        "methods": methods,
        "seeds": 3,
    }
    return InversionSettings(**{**given, **others})


# ── methods ──────────────────────────────────────────────────────────────────────────────────────


def test_methods_stand_side_by_side_the_best_first():
    found = invert(REFERENCE, settings("errs", "knows"))
    assert [one.method for one in found] == ["knows", "errs"]
    best, worse = found
    assert best.prompt == "rubine beside azure"
    assert best.found == ("void beside void", "rubine beside void", "rubine beside azure")
    assert best.text_similarity == pytest.approx(1, abs=1e-6)
    assert best.image_similarity.value == pytest.approx(1, abs=1e-3)
    assert best.image_similarity.total == 3
    assert worse.image_similarity.value < 0.9


def test_a_method_that_fails_is_shown_and_the_others_go_on():
    found = invert(REFERENCE, settings("fails", "knows"))
    assert [one.method for one in found] == ["knows", "fails"]
    assert "needs a denoiser" in found[1].failure
    assert (found[1].prompt, found[1].judged, found[1].image_similarity) == ("", None, None)


def test_the_guard_judges_on_seeds_that_no_search_has_used():
    best, *_ = invert(REFERENCE, settings("paints"))
    assert [one.seed for one in best.judged.paintings] == [
        FIRST_CERTIFICATE_SEED + place for place in range(3)
    ]


def test_a_method_paints_by_a_cache_and_is_judged_without_it(monkeypatch):
    monkeypatch.setitem(registry.BUILT_IN["models"], "toy", "worlds.toys:SketchingModel")
    SketchingModel.sketched.clear()
    SketchingModel.counted.clear()
    invert(REFERENCE, settings("paints"))
    assert SketchingModel.sketched
    assert all(
        FIRST_REPAIR_SEED <= seed < FIRST_CERTIFICATE_SEED for seed in SketchingModel.sketched
    )
    assert SketchingModel.counted >= {FIRST_CERTIFICATE_SEED + place for place in range(3)}
    assert all(seed >= FIRST_CERTIFICATE_SEED for seed in SketchingModel.counted)


def test_a_search_ends_with_its_pictures_and_the_guide_picks_from_what_it_found():
    (found,) = invert(REFERENCE, settings("paints", pictures=7))
    assert found.pictures == 7
    assert len(found.found) == 7
    assert found.spent == "its 7 pictures are spent"
    assert found.prompt == "rubine beside azure"
    assert found.found[-1] != found.prompt


def test_a_search_ends_with_its_seconds():
    (found,) = invert(REFERENCE, settings("paints", seconds=1e-9))
    assert "seconds are spent" in found.spent
    assert found.pictures == 0


def test_questions_to_the_text_model_are_counted_method_by_method():
    asked = TextModelSettings("toy")
    found = {
        one.method: one for one in invert(REFERENCE, settings("asks", "errs", text_model=asked))
    }
    assert (found["asks"].text_calls, found["errs"].text_calls) == (2, 0)


def test_a_text_model_that_is_silent_fails_its_method_alone():
    mute = TextModelSettings("toy", "mute")
    found = invert(REFERENCE, settings("asks", "errs", text_model=mute))
    assert [one.method for one in found] == ["errs", "asks"]
    assert "rather not" in found[1].failure


def test_a_prompt_that_the_model_cannot_read_is_judged_by_its_words_alone():
    (found,) = invert(REFERENCE, settings("rambles", fluency="letters"))
    assert found.image_similarity is None
    assert "letters" in found.judged.unpainted
    assert found.text_similarity == pytest.approx(1, abs=1e-6)
    assert found.judged.perplexity is None


def test_fluency_is_that_of_the_language_model():
    (found,) = invert(REFERENCE, settings("knows", fluency="letters"))
    assert found.judged.perplexity == len("rubine beside azure")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"guard": CheckerSettings("eyes", "guide")}, "--guard"),
        ({"guard": CheckerSettings("toy")}, "cannot compare"),
        ({"methods": ("pezz",)}, "pez"),
        ({"seeds": 0}, "--seeds"),
        ({"pictures": 0}, "--pictures"),
        ({"seconds": 0.0}, "--seconds"),
        ({"seconds": math.inf}, "--seconds is inf"),
        ({"seconds": math.nan}, "--seconds is nan"),
        ({"fluency": "no/such-model"}, "no/such-model"),
        ({"writer": "no/such-writer"}, "no/such-writer"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_before_anything_is_drawn(changed, sentence):
    with pytest.raises(UserError, match=sentence):
        Inversion(dataclasses.replace(settings("knows"), **changed))
    assert ToyModel.drawn == []


def test_a_mean_has_the_interval_of_students_t():
    values = [0.2, 0.5, 0.4, 0.6]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    found = mean(values)
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(values), low, high))
    assert mean([0.6, 1.0]).high == 1
    assert (mean([0.3]).low, mean([0.3]).high) == (None, None)


# ── what is made of prompts ──────────────────────────────────────────────────────────────────────


def test_prompts_are_edited_joined_and_bred():
    other = halves("amber", "lime")
    wishes = Wishes(
        join=other,
        replace=(("azure", "lime"), ("xyzzy", "lime")),
        delete=("azure",),
        evolve=other,
        generations=2,
    )
    result = examine(Inversion(settings("reads")), REFERENCE, wishes)
    made = {one.how: one for one in result.made}
    assert made["replace azure by lime"].judged.prompt == "rubine beside lime"
    assert "no prompt says 'xyzzy'" in made["replace xyzzy by lime"].failure
    assert made["delete azure"].judged.prompt == "rubine"
    assert made["join"].judged.prompt == "rubine beside azure and amber beside lime"
    assert len(made["join"].judged.image_similarities) == 2
    first = made["generation 1"]
    assert first.prompts == ("rubine beside azure", "amber beside lime")
    assert first.judged.prompt in list(edits.merges(*first.prompts))
    assert "generation 2" in made
    assert result.plain.value < result.inverted[0].image_similarity.value


def test_wishes_that_these_tools_cannot_fulfil_are_refused_at_once():
    for wishes, sentence in (
        (Wishes(mask="difference"), "gives no gradients"),
        (Wishes(evolve=REFERENCE, generations=0), "--generations"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            examine(Inversion(settings("reads")), REFERENCE, wishes)
    with pytest.raises(ConfigError, match="--guide"):
        examine(Inversion(settings("reads", guide=None)), REFERENCE, Wishes(evolve=REFERENCE))


def test_everything_is_kept_in_a_folder(tmp_path):
    result = examine(Inversion(settings("knows", "fails")), REFERENCE, Wishes(delete=("azure",)))
    files = keep(result, prepared(tmp_path / "a" / "b"), as_json(result))
    assert all(file.is_file() for file in files)
    assert {file.parent.name for file in files} == {"b", "knows", "delete-azure"}
    told = json.loads((tmp_path / "a" / "b" / "prompts.json").read_text())
    assert told["inverted"][0]["judged"]["prompt"] == "rubine beside azure"
    assert "picture" not in told
    with Image.open(tmp_path / "a" / "b" / "knows" / "1.png") as painted:
        assert painted.getpixel((4, 4)) == COLOURS["rubine"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--out"):
        prepared(tmp_path / "file")


# ── prompts as text ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("prompt", "words", "left"),
    [
        ("a tea cup of iced coke", "cup", "iced coke"),
        ("a tea cup of iced coke", "tea cup", "iced coke"),
        ("a tea cup of iced coke", "Iced Coke", "a tea cup"),
        ("a tea cup of iced coke", "tea", "a cup of iced coke"),
        (
            "an old boot full of sunflowers, blue background",
            "old",
            "a boot full of sunflowers, blue background",
        ),
        ("an old boot full of sunflowers, blue background", "boot", "sunflowers, blue background"),
        (
            "an old boot full of sunflowers, blue background",
            "background",
            "an old boot full of sunflowers",
        ),
        ("a white owl", "white", "an owl"),
        (
            "a cat in a hat and a dog in front of a house",
            "hat",
            "a cat and a dog in front of a house",
        ),
        ("cat cat dog", "cat", "dog"),
    ],
)
def test_a_deleted_word_takes_its_article_and_connector_along(prompt, words, left):
    assert edits.delete(prompt, words) == left


def test_a_replaced_word_has_the_right_article():
    assert (
        edits.replace("a tea cup of iced coke", "tea cup", "old boot") == "an old boot of iced coke"
    )
    assert edits.replace("an owl and a cat", "owl", "cat") == "a cat and a cat"
    assert edits.replace("A cat and an owl", "cat", "hourglass") == "An hourglass and an owl"
    assert edits.replace("a cat and an owl", "owl", "unicorn") == "a cat and a unicorn"
    assert edits.replace("catalogue cat", "cat", r"\1") == r"catalogue \1"


def test_joined_prompts_keep_their_styles_at_the_end():
    joined = edits.join("a cat, oil painting", "a dog on a sofa, oil painting, dark")
    assert joined == "a cat and a dog on a sofa, oil painting, dark"


def test_what_a_prompt_does_not_say_cannot_be_edited():
    for edit in (lambda: edits.replace("a cat", "dog", "cow"), lambda: edits.delete("a cat", " ")):
        with pytest.raises(ValueError, match="does not say"):
            edit()
    with pytest.raises(ValueError, match="nothing is left"):
        edits.delete("a cat", "cat")
    assert edits.without("a cat", "cat") == ""


def test_children_cross_their_parents_phrases():
    found = list(edits.merges("a cat in a hat", "a dog on a sofa"))
    assert found == [
        "a cat in a hat and a dog on a sofa",
        "a dog on a sofa and a cat in a hat",
        "a cat on a sofa",
        "a dog in a hat",
    ]


PROMPTS = st.lists(
    st.sampled_from(
        [
            *[
                "a",
                "an",
                "the",
                "of",
                "with",
                "in",
                "on",
                "and",
                ",",
                "cat",
                "owl",
                "red",
                "hat",
                "old",
            ],
            "full of",
        ]
    ),
    max_size=12,
).map(" ".join)


@given(PROMPTS, PROMPTS)
def test_edits_of_any_prompt_leave_clean_text(first, second):
    for child in edits.merges(first, second):
        assert child not in (first, second)
    for word in edits.words(first):
        left = edits.without(first, word)
        assert word not in edits.words(left)
        assert left == left.strip()


# ── masks ────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.integers(0, 9), min_size=2, max_size=30))
def test_otsus_threshold_parts_with_the_greatest_variance_between(numbers):
    values = np.array(numbers, np.float32)

    def between(threshold):
        upper, lower = values[values >= threshold], values[values < threshold]
        if not (upper.size and lower.size):
            return -1.0
        return upper.size * lower.size * (upper.mean() - lower.mean()) ** 2

    threshold = otsu(values)
    best = max(between(one) for one in np.unique(values))
    assert between(threshold) == pytest.approx(best, rel=1e-5)
    if len(set(numbers)) == 1:
        assert not (values >= threshold).any()


def test_a_mask_lies_where_the_map_is_high_and_only_where_the_model_looked():
    attention = np.zeros((8, 8), np.float32)
    attention[2:6, 4:8] = 1
    mask = mask_of("cup", attention, (160, 80))
    assert mask.covered.shape == (80, 160)
    assert mask.covered[40, 100]
    assert not mask.covered[40, 60]
    assert not mask.covered[:, :40].any()
    assert mask.share == pytest.approx(0.125, abs=0.02)
    assert not mask_of("cup", np.full((8, 8), 1 / 64, np.float32), (20, 20)).covered.any()


def test_the_middle_of_a_picture_has_the_shape_that_the_model_draws():
    assert middle((160, 80), (8, 8)) == (40, 0, 120, 80)
    assert middle((60, 100), (3, 2)) == (0, 30, 60, 70)
    assert middle((1, 500), (8, 8)) == (0, 249, 1, 250)


@pytest.mark.parametrize("by", ["difference", "attention"])
def test_every_word_that_says_something_has_a_mask(tmp_path, by):
    model = DiffusersModel(ModelSettings(str(tiny_pipelines.save("sd", tmp_path)), batch_size=1))
    picture = Image.effect_mandelbrot((90, 60), (-2, -1.5, 1, 1.5), 20).convert("RGB")
    masks = word_masks(model.denoiser(), picture, "a cat of a hat", by)
    assert [mask.word for mask in masks] == ["cat", "hat"]
    for mask in masks:
        assert mask.covered.shape == (60, 90)
        assert 0 < mask.share < 1
        assert overlay(picture, mask).size == picture.size


def test_the_worlds_regions_are_those_of_its_picture():
    for family in FAMILIES.values():
        for number in range(len(family.first)):
            names = family.first[number].name, family.second[-number - 1].name
            state = random.Random(number)
            picture, _, _ = render(family.name, *names, random.Random(number))
            a, b = (np.asarray(mask) for mask in regions(family.name, *names, state))
            assert a.shape == b.shape == (picture.height, picture.width)
            assert set(np.unique(a)) == set(np.unique(b)) == {0, 255}
            assert not ((a > 0) & (b > 0)).any()


# ── fluency ──────────────────────────────────────────────────────────────────────────────────────

WORDS = ["<s>", "a", "cat", "hat", "in", "the", "<unk>"]


def language_model(folder, *, start=True, positions=16, zero=False):
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(WORDS),
        n_positions=positions,
        n_embd=8,
        n_layer=1,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(0 if zero else 5)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(
        models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"bos_token": "<s>"} if start else {}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", **special
    ).save_pretrained(folder)
    return model.eval()


def test_a_model_that_knows_nothing_is_as_perplexed_as_its_vocabulary_is_large(tmp_path):
    language_model(tmp_path, zero=True)
    assert CausalLanguageModel(str(tmp_path)).perplexity("a cat in the hat") == pytest.approx(7)


def test_perplexity_is_that_of_transformers_own_loss(tmp_path):
    model = language_model(tmp_path)
    ids = torch.tensor([[0, 1, 2, 4, 5, 3]])
    expected = math.exp(model(ids, labels=ids).loss.item())
    found = CausalLanguageModel(str(tmp_path)).perplexity("a cat in the hat")
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_text_longer_than_the_model_reads_is_scored_in_windows(tmp_path):
    model = language_model(tmp_path, positions=4)
    ids = torch.tensor([[0, 1, 2, 4, 5, 3, 2]])
    losses = []
    for start, end, first in ((0, 4, 1), (2, 6, 4), (3, 7, 6)):
        logits = model(ids[:, start:end]).logits.log_softmax(-1)
        losses += [
            -logits[0, place - start - 1, ids[0, place]].item() for place in range(first, end)
        ]
    found = CausalLanguageModel(str(tmp_path)).perplexity("a cat in the hat cat")
    assert len(losses) == 6
    assert found == pytest.approx(math.exp(np.mean(losses)), rel=1e-5)


@given(st.integers(2, 300), st.integers(2, 64))
def test_windows_score_every_token_but_the_first_once(num_tokens, context_length):
    scored = []
    for start, end, first in windows(num_tokens, context_length):
        assert 0 <= start < first < end <= num_tokens
        assert end - start <= context_length
        scored += range(first, end)
    assert scored == list(range(1, num_tokens))


def test_without_a_token_for_the_beginning_one_word_has_no_perplexity(tmp_path):
    language_model(tmp_path, start=False)
    with pytest.raises(CheckError, match="too short"):
        CausalLanguageModel(str(tmp_path)).perplexity("cat")


def test_a_folder_that_is_no_language_model_is_refused_with_a_sentence(tmp_path):
    language_model(tmp_path / "whole")
    (tmp_path / "whole" / "model.safetensors").rename(tmp_path / "whole" / "model.bin")
    with pytest.raises(ConfigError, match="safetensors"):
        CausalLanguageModel(str(tmp_path / "whole")).perplexity("a cat")
    with pytest.raises(ConfigError, match="language"):
        CausalLanguageModel(str(tiny_pipelines.save("sd", tmp_path / "sd") / "unet")).perplexity(
            "a cat"
        )


# ── pictures of any kind ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "I"])
def test_a_picture_of_any_mode_is_opened_with_its_brightness(tmp_path, mode):
    path = tmp_path / f"picture.{'tiff' if mode in ('CMYK', 'I') else 'png'}"
    if mode.startswith("I"):
        grey = np.full((5, 7), 2**15, np.uint16 if mode == "I;16" else np.int32)
        Image.fromarray(grey).save(path)
    else:
        Image.new("RGB", (7, 5), (128, 128, 128)).convert(mode).save(path)
    found = open_picture(path)
    assert (found.mode, found.size) == ("RGB", (7, 5))
    if mode != "1":
        assert np.abs(np.asarray(found).mean() - 128) < 3


def test_what_is_clear_is_white_and_what_is_turned_is_turned_back(tmp_path):
    Image.new("RGBA", (4, 4), (200, 0, 0, 0)).save(tmp_path / "clear.png")
    assert open_picture(tmp_path / "clear.png").getpixel((1, 1)) == (255, 255, 255)
    exif = Image.Exif()
    exif[0x0112] = 6
    halves("rubine", "azure").save(tmp_path / "turned.png", exif=exif)
    turned = open_picture(tmp_path / "turned.png")
    assert turned.size == (8, 16)
    assert turned.getpixel((4, 2)) == COLOURS["rubine"]


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_what_is_no_picture_is_refused_in_one_sentence(tmp_path, name):
    with pytest.raises(ConfigError) as told:
        open_picture(damaged(tmp_path) / name)
    assert len(str(told.value).splitlines()) == 1
    assert str(tmp_path) in str(told.value)


def test_a_sheet_of_nothing_is_still_a_picture():
    result = examine(Inversion(settings("fails")), REFERENCE)
    assert sheet(result).size[1] > 0
