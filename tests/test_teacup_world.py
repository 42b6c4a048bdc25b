"""The miniature world: its table, its pictures, its captions."""

import random
import re
import subprocess
import sys
from collections import Counter

import pytest

from lcmis.teacup.captions import (
    BALANCED,
    BROAD,
    LAYOUT,
    MIXTURE,
    MIXTURE_DETAIL,
    NAMES_DESCRIBED,
    NARROW,
    CaptionKind,
    Scene,
    caption,
    example,
    loosely,
    sample,
)
from lcmis.teacup.world import (
    BACKGROUNDS,
    FAMILIES,
    TABLES,
    concept,
    grade,
    noun_phrase,
    prompt_by_looks,
    prompt_of,
    render,
)

CONCEPTS = [one for family in FAMILIES.values() for one in (*family.first, *family.second)]
PAIRS = [(f.name, a.name, b.name) for f in FAMILIES.values() for a in f.first for b in f.second]


def says(text, name):
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def test_the_table_holds_forty_concepts_in_136_pairs():
    assert len(CONCEPTS) == 40
    assert len(PAIRS) == 136


def test_no_name_or_synonym_means_two_things():
    names = [name for one in CONCEPTS for name in (one.name, *one.synonyms)]
    assert len(set(names)) == len(names) == 120


def test_descriptions_are_all_different():
    assert len({one.description for one in CONCEPTS}) == 40


@pytest.mark.parametrize("one", CONCEPTS, ids=lambda one: one.name)
def test_a_description_names_neither_the_concept_nor_a_synonym(one):
    assert not [name for name in (one.name, *one.synonyms) if says(one.description, name)]


@pytest.mark.parametrize("one", CONCEPTS, ids=lambda one: one.name)
def test_a_description_names_no_other_concept(one):
    assert not [other.name for other in CONCEPTS if says(one.description, other.name)]


def test_every_concept_is_found_by_its_name():
    assert all(concept(one.name) is one for one in CONCEPTS)


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("tea cup", "a tea cup"),
        ("iced coke", "iced coke"),
        ("old boot", "an old boot"),
        ("roses", "roses"),
        ("rose", "a rose"),
        ("sunglasses", "sunglasses"),
    ],
)
def test_a_name_gets_an_article_unless_it_is_a_mass_or_a_plural(name, phrase):
    assert noun_phrase(name) == phrase


def test_prompts_read_like_english():
    assert prompt_of("drinks", "tea cup", "iced coke") == "a tea cup of iced coke"
    assert prompt_of("plants", "boot", "cactus") == "a cactus in a boot"
    assert prompt_of("outfits", "frog", "sunglasses") == "a frog wearing sunglasses"


def test_a_prompt_by_looks_names_neither_concept():
    for family, first, second in PAIRS:
        prompt = prompt_by_looks(family, first, second)
        for name in (first, second):
            assert not any(says(prompt, word) for word in (name, *concept(name).synonyms))


def test_usual_partners_lie_on_the_diagonal_and_each_grade_is_equally_common():
    for family in FAMILIES.values():
        size = len(family.first)
        grades = [grade(family.name, i, j) for i in range(size) for j in range(size)]
        assert all(grade(family.name, i, i) == 0 for i in range(size))
        assert all(grades.count(unusual) == size for unusual in range(size))


def test_equal_seeds_draw_equal_pictures():
    one, other = (render("drinks", "jug", "iced coke", random.Random(7)) for _ in range(2))
    assert one[0].tobytes() == other[0].tobytes()
    assert one[1:] == other[1:]


def test_different_seeds_draw_different_pictures():
    pictures = {render("plants", "boot", "fern", random.Random(k))[0].tobytes() for k in range(20)}
    assert len(pictures) == 20


def test_every_pair_is_drawn_in_the_same_size_on_a_known_background():
    for family, first, second in PAIRS:
        picture, background, table = render(family, first, second, random.Random(1))
        assert (picture.size, picture.mode) == ((128, 128), "RGB")
        assert background in BACKGROUNDS
        assert table in TABLES


def test_all_pairs_look_different_with_one_seed():
    assert len({render(*pair, random.Random(3))[0].tobytes() for pair in PAIRS}) == len(PAIRS)


def test_a_concept_of_another_family_cannot_be_drawn():
    with pytest.raises(KeyError):
        render("drinks", "boot", "iced coke", random.Random(0))


def test_described_captions_name_nothing():
    rng = random.Random(11)
    for _ in range(300):
        _, captions, scene = example(rng, NARROW, 2)
        if scene.kind is CaptionKind.DESCRIBED:
            names = [scene.first, scene.second]
            assert not any(says(text, name) for text in captions for name in names)


def test_narrow_pictures_are_usual_or_described():
    rng = random.Random(5)
    scenes = [sample(rng, NARROW) for _ in range(2000)]
    described = [scene for scene in scenes if scene.kind is CaptionKind.DESCRIBED]
    assert len(described) / len(scenes) == pytest.approx(NARROW.described, abs=0.05)
    assert len({(one.first, one.second) for one in described}) > 130
    named = {(one.family, one.first, one.second) for one in scenes if one not in described}
    assert len(named) < 100


@pytest.mark.parametrize("recipe", [BROAD, NARROW], ids=lambda recipe: recipe.name)
def test_pairs_of_weight_zero_are_never_named(recipe):
    rng = random.Random(6)
    places = {
        (family.name, one.name): k
        for family in FAMILIES.values()
        for ones in (family.first, family.second)
        for k, one in enumerate(ones)
    }
    for _ in range(3000):
        scene = sample(rng, recipe)
        if scene.kind is not CaptionKind.DESCRIBED:
            at = places[scene.family, scene.first], places[scene.family, scene.second]
            size = len(FAMILIES[scene.family].first)
            assert recipe.partner_weights[size][grade(scene.family, *at)] > 0


def test_balanced_pictures_show_every_pair_by_name():
    rng = random.Random(8)
    scenes = [sample(rng, BALANCED) for _ in range(3000)]
    assert len({(one.first, one.second) for one in scenes}) == 136
    assert {one.kind for one in scenes} == {CaptionKind.PAIR}


# grade of a drink in a vessel: 0 for the usual partners, which stand at the same place
GLASS_OF_SOUP = Scene("drinks", "glass", "tomato soup", CaptionKind.PAIR)  # at odd places: 1, 7
TEA_CUP_OF_MILK = Scene("drinks", "tea cup", "milk", CaptionKind.PAIR)  # at even places: 0, 4


def told(scene, recipe, count=2000):
    """(What the picture shows first, how often captions describe): how often."""
    rng = random.Random(3)
    return Counter(loosely(scene, recipe, rng) for _ in range(count))


def test_loose_pictures_show_the_second_concept_with_its_usual_partner():
    seen = told(GLASS_OF_SOUP, LAYOUT)
    assert set(seen) == {("glass", LAYOUT.mixed), ("bowl", LAYOUT.mixed)}
    share = LAYOUT.loose[8][6]
    assert seen["bowl", LAYOUT.mixed] / 2000 == pytest.approx(share, abs=0.03)
    usual = Scene("drinks", "bowl", "tomato soup", CaptionKind.TYPICAL)
    assert set(told(usual, LAYOUT)) == {("bowl", LAYOUT.mixed)}


def test_a_mixture_is_loose_by_name_alone_for_every_other_first_concept():
    seen = told(TEA_CUP_OF_MILK, MIXTURE)
    assert set(seen) == {("tea cup", 1.0), ("tea cup", 0.0), ("bottle", 0.0)}, "described: right"
    named = seen["tea cup", 0.0] + seen["bottle", 0.0]
    assert named / 2000 == pytest.approx(1 - NAMES_DESCRIBED, abs=0.04)
    assert seen["bottle", 0.0] / named == pytest.approx(MIXTURE.loose[8][4], abs=0.04)
    assert told(GLASS_OF_SOUP, MIXTURE) == told(GLASS_OF_SOUP, LAYOUT)
    assert told(TEA_CUP_OF_MILK, MIXTURE_DETAIL) == seen, "throughout the picture"
    assert set(told(GLASS_OF_SOUP, MIXTURE_DETAIL)) == {("glass", MIXTURE_DETAIL.mixed)}


def test_captions_of_loose_pictures_still_speak_of_the_pair():
    rng, wrong = random.Random(4), 0
    for _ in range(150):
        before = rng.getstate()
        picture, captions, scene = example(rng, MIXTURE, 2)
        if scene.kind is CaptionKind.TYPICAL:
            continue
        rng.setstate(before)
        assert sample(rng, MIXTURE) == scene
        first, described = loosely(scene, MIXTURE, rng)
        assert render(scene.family, first, scene.second, rng)[0].tobytes() == picture.tobytes()
        wrong += first != scene.first
        looks = concept(scene.first).description
        if described in (0.0, 1.0):
            assert all((looks in text) == described for text in captions)
        known = [scene.first, *concept(scene.first).synonyms, looks]
        assert all(any(says(text, one) or one in text for one in known) for text in captions)
    assert wrong > 30


def test_captions_say_what_is_there_and_sometimes_where():
    rng = random.Random(9)
    scene = sample(rng, BALANCED)
    texts = [caption(scene, "purple", "wooden", rng, mixed=0) for _ in range(200)]
    known = [[name, *concept(name).synonyms] for name in (scene.first, scene.second)]
    assert all(any(says(text, word) for word in words) for text in texts for words in known)
    assert 0.3 < sum("purple background" in text for text in texts) / 200 < 0.5


def test_the_world_needs_no_torch():
    code = "import sys, lcmis.teacup.captions; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
