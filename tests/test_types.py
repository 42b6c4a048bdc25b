import dataclasses
import enum
import hashlib
import json
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcmis.types import (
    Answer,
    Concept,
    ConceptPair,
    Intruder,
    Question,
    QuestionKind,
    RenderSpec,
    Side,
    Stage,
    content_key,
    key_number,
)

SPEC = RenderSpec(
    model="painter@1",
    stages=(Stage("a tea cup of iced coke"),),
    seed=7,
    num_inference_steps=12,
    guidance_scale=3.0,
    scheduler="DDIMScheduler",
    height=128,
    width=128,
    profile="cpu-float32-b16",
)
PAIR = ConceptPair(
    Concept("tea cup", "a small white cup"),
    Concept("iced coke", "a dark drink with ice"),
    "a tea cup of iced coke",
    intruders=(Intruder(Concept("glass"), Side.A, "a glass of iced coke"),),
)
QUESTION = Question(QuestionKind.A_PRESENT, "tea cup")


def test_three_keys_stay_what_they_are_for_ever():
    assert SPEC.key == "k1:2d83c04b9d7cff8c3a431653e0c9fbe4"
    assert PAIR.key == "k1:cf178f819c95db8209ac4bfb803acc89"
    assert QUESTION.key == "k1:220acd7b9cad54f24cefaa2742996a9a"


def spelled(value):
    """What a key is the hash of, in the standard library's words."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple):
        return [spelled(item) for item in value]
    if dataclasses.is_dataclass(value):
        kept = [f for f in dataclasses.fields(value) if f.metadata.get("identity", True)]
        named = {f.name: (getattr(value, f.name), f.default) for f in kept}
        return {name: spelled(item) for name, (item, usual) in named.items() if item != usual}
    if isinstance(value, dict):
        return {str(name): spelled(item) for name, item in value.items()}
    return value


texts = st.text(st.characters(exclude_categories=["Cs"]))
plain = st.none() | st.booleans() | st.integers() | texts | st.sampled_from(QuestionKind)
plain |= st.floats(allow_nan=False, allow_infinity=False)
concepts = st.builds(Concept, texts, texts, st.lists(texts, max_size=2).map(tuple))
values = st.recursive(
    plain | concepts | st.builds(Question, st.sampled_from(QuestionKind), texts),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(texts | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(values)
def test_a_key_is_the_hash_of_the_value_as_json_with_sorted_names(value):
    told = json.dumps(spelled(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.blake2b(told.encode(), digest_size=16).hexdigest()
    assert content_key(value) == f"k1:{digest}"


def test_a_key_that_was_asked_for_goes_with_no_other_value():
    for value in (SPEC, PAIR, QUESTION):
        assert value.key is value.key
        assert pickle.loads(pickle.dumps(value)).key == value.key
        assert set(dataclasses.asdict(value)) == {f.name for f in dataclasses.fields(value)}
    changed = dataclasses.replace(SPEC, seed=8)
    assert changed.key == content_key(changed) != SPEC.key


def test_device_and_number_format_stand_beside_the_key():
    beside = dataclasses.replace(SPEC, device="cuda", dtype="float16")
    assert (beside.key, beside) == (SPEC.key, SPEC)


def test_a_text_has_one_number_everywhere():
    assert key_number("a tea cup") == 5374818227436011944
    assert key_number("a tea cup") != key_number("a tea cap")


def test_a_field_added_later_keeps_old_keys():
    later = dataclasses.make_dataclass(
        "RenderSpec",
        [
            *((f.name, f.type, f) for f in dataclasses.fields(RenderSpec)),
            ("clip_skip", int, dataclasses.field(default=0)),
        ],
        frozen=True,
    )
    values = {f.name: getattr(SPEC, f.name) for f in dataclasses.fields(SPEC)}
    assert content_key(later(**values)) == SPEC.key
    assert content_key(later(**values, clip_skip=1)) != SPEC.key


@pytest.mark.parametrize(
    "change",
    [
        {"model": "painter@2"},
        {"seed": 8},
        {"num_inference_steps": 13},
        {"guidance_scale": 3.5},
        {"scheduler": "DDPMScheduler"},
        {"height": 64},
        {"width": 64},
        {"profile": "cpu-float32-b1"},
        {"negative_prompt": "glass"},
        {"stages": (Stage("tea cup", 0.5), Stage("a tea cup of iced coke"))},
    ],
    ids=str,
)
def test_all_that_decides_pixels_decides_the_key(change):
    assert dataclasses.replace(SPEC, **change).key != SPEC.key


def test_where_a_pair_came_from_does_not_change_its_key():
    assert dataclasses.replace(PAIR, source="me", licence="CC0", pattern="x").key == PAIR.key
    assert dataclasses.replace(PAIR, prompt="iced coke in a tea cup").key != PAIR.key


def test_guidance_of_7_and_7_0_is_one_key():
    whole = dataclasses.replace(SPEC, guidance_scale=7)
    assert whole.key == dataclasses.replace(SPEC, guidance_scale=7.0).key


@given(st.lists(st.floats(0, 1.2), max_size=4))
def test_stages_rise_strictly_to_one_or_are_refused(ends):
    stages = tuple(Stage(f"prompt {i}", end) for i, end in enumerate(ends))
    good = bool(ends) and ends == sorted(set(ends)) and ends[0] > 0 and ends[-1] == 1.0
    if good:
        assert dataclasses.replace(SPEC, stages=stages).prompt == stages[-1].prompt
    else:
        with pytest.raises(ValueError, match=r"stages must rise"):
            dataclasses.replace(SPEC, stages=stages)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_fits_into_63_bits(seed):
    with pytest.raises(ValueError, match="seed"):
        dataclasses.replace(SPEC, seed=seed)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.1])
def test_an_answer_outside_the_unit_interval_is_refused(value):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        Answer(value)


def test_an_abstention_has_a_reason_and_a_value_has_none():
    assert Answer(None, reason="too long").value is None
    with pytest.raises(ValueError, match="reason"):
        Answer(None)
    with pytest.raises(ValueError, match="reason"):
        Answer(0.5, reason="but")


def test_what_has_no_single_spelling_is_no_part_of_a_key():
    for value in (math.nan, {1, 2}, object()):
        with pytest.raises(TypeError):
            content_key((value,))


def test_a_pair_needs_a_prompt_and_two_concepts():
    with pytest.raises(ValueError, match="empty"):
        ConceptPair(Concept("a"), Concept("b"), "  ")
    with pytest.raises(ValueError, match="both are called"):
        ConceptPair(Concept("Cup"), Concept("cup"), "a cup of cup")
