"""The vocabulary to its letters and digits: keys, edges, orders and sentences."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math

import pytest

from lcmis.types import (
    CERTIFICATE_BLOCK,
    FIRST_CERTIFICATE_SEED,
    Answer,
    Box,
    Candidate,
    Certificate,
    Concept,
    ConceptPair,
    Inquiry,
    Intruder,
    LevelRange,
    Nomination,
    Question,
    QuestionKind,
    Rate,
    RenderSpec,
    Seen,
    Side,
    Stage,
    Trial,
    Verdict,
    certificate_block,
    content_key,
    key_number,
    stage_starts,
)

CUP, COKE, GLASS = Concept("tea cup"), Concept("iced coke"), Concept("glass")
PAIR = ConceptPair(
    CUP,
    COKE,
    "a tea cup of iced coke",
    intruders=(
        Intruder(GLASS, Side.A, "a glass of iced coke"),
        Intruder(Concept("tea"), Side.B, "a tea cup of tea"),
        Intruder(Concept("bottle"), Side.A, "a bottle of iced coke"),
    ),
)
SPEC = RenderSpec(
    model="painter@1",
    stages=(Stage("a cup", 0.5), Stage("a glass")),
    seed=0,
    num_inference_steps=1,
    guidance_scale=0,
    scheduler="DDIMScheduler",
    height=1,
    width=1,
    profile="cpu-float32-b1",
)
CANDIDATE = Candidate((Stage("a cup", 0.25), Stage("a cup of coke")), "glass")
NOMINATION = Nomination("k1:pair", "painter@1", "moce", "clip:b", CANDIDATE, 40, 12, "found")


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (CUP, "k1:7793f1b3fd1781301bc3c3ef25f5e6b2"),
        (CANDIDATE, "k1:1cc59b3f5a44a1baf38fc581163b1d50"),
        (NOMINATION, "k1:0b8e7a1b062728279010b0fcbc8ee311"),
        (
            Trial("k1:pair", "m@1", "moce", "clip:b", CANDIDATE, (Seen(1, 0.5, None),)),
            "k1:ef2737222304db479f403d2ab44d8479",
        ),
        (Inquiry("vqa:x", "abc", "k1:q"), "k1:bf0762d6f78086a268bf9a08ea17a1bf"),
        (Answer(0.5, box=Box(0, 0, 1, 0.5, "cup")), "k1:d258762727aa9146a05371c60b88e1f9"),
    ],
)
def test_keys_that_stand_in_stores_stay_what_they_are(value, key):
    assert content_key(value) == key


def test_a_key_is_a_hash_of_sorted_json_that_leaves_out_defaults():
    said = '{"name":"café","synonyms":["a",1,true,null,0.5,{"1":2,"b":"ä"},"b"]}'
    named = Concept("café", synonyms=("a", 1, True, None, 0.5, {"b": "ä", 1: 2}, Side.B))
    digest = hashlib.blake2b(said.encode(), digest_size=16).hexdigest()
    assert content_key(named) == f"k1:{digest}"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (math.inf, "inf cannot be part of a key: only finite numbers have one spelling"),
        (-math.inf, "-inf cannot be part of a key: only finite numbers have one spelling"),
        ([1], "list cannot be part of a key"),
        (Concept, "type cannot be part of a key"),
    ],
)
def test_what_no_key_can_hold_is_named(value, sentence):
    with pytest.raises(TypeError) as refused:
        content_key({"one": (value,)})
    assert str(refused.value) == sentence


def test_a_texts_number_is_one_of_64_bits():
    assert key_number("") == int.from_bytes(bytes.fromhex("e4a6a0577479b2b4"), "big")
    assert max(key_number(str(n)) for n in range(99)) >= 2**63


# ── what is asked and drawn ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("names", "prompt", "sentence"),
    [
        (("a", "b"), " \n", "a pair needs a prompt that asks for both concepts; this one is empty"),
        (("Cup", "cUP"), "a cup", "a pair needs two concepts; both are called 'Cup'"),
        (("Straße", "STRASSE"), "a cup", "a pair needs two concepts; both are called 'Straße'"),
    ],
)
def test_what_is_no_pair_is_refused_with_what_it_lacks(names, prompt, sentence):
    with pytest.raises(ValueError) as refused:
        ConceptPair(*map(Concept, names), prompt)
    assert str(refused.value) == sentence


def test_a_pair_gives_each_side_its_own():
    assert PAIR.concept(Side.A) is CUP
    assert PAIR.concept(Side.B) is COKE
    assert [one.concept.name for one in PAIR.intruders_of(Side.A)] == ["glass", "bottle"]
    assert [one.concept.name for one in PAIR.intruders_of(Side.B)] == ["tea"]


def test_a_pair_on_one_line_says_all_of_it_in_its_own_letters():
    said = dataclasses.replace(PAIR, prompt="ein Glas Öl", licence="CC0").as_json()
    assert "Öl" in said
    assert "\n" not in said
    assert json.loads(said)["licence"] == "CC0"
    assert json.loads(said)["intruders"][1]["replaces"] == "b"


def test_a_stage_begins_at_the_nearest_step():
    a, b, c = Stage("a", 0.34), Stage("b", 0.66), Stage("c")
    assert stage_starts((a, b, c), 10) == {0: a, 3: b, 7: c}
    assert stage_starts((a, b, c), 1) == {0: b}
    assert stage_starts((c,), 1) == {0: c}


@pytest.mark.parametrize("ends", [(), (0.0, 1.0), (0.5, 0.5, 1.0), (0.7, 0.5, 1.0), (0.5,), (2.0,)])
def test_odd_stages_are_refused_with_their_ends(ends):
    stages = tuple(Stage("a", end) for end in ends)
    for made in (Candidate, lambda odd: dataclasses.replace(SPEC, stages=odd)):
        with pytest.raises(ValueError) as refused:
            made(stages)
        assert str(refused.value) == (
            f"stages must rise strictly within (0, 1] and end at 1.0, got {list(ends)}"
        )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": -1}, "a seed lies in [0, 2**63), got -1"),
        ({"seed": 2**63}, "a seed lies in [0, 2**63), got 9223372036854775808"),
        (
            {"num_inference_steps": 0},
            "a picture needs at least one step and one pixel, got 0 steps at 1x1",
        ),
        ({"height": 0}, "a picture needs at least one step and one pixel, got 1 steps at 1x0"),
        ({"width": 0}, "a picture needs at least one step and one pixel, got 1 steps at 0x1"),
        ({"guidance_scale": -0.5}, "guidance is a finite number from 0 up, got -0.5"),
        ({"guidance_scale": math.inf}, "guidance is a finite number from 0 up, got inf"),
        ({"guidance_scale": math.nan}, "guidance is a finite number from 0 up, got nan"),
    ],
)
def test_what_no_picture_can_have_is_refused_with_its_number(change, sentence):
    with pytest.raises(ValueError) as refused:
        dataclasses.replace(SPEC, **change)
    assert str(refused.value) == sentence


def test_a_picture_ends_with_its_last_prompt():
    three = (Stage("a cup", 0.25), Stage("a glass", 0.5), Stage("a mug"))
    assert dataclasses.replace(SPEC, stages=three).prompt == "a mug"


def test_the_least_of_everything_and_the_largest_seed_are_a_picture():
    assert dataclasses.replace(SPEC, seed=2**63 - 1).seed == 2**63 - 1
    assert type(SPEC.guidance_scale) is float
    assert (SPEC.prompt, dataclasses.replace(SPEC, guidance_scale=0.5).guidance_scale) == (
        "a glass",
        0.5,
    )


# ── what is seen ─────────────────────────────────────────────────────────────────────────────────


def test_only_questions_after_intruders_have_options():
    assert [kind.value for kind in QuestionKind if kind.is_choice] == ["intruder_a", "intruder_b"]


EDGES = [
    (-0.1, 0.2, 0.3, 0.4),
    (0.3, 0.2, 0.2, 0.4),
    (0.1, 0.2, 1.25, 0.4),
    (0.1, -0.5, 0.3, 0.4),
    (0.1, 0.5, 0.3, 0.4),
    (0.1, 0.2, 0.3, 1.5),
]


@pytest.mark.parametrize("edges", EDGES)
def test_a_box_beyond_the_picture_is_refused_with_its_edges(edges):
    left, top, right, bottom = edges
    with pytest.raises(ValueError) as refused:
        Box(*edges)
    assert str(refused.value) == (
        f"a box lies within the picture, from 0 to 1, got {left:g} to {right:g} "
        f"and {top:g} to {bottom:g}"
    )


def test_a_box_may_be_all_of_the_picture_or_a_point():
    assert Box(0, 0, 1, 1).words == ""
    assert Box(1, 1, 1, 1) == Box(1, 1, 1, 1)
    assert Box(0, 0, 0, 0).left == 0


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"value": 1.5}, "a score lies in [0, 1], got 1.5"),
        ({"value": -0.5}, "a score lies in [0, 1], got -0.5"),
        ({"value": 0.5, "mass": 1.5}, "a probability mass lies in [0, 1], got 1.5"),
        ({"value": 0.5, "mass": -0.5}, "a probability mass lies in [0, 1], got -0.5"),
        ({"value": 0.5, "mass": math.nan}, "a probability mass lies in [0, 1], got nan"),
        ({"value": None}, "an abstention has a reason, and a value has none"),
        ({"value": 0.0, "reason": "but"}, "an abstention has a reason, and a value has none"),
    ],
)
def test_what_is_no_answer_is_refused_with_its_number(told, sentence):
    with pytest.raises(ValueError) as refused:
        Answer(**told)
    assert str(refused.value) == sentence


def test_the_ends_of_the_scale_are_answers():
    assert [Answer(value, mass=value).mass for value in (0, 1)] == [0, 1]
    assert Answer(0.5) == Answer(0.5, option="", reason="", mass=1.0, box=None)


def test_silence_is_no_score():
    assert [one.value for one in Verdict if not one.is_scored] == ["unscored", "refused"]
    assert (str(LevelRange(2, 2)), str(LevelRange(2, 4))) == ("2", "2–4")


# ── what is tried ────────────────────────────────────────────────────────────────────────────────


def test_blocks_of_seeds_begin_after_the_first_and_end_with_the_scale():
    blocks = 2**30 // CERTIFICATE_BLOCK
    assert certificate_block(0) == range(
        FIRST_CERTIFICATE_SEED + 1024, FIRST_CERTIFICATE_SEED + 2048
    )
    assert certificate_block(5) == range(3 * 2**30 + 6 * 1024, 3 * 2**30 + 7 * 1024)
    assert certificate_block(blocks - 2).stop == 2**32
    assert certificate_block(blocks - 1) == certificate_block(0)
    assert certificate_block(-1).stop == 2**32


def test_a_nomination_has_the_seeds_that_its_key_draws():
    assert NOMINATION.fresh_seeds == certificate_block(key_number(NOMINATION.key))
    assert dataclasses.replace(NOMINATION, pictures=9, ended="x", reference="y") != NOMINATION
    assert dataclasses.replace(NOMINATION, pictures=9, ended="x").key == NOMINATION.key
    assert dataclasses.replace(NOMINATION, seconds=9.0).key != NOMINATION.key


def test_a_candidate_says_its_stages_and_what_it_goes_without():
    assert str(CANDIDATE) == "a cup (to 25%) → a cup of coke (without: glass)"
    assert str(dataclasses.replace(CANDIDATE, negative_prompt="")) == (
        "a cup (to 25%) → a cup of coke"
    )
    assert CANDIDATE.key == content_key(CANDIDATE)


def test_the_concept_that_is_shown_less_decides_the_higher_likeness_of_each():
    assert Seen(1, 0.3, 0.7).worse == 0.3
    assert Seen(1, 0.7, 0.3).worse == 0.3
    assert Seen(1, 0.3, 0.7, a_described=0.9).worse == 0.7
    assert Seen(1, 0.9, 0.2, a_described=0.1, b_described=0.6).worse == 0.6
    assert Seen(1, 0.9, 0.5, b_described=0.1).worse == 0.5
    assert Seen(1, None, 0.5).worse is None
    assert Seen(1, 0.5, None).worse is None
    assert Seen(1, None, 0.5, a_described=0.25).worse == 0.25
    assert Seen(1, 0.5, None, b_described=0.25).worse == 0.25


def test_a_trial_is_worth_the_mean_of_what_was_seen():
    seen = (
        Seen(3, 0.2, 0.8),
        Seen(9, 1.0, 0.4, a_described=0.1),
        Seen(4, None, 0.6),
        Seen(5, 0.5, 0.5, b_described=0.9),
    )
    trial = Trial("k1:pair", "painter@1", "moce", "clip:b", CANDIDATE, seen)
    assert trial.seeds == (3, 9, 4, 5)
    assert (trial.stages, trial.negative_prompt) == (CANDIDATE.stages, "glass")
    assert trial.fitness == pytest.approx((0.2 + 0.4 + 0.5) / 3)
    assert trial.mean(Side.A) == pytest.approx((0.2 + 1.0 + 0.5) / 3)
    assert trial.mean(Side.B) == pytest.approx(0.9)
    assert trial.right() == (1, 3)
    assert trial.right(0.4) == (2, 3)
    assert trial.right(0.1) == (3, 3)
    nothing = dataclasses.replace(trial, seen=(Seen(1, None, 0.5),))
    assert (nothing.fitness, nothing.mean(Side.A), nothing.right()) == (None, None, (0, 0))
    assert nothing.mean(Side.B) == 0.5
    assert trial.key == content_key(trial)
    assert nothing.key != trial.key


@pytest.mark.parametrize(
    ("p", "wins", "losses", "passed", "harms"),
    [
        (0.049, 3, 2, True, False),
        (0.05, 3, 2, False, False),
        (0.049, 2, 2, False, False),
        (0.049, 2, 3, False, True),
        (0.05, 2, 3, False, False),
    ],
)
def test_a_certificate_passes_or_harms_below_its_level_only(p, wins, losses, passed, harms):
    rate, levels = Rate(0.5, 0.1, 0.9, 5), LevelRange(1, 5)
    found = Certificate(
        NOMINATION, "vqa:x", (), 0, rate, rate, levels, levels, wins, losses, 1.0, p
    )
    assert (found.passed, found.harms) == (passed, harms)


def test_what_is_asked_of_a_picture_has_a_key_of_its_own():
    one = Inquiry("vqa:x", "abc", "k1:q")
    assert one.key == content_key(one)
    question = Question(QuestionKind.RELATION, "a cup of coke")
    assert question.key == content_key(question)
